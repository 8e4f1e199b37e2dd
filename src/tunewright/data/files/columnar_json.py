"""Tables that JSON holds by column, or by the name of each row, as rows: the forms of pandas' `to_json` and a dict of lists."""

from collections.abc import Mapping, Sequence
from typing import Any

from tunewright.data.files.column_names import is_role_name

_SPLIT_KEYS = frozenset({"columns", "index", "data", "index_names", "column_names"})
_TURN_KEYS = (
    {"role", "content"},
    {"from", "value"},
    {"role", "value"},
    {"role", "text"},
    {"speaker", "text"},
    {"role", "parts"},
    {"author", "content"},
)
_LISTED = frozenset(
    {"tokens", "words", "tags", "ner_tags", "pos_tags", "labels", "history"}
)  # a single row holds them as lists
_ABOUT = frozenset({"version", "name", "description", "license", "source", "date", "created", "language", "author"})
MIN_NAMED_ROWS = 3  # fewer objects with the same keys may be the cells of one row


def is_turn(value: Any) -> bool:
    """Whether this is a turn of a conversation, in the keys of OpenAI, ShareGPT or Gemini, in whatever case."""
    if not isinstance(value, dict):
        return False
    names = {str(key).casefold() for key in value}
    return any(keys <= names for keys in _TURN_KEYS)


def table_rows(value: Mapping[str, object]) -> list[dict[str, object]] | None:
    """The rows of a table written by column, as lists, as objects by row name, or split from its names; None if it is none."""
    if not value:
        return None
    if value.keys() <= _SPLIT_KEYS and {"columns", "data"} <= value.keys():
        return _split(value["columns"], value["data"])
    lists = {name: member for name, member in value.items() if isinstance(member, list)}
    if len(lists) == len(value) >= MIN_NAMED_ROWS and all(map(_is_conversation, lists.items())):
        return [{"messages": turns} for turns in lists.values()]
    if lists and all(name in lists or name in _ABOUT for name in value):
        return _lists(lists)
    objects = {name: member for name, member in value.items() if isinstance(member, dict) and member}
    return _objects(objects) if len(objects) == len(value) else None


def _is_conversation(named: tuple[str, Sequence[Any]]) -> bool:
    """Whether a list of turns stands under a name of its own, and not under that of a column."""
    name, turns = named
    return bool(turns) and all(map(is_turn, turns)) and not is_role_name(name)


def _split(columns: Any, data: Any) -> list[dict[str, object]] | None:
    if not isinstance(columns, list) or not isinstance(data, list):
        return None
    if not all(isinstance(row, list) and len(row) == len(columns) for row in data):
        return None
    return [dict(zip(map(str, columns), row, strict=True)) for row in data]


def _lists(value: Mapping[str, Sequence[Any]]) -> list[dict[str, object]] | None:
    """Columns of one length; lists that a single row may hold as they are, turns or words, are none."""
    lengths = {len(column) for column in value.values()}
    if len(lengths) != 1 or lengths == {0}:
        return None
    may_be_cells = any(is_turn(column[0]) for column in value.values())
    may_be_cells |= any(name in _LISTED and not isinstance(column[0], list) for name, column in value.items()) and all(
        name in _LISTED for name in value
    )
    return None if may_be_cells else [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]


def _objects(value: Mapping[str, Mapping[str, object]]) -> list[dict[str, object]] | None:
    """Columns whose cells have the names 0, 1, 2, or rows that have names; objects of unlike keys are neither."""
    inner = [member.keys() for member in value.values()]
    if any(keys != inner[0] for keys in inner):
        return None
    if all(key.isdecimal() for key in inner[0]):
        return [{column: cells[key] for column, cells in value.items()} for key in inner[0]]
    if all(key.isdecimal() for key in value) or len(value) >= MIN_NAMED_ROWS:
        return [dict(row) for row in value.values()]
    return None
