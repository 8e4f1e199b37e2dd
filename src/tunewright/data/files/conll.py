"""CoNLL files to rows: a word and its tag a line, a blank line after each sentence.

The first column is the word and the last its tag, separated by tabs, blanks or commas; of two columns the tag may be the first
(the MIT corpora). A CoNLL-U file names its columns itself: form and universal part of speech. Tags are read unchanged. A damaged
line costs its sentence and no other.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from tunewright.data.files.json_scanner import DamagedRow, ParsedRow, ScanItem, size_damage, text_damage, with_text
from tunewright.data.files.text_file import TextLine

_BLANKS = re.compile(r"[ \t]+")
_TAG = re.compile(r"O|[BIMLUES]-.+")
_COMMENT = re.compile(r"#(?: |begin |end )[^\t]*")
_UNIVERSAL_COLUMNS = 10
_WHOLE_WORD = re.compile(r"[0-9]+")  # the ids of contracted words have a hyphen, those of left-out words a dot
_MOST = 0.9


def separator_of(lines: Sequence[str]) -> str:
    """What parts words and tags in a file of any name: a tab, a blank or a comma; "" if it does not look like CoNLL.

    Nearly all lines then end in a tag such as O or B-PER, and blank lines separate sentences.
    """
    parts = "\n".join(line.strip() for line in lines).strip("\n").split("\n")
    words = [line for line in parts if line and not line.startswith(("#", "-DOCSTART-"))]
    if len(words) < 2 or len(words) == len(parts):
        return ""
    marks = ("\t", " ", ",")
    return next((mark for mark in marks if _are_tagged([_cells(line, mark) for line in words])), "") or next(
        (mark for mark in marks if tags_come_first(lines, mark)), ""
    )


def tags_come_first(lines: Sequence[str], separator: str = "") -> bool:
    """Whether nearly all lines are a tag and its word, in this order."""
    columns = [_cells(line.strip(), separator) for line in lines if line.strip() and not line.startswith("-DOCSTART-")]
    tags = [cells[0] for cells in columns if len(cells) == 2 and _TAG.fullmatch(cells[0])]
    is_first = len(tags) >= _MOST * len(columns) and any(tag != "O" for tag in tags)
    return is_first and not _are_tagged(columns)


def is_universal(lines: Sequence[str]) -> bool:
    """Whether lines are those of CoNLL-U: ten columns separated by tabs, a number first."""
    words = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    return bool(words) and all(len(cells) == _UNIVERSAL_COLUMNS and cells[0][:1].isdecimal() for cells in words[:20])


def _are_tagged(columns: Sequence[Sequence[str]]) -> bool:
    """Whether nearly all lines end in a tag; a first line that does not may name the columns, if there are just two."""
    tagged = sum(len(cells) > 1 and bool(_TAG.fullmatch(cells[-1])) for cells in columns)
    has_header = len(columns[0]) > 2 and not _TAG.fullmatch(columns[0][-1])
    has_entity = any(cells[-1] != "O" and _TAG.fullmatch(cells[-1]) for cells in columns if cells)
    return tagged >= _MOST * (len(columns) - 1) and tagged > 0 and has_entity and not has_header


def _cells(text: str, separator: str) -> list[str]:
    if separator == ",":
        return next(csv.reader([text.replace("\r", "")]), [])
    return text.split("\t") if "\t" in text else _BLANKS.split(text.strip())


def _is_header(text: str, separator: str) -> bool:
    """Whether a first line of two columns names them, where the other lines are known to hold words and tags."""
    cells = _cells(text, separator)
    return len(cells) == 2 and all(map(str.isidentifier, cells)) and not any(map(_TAG.fullmatch, cells))


def scan_conll(
    lines: Iterable[TextLine], separator: str = "", *, is_universal: bool = False, tag_first: bool = False
) -> Iterator[ScanItem]:
    """A row of `tokens` and `tags` for each sentence; its line is that of its first word.

    A `separator` says that this was found in a file of another name, whose first line may be a header.
    """
    sentence: list[TextLine] = []
    for place, (number, text, size) in enumerate(chain(lines, [(0, "", 0)])):
        if separator and place == 0 and _is_header(text.strip(), separator):
            continue
        line = text.rstrip()
        if not line or line.startswith("-DOCSTART-"):
            if sentence:
                row = _sentence(sentence, separator, is_universal=is_universal, tag_first=tag_first)
                yield with_text(row, "\n".join(text for _number, text, _size in sentence))
            sentence = []
        elif sentence or not _is_comment(line, is_universal=is_universal):
            sentence.append((number, line, size))


def _is_comment(line: str, *, is_universal: bool) -> bool:
    """Comments come before a sentence; a line whose word is a # has a tab or ends in a tag."""
    if is_universal:
        return line.startswith("#")
    return bool(_COMMENT.fullmatch(line)) and not _TAG.fullmatch(_BLANKS.split(line)[-1])


def _sentence(lines: Sequence[TextLine], separator: str, *, is_universal: bool, tag_first: bool) -> ScanItem:
    start = lines[0][0]
    if damage := size_damage(sum(size for _number, _text, size in lines), start):
        return damage
    tokens, tags = [], []
    columns = [_cells(text, separator) for _number, text, _size in lines]
    num_columns = _UNIVERSAL_COLUMNS if is_universal else max(2, len(columns[0]))
    for (number, text, _size), cells in zip(lines, columns, strict=True):
        if damage := text_damage(text, number):
            return damage
        if len(cells) != num_columns:
            return DamagedRow("E228", number, 0, {"got": len(cells), "wanted": num_columns})
        if is_universal and not _WHOLE_WORD.fullmatch(cells[0]):
            continue
        word, tag = (
            (cells[1], cells[3]) if is_universal else (cells[-1], cells[0]) if tag_first else (cells[0], cells[-1])
        )
        if not word.strip():
            return DamagedRow("E203", number, 0, {"field": "tokens"})
        if is_universal and tag == "_":
            return DamagedRow("E207", number, 0, {"field": "tags"})
        tokens.append(word)
        tags.append(tag)
    return ParsedRow(start, {"tokens": tokens, "tags": tags})
