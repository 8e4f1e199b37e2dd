"""One row before it becomes an example: its cells by role, and what is wrong with them."""

import ast
import json
import math
import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any
from uuid import UUID

from tunewright.data.files.columnar_json import is_turn
from tunewright.data.files.control_characters import CONTROL
from tunewright.data.files.json_scanner import kind_of
from tunewright.data.files.readers import RawRow
from tunewright.data.files.row import Row
from tunewright.errors import Problem, Where
from tunewright.i18n import N_

_TEXT = N_("text")
# Blanks and characters without width: a text of these alone is empty.
_EMPTY = re.compile("[\\s\u200b\u200c\u200d\u2060\ufeff\u00ad]*")
# What pandas, R and databases write where there is no value, and what Alpaca's own file has.
WRITTEN_MISSING = frozenset(("nan", "NaN", "NAN", "<NA>", "NaT", "None", "null", "NULL", "<noinput>"))
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
# What pandas and numpy write for a list: texts in either quotes, numbers and constants, with commas between them or blanks.
# The quantifiers give nothing back (`*+`): else a cell of many blanks or quotes takes time with the square of its length.
_ITEM = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?|True|False|None"""
_COMMAS = re.compile(rf"\s*+(?:(?:{_ITEM})\s*+(?:,\s*+(?:{_ITEM})\s*+)*+,?\s*+)?+", re.DOTALL)
_BLANKS = re.compile(rf"\s*+(?:{_ITEM})(?:\s++(?:{_ITEM}))*+\s*+", re.DOTALL)
_ITEMS = re.compile(_ITEM, re.DOTALL)
_ARRAY = re.compile(r"array\((\[[^()]*\])(?:,\s*dtype=\w+)?\)")
# Behind one object another without a comma, as numpy writes arrays of them; texts are passed over, to the end if they have none.
_OBJECTS_APART = re.compile(r"""('(?:[^'\\]|\\.)*+(?:'|\\?\Z)|"(?:[^"\\]|\\.)*+(?:"|\\?\Z))|\}\s++\{""", re.DOTALL)


def unpacked(value: Any) -> Any:
    """The value, or the list it holds as text of JSON, Python or numpy: so a cell of a csv file holds a list."""
    if not isinstance(value, str) or value.lstrip()[:1] not in _BRACKETS:
        return value
    text = value.strip()
    if text.startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    if _BRACKETS[text[0]] != text[-1]:
        return value
    inner = text[1:-1]
    is_list = _COMMAS.fullmatch(inner) if text[0] != "[" else _COMMAS.fullmatch(inner) or _BLANKS.fullmatch(inner)
    try:
        if is_list and (text[0] != "(" or "," in inner) and (text[0] != "{" or inner.strip()):
            return [ast.literal_eval(item) for item in _ITEMS.findall(inner)]
        turns = ast.literal_eval(_OBJECTS_APART.sub(lambda m: m[1] or "}, {", text)) if text.startswith("[{") else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return value
    return turns if isinstance(turns, list) and turns and all(map(is_turn, turns)) else value


def cell(row: Row, column: str) -> Any:
    """The value of a column, also of one inside another: `translation.de`. None if there is none."""
    outer, dot, inner = column.partition(".")
    holder = row.get(outer)
    return holder.get(inner) if dot and column not in row and isinstance(holder, dict) else row.get(column)


def is_missing(value: Any) -> bool:
    """Whether there is no value: nothing, or a NaN, as tables write it."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def is_structured(value: Any) -> bool:
    """Whether an answer is an object or a list, and not a conversation; its JSON is trained on."""
    items = [value] if isinstance(value, dict) else value if isinstance(value, list) else []
    return bool(items) and not any(isinstance(item, dict) and ("role" in item or "from" in item) for item in items)


def accepted_answers(value: Any) -> list[str] | None:
    """The answers listed beside their positions in a context, as SQuAD has them; None if it is something else.

    A cell of a csv file holds them as Python or numpy writes them.
    """
    if isinstance(value, str) and value.lstrip().startswith("{") and "answer_start" in value:
        try:
            value = ast.literal_eval(_ARRAY.sub(r"\1", value.strip()))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    if isinstance(value, dict) and "answer_start" in value and isinstance(value.get("text"), str | list):
        texts = [value["text"]] if isinstance(value["text"], str) else value["text"]
    elif isinstance(value, list) and value and all(isinstance(item, dict) and "answer_start" in item for item in value):
        texts = [item.get("text") for item in value]
    else:
        return None
    return texts if all(isinstance(text, str) for text in texts) else None


def is_written_missing(value: Any) -> bool:
    """Whether a text is what programs write for a missing value."""
    return isinstance(value, str) and value.strip() in WRITTEN_MISSING


def as_text(value: Any) -> str | None:
    """A single value as text: numbers, true and false as JSON writes them; None for objects, lists and bytes."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return str(value) if isinstance(value, str | date | time | UUID) else None


class RowReport:
    """The cells of one row, and its problems."""

    def __init__(self, row: RawRow, columns: Mapping[str, str]) -> None:
        self.row = row
        self.columns = columns
        self.problems: list[Problem] = []
        self.unused_keys: list[str] = []  # keys of turns that play no part
        self.tools: tuple[Mapping[str, object], ...] = ()  # those of a system turn

    def cell(self, role: str) -> Any:
        """What plays a role; an answer that is an object or a list of no turns is its JSON."""
        value = cell(self.row.value, self.columns[role])
        if is_missing(value):
            return None
        if role == "completion" and (answers := accepted_answers(value)) is not None:
            return answers[0] if answers else ""
        if role == "completion" and is_structured(value):
            return json.dumps(value, ensure_ascii=False, default=str)
        return value

    def add(self, code: str, **values: Any) -> None:
        where = Where(self.row.file, self.row.line)
        self.problems.append(Problem(code, where, {**values, "row": self.row.number}))

    def text_of(self, role: str) -> str:
        """The text that plays a role, if it is valid and not empty."""
        return self.text(self.cell(role), self.columns[role])

    def text(self, value: Any, name: str, *, may_be_empty: bool = False) -> str:
        """The value as text, if that is valid and not empty."""
        if is_missing(value):
            if not may_be_empty:
                self.add("E207", field=name)
            return ""
        text = as_text(value)
        if text is None:
            self.add("E206", field=name, wanted=_TEXT, got=kind_of(value))
            return ""
        if control := CONTROL.search(text):
            self.add("E244", number=f"{ord(control[0]):04X}", field=name)
        elif not may_be_empty and _EMPTY.fullmatch(text):
            self.add("E203", field=name)
        return text
