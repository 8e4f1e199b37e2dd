"""JSON documents to rows: what is a list of rows, a table by column, a list for each split, or a single row.

How single values are read, with their places, is for `json_scanner.py`. Nothing here opens a file.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.data.files.column_names import is_role_name
from tunewright.data.files.columnar_json import is_turn, table_rows
from tunewright.data.files.json_scanner import (
    LENIENT,
    DamagedRow,
    JsonDocument,
    ParsedRow,
    ScanItem,
    after_space,
    checked_values,
    scan_line,
)
from tunewright.data.files.nested_rows import unnested
from tunewright.data.files.row import Row
from tunewright.data.files.split_files import TRAIN, split_of
from tunewright.errors import Where, error
from tunewright.i18n import N_

# A wrapper such as {"data": [...]}; a list of turns is a conversation, so the object around it is itself a row.
_WRAPPED_LIST = re.compile(r'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[(?!\s*\{\s*"(?:role|from)")')


def scan_document(text: str, file: str, split: str = TRAIN) -> Iterator[ScanItem]:
    """The rows of a JSON document: lists of objects, objects one after another, an object around one list or one for each
    split, a table by column, or one object a line.

    Raises: DataError E217 if rows cannot be separated, E237 or E243 if none of its lists is that of the split.
    """
    return (row for item in _items(text, file, split) for row in unnested(item))


def _items(text: str, file: str, split: str) -> Iterator[ScanItem]:
    document = JsonDocument(text)
    start = document.skip(0)
    if start == len(text):
        return
    if text[start] == "[":
        yield from document.sequence(start, file)
    elif text[start] == "{":
        yield from _scan_object(document, start, file, split)
    else:
        raise document.hopeless(document.not_json(start, N_("a list of objects is missing here")), file)


def _scan_object(document: "JsonDocument", start: int, file: str, split: str) -> Iterator[ScanItem]:
    """The rows of a text that begins with an object: a wrapper, a table, a single row, or one object after another."""
    members = _members_of_rows(document.text, start)
    if members is not None:
        yield from _scan_members(document, members, file, split)
    elif _is_one_object_a_line(document.text):
        for line, part in enumerate(document.text.split("\n"), 1):
            if part.strip():
                yield scan_line(part.removeprefix("\ufeff"), line)
    elif document.lenient_end(start) is not None:
        yield from document.sequence(start, file)
    elif wrapper := _WRAPPED_LIST.match(document.text, start):
        yield from document.wrapped(wrapper.end(), file)
    else:
        item = document.single()
        assert isinstance(item, DamagedRow)
        raise document.hopeless(item, file)


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of the object around everything: its key, its value, and where that begins."""

    key: str
    value: Any
    start: int

    @property
    def is_rows(self) -> bool:
        """Whether it is a list of rows; a list of turns is a conversation, so the object around it is itself a row."""
        rows = self.value
        is_list = isinstance(rows, list) and bool(rows) and all(isinstance(row, dict) for row in rows)
        return is_list and not {"role", "from"} & rows[0].keys() and not is_turn(rows[0])

    def table(self) -> list[dict[str, object]] | None:
        is_holder = bool(split_of(self.key)) or self.key in ("data", "rows", "records", "table")
        return table_rows(self.value) if is_holder and isinstance(self.value, dict) else None


def _scan_members(document: "JsonDocument", members: list[_Member], file: str, split: str) -> Iterator[ScanItem]:
    """The rows of a whole object, by what its members are."""
    lists = [member for member in members if member.is_rows or member.table()]
    if len({member.key for member in members}) < len(members) or not lists:
        yield from document.table_or_row()
        return
    chosen = lists[0] if len(lists) == 1 else _chosen(lists, file, split)
    if chosen.is_rows:
        yield from document.wrapped(chosen.start + 1, file)
    else:
        line, _column = document.place(chosen.start)
        yield from (checked_values(row, line) for row in chosen.table() or ())


def _chosen(lists: list[_Member], file: str, split: str) -> _Member:
    """The list of a split. Raises: DataError E237 or E243 if there is none."""
    by_split = {split_of(member.key) or member.key: member for member in lists}
    by_split |= {member.key: member for member in lists}
    if split in by_split:
        return by_split[split]
    keys = [member.key for member in lists]
    code = "E237" if any(map(split_of, keys)) else "E243"
    raise error(code, Where(file), path=file, split=split, splits=", ".join(keys), other=keys[0])


def splits_in(text: str) -> list[str]:
    """The keys of a document that is an object around a list of rows for each split; none if it is something else."""
    start = after_space(text, 0)
    members = _members_of_rows(text, start) if text[start : start + 1] == "{" else None
    keys = [member.key for member in members or () if member.is_rows or member.table()]
    return keys if len(keys) > 1 and any(map(split_of, keys)) else []


def _is_one_object_a_line(text: str) -> bool:
    lines = [line for line in (part.strip() for part in text.split("\n")) if line]
    return 2 * sum(line.startswith("{") and line.endswith("}") for line in lines) >= len(lines)


def begins_a_document(head: str) -> bool:
    """Whether a file of lines holds lists, or objects over several lines, instead of an object on each line."""
    lines = (line.strip(" \t\r\ufeff") for line in head.split("\n"))
    first, second = (next((line for line in lines if line), "") for _line in range(2))
    if first.startswith("["):
        return not (first.endswith("]") and second.startswith("{"))
    return first.startswith("{") and first[-1] in "{[,:"


def holds_objects(lines: Sequence[str]) -> bool:
    """Whether the first lines that are not blank are objects, whatever the file is called."""
    first = [line for line in lines[:20] if line.strip()][:3]
    return bool(first) and all(isinstance(scan_line(line, 1), ParsedRow) for line in first)


def _members_of_rows(text: str, start: int) -> list[_Member] | None:
    """The members of the object that is the whole text, or of the one in it that holds a list for each split.

    None if it is damaged or not the whole text.
    """
    try:
        _value, end = LENIENT.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    if after_space(text, end) < len(text):
        return None
    members = _members(text, start)
    holders = [member for member in members if isinstance(member.value, dict) and _holds_splits(member.value)]
    if not holders and not any(member.is_rows or is_role_name(member.key) for member in members):
        holders = [member for member in members if _holds_one_list(text, member)]
    return _members(text, holders[0].start) if len(holders) == 1 else members


def _holds_one_list(text: str, member: _Member) -> bool:
    """Whether an object holds one list of rows, as in what a server answers: `{"status": "ok", "result": {"rows": [...]}}`."""
    return isinstance(member.value, dict) and sum(inner.is_rows for inner in _members(text, member.start)) == 1


def _holds_splits(value: Row) -> bool:
    """Whether each member is a list of objects or a table by column, and some are called train, valid or test."""
    return any(map(split_of, value)) and all(map(_are_rows, value.values()))


def _are_rows(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict)
    return isinstance(value, dict) and table_rows(value) is not None


def _members(text: str, start: int) -> list[_Member]:
    """The members of a sound object that begins here."""
    members = []
    position = after_space(text, start + 1)
    while text[position] != "}":
        key, position = LENIENT.raw_decode(text, position)
        opening = after_space(text, after_space(text, position) + 1)
        value, position = LENIENT.raw_decode(text, opening)
        members.append(_Member(key, value, opening))
        position = after_space(text, position)
        position = after_space(text, position + 1) if text[position] == "," else position
    return members
