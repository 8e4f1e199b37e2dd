"""CoNLL files to rows: a word and its tag a line, a blank line behind each sentence.

The first column is the word and the last its tag, parted by tabs or blanks; a CoNLL-U file names its columns itself: form
and universal part of speech. Tags are taken as they stand. A damaged line costs its sentence and no other.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from tunewright.data.scan import Damage, Found, Good, size_damage, text_damage, with_text

_BLANKS = re.compile(r"[ \t]+")
_TAG = re.compile(r"O|[BILUES]-.+")
_COMMENT = re.compile(r"#(?: |begin |end )[^\t]*")
_UNIVERSAL_COLUMNS = 10
_WHOLE_WORD = re.compile(r"[0-9]+")  # the ids of contracted words have a hyphen, those of left-out words a dot

Line = tuple[int, str, int]  # its number, its text, its size in bytes


def scan_conll(lines: Iterable[Line], *, is_universal: bool = False) -> Iterator[Found]:
    """A row of `tokens` and `tags` for each sentence; its line is that of its first word."""
    sentence: list[Line] = []
    for number, text, size in chain(lines, [(0, "", 0)]):
        line = text.rstrip()
        if not line or line.startswith("-DOCSTART-"):
            if sentence:
                found = _sentence(sentence, is_universal=is_universal)
                yield with_text(found, "\n".join(text for _number, text, _size in sentence))
            sentence = []
        elif sentence or not _is_comment(line, is_universal=is_universal):
            sentence.append((number, line, size))


def _is_comment(line: str, *, is_universal: bool) -> bool:
    """Comments stand in front of a sentence; a line whose word is a # has a tab or ends in a tag."""
    if is_universal:
        return line.startswith("#")
    return bool(_COMMENT.fullmatch(line)) and not _TAG.fullmatch(_BLANKS.split(line)[-1])


def _sentence(lines: Sequence[Line], *, is_universal: bool) -> Found:
    start = lines[0][0]
    if damage := size_damage(sum(size for _number, _text, size in lines), start):
        return damage
    tokens, tags = [], []
    columns = [text.split("\t") if "\t" in text else _BLANKS.split(text.strip()) for _number, text, _size in lines]
    wanted = _UNIVERSAL_COLUMNS if is_universal else max(2, len(columns[0]))
    for (number, text, _size), cells in zip(lines, columns, strict=True):
        if damage := text_damage(text, number):
            return damage
        if len(cells) != wanted:
            return Damage("E228", number, 0, {"got": len(cells), "wanted": wanted})
        if is_universal and not _WHOLE_WORD.fullmatch(cells[0]):
            continue
        word, tag = (cells[1], cells[3]) if is_universal else (cells[0], cells[-1])
        if not word.strip():
            return Damage("E203", number, 0, {"field": "tokens"})
        if is_universal and tag == "_":
            return Damage("E207", number, 0, {"field": "tags"})
        tokens.append(word)
        tags.append(tag)
    return Good(start, {"tokens": tokens, "tags": tags})
