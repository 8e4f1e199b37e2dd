"""Plain text to rows: a row is a paragraph, or a line where no line of the file is blank, or the whole file."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, takewhile
from os import fstat

from tunewright.data.files.json_scanner import (
    MAX_ROW_BYTES,
    DamagedRow,
    ParsedRow,
    ScanItem,
    size_damage,
    text_damage,
    with_text,
)
from tunewright.data.files.text_file import TextFile, TextLine

_LONGEST_WRAPPED = 100  # characters; lines that an editor has broken are shorter
_SENTENCE_ENDS = tuple(".!?…:;。！？；：\"'”’)]）」』")
MIN_LINES = 3
MAX_DOCUMENT_BYTES = 16_000_000  # its tokens and their places need a hundred times as much memory while it is encoded
LONGEST_LINE = 300  # characters, on average; longer ones are paragraphs of one text
_LABEL = "__label__"


def rows_are_lines(lines: Sequence[str]) -> bool:
    """Whether each line is a text: none is blank, they are short, and not the lines of one text that was broken to a width."""
    trimmed = "\n".join(line.strip() for line in lines).strip("\n").split("\n")
    if len(trimmed) < MIN_LINES or "" in trimmed or sum(map(len, trimmed)) > LONGEST_LINE * len(trimmed):
        return False
    longest = max(map(len, trimmed))
    before_last = trimmed[:-1]  # the last line of a paragraph is as long as it happens to be
    full = sum(len(line) >= 0.7 * longest for line in before_last)
    ended = sum(line.endswith(_SENTENCE_ENDS) for line in before_last)
    is_wrapped = longest <= _LONGEST_WRAPPED and 2 * full > len(before_last) and 2 * ended < len(before_last)
    return not is_wrapped


def are_labelled(lines: Sequence[str]) -> bool:
    """Whether lines begin with labels as fastText writes them."""
    trimmed = [line for line in lines if line.strip()]
    return bool(trimmed) and all(line.startswith(_LABEL) for line in trimmed)


def have_several_labels(lines: Sequence[str]) -> bool:
    """Whether some of these lines have more than one label."""
    return any(line.split()[1:2] and line.split()[1].startswith(_LABEL) for line in lines)


def scan_labelled(lines: Iterable[TextLine], *, are_lists: bool) -> Iterator[ScanItem]:
    """A row of `text` and `label` for each line of fastText's form, `__label__NAME text`.

    Labels are lists where some lines are known to have several (`are_lists`); else only in such lines.
    """
    for row in scan_lines(lines):
        if isinstance(row, DamagedRow):
            yield row
            continue
        words = row.value["text"].split()
        labels = [word.removeprefix(_LABEL) for word in takewhile(lambda word: word.startswith(_LABEL), words)]
        text = " ".join(words[len(labels) :])
        yield ParsedRow(row.line, {"text": text, "label": labels if are_lists or len(labels) > 1 else labels[0]})


def scan_lines(lines: Iterable[TextLine]) -> Iterator[ScanItem]:
    """A row of `text` for each line that is not blank."""
    return (row for line in lines for row in scan_paragraphs([line]))


def scan_whole(text: TextFile) -> Iterator[ScanItem]:
    """One row of `text`, a document: the file without blank lines around it; no row for a file of blanks.

    Of a file above MAX_DOCUMENT_BYTES only so much is in memory.
    """
    content = text.stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        size = fstat(text.stream.fileno()).st_size
        yield with_text(DamagedRow("E213", 1, 0, {"size": size, "limit": MAX_DOCUMENT_BYTES}), content[:MAX_ROW_BYTES])
        return
    document = content.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if document.strip():
        line = document[: len(document) - len(document.lstrip())].count("\n") + 1
        damage = _damage(document.split("\n"), 1)
        yield with_text(damage, document) if damage else ParsedRow(line, {"text": document.strip("\n")})


def scan_paragraphs(lines: Iterable[TextLine]) -> Iterator[ScanItem]:
    """A row of `text` for each run of lines that are not blank."""
    part: list[str] = []
    start = size = 0
    for number, text, length in chain(lines, [(0, "", 0)]):
        if text.strip():
            start = start if part else number
            size += length
            if size <= MAX_ROW_BYTES or not part:
                part.append(text.rstrip("\r\n"))
        elif part:
            paragraph = "\n".join(part)
            damage = size_damage(size, start) or _damage(part, start)
            yield with_text(damage, paragraph) if damage else ParsedRow(start, {"text": paragraph})
            part, size = [], 0


def _damage(part: Iterable[str], start: int) -> DamagedRow | None:
    return next((damage for line, text in enumerate(part, start) if (damage := text_damage(text, line))), None)
