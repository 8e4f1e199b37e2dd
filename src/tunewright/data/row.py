"""One row on its way to an example: its cells by role, and what is wrong with them."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tunewright.data.read import RawRow
from tunewright.data.scan import kind_of
from tunewright.errors import Problem, Where
from tunewright.i18n import N_, Phrase

_TEXT = N_("text")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def unpacked(value: Any) -> Any:
    """The value, or the list it holds as JSON text: so a cell of a csv file holds a list."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def cell(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column, also of one inside another: `translation.de`. None if there is none."""
    outer, dot, inner = column.partition(".")
    holder = row.get(outer)
    return holder.get(inner) if dot and column not in row and isinstance(holder, dict) else row.get(column)


class RowReport:
    """The cells of one row, and its problems."""

    def __init__(self, row: RawRow, columns: Mapping[str, str]) -> None:
        self.row = row
        self.columns = columns
        self.problems: list[Problem] = []

    def cell(self, role: str) -> Any:
        return cell(self.row.value, self.columns[role])

    def add(self, code: str, **values: Any) -> None:
        where = Where(self.row.file, self.row.line)
        self.problems.append(Problem(code, where, {**values, "row": self.row.number}))

    def text_of(self, role: str) -> str:
        """The text that plays a role, if it is sound and says something."""
        return self.text(self.cell(role), self.columns[role])

    def text(self, value: Any, name: str, *, may_be_empty: bool = False) -> str:
        """The value, if it is sound text that says something."""
        if value is None:
            if not may_be_empty:
                self.add("E207", field=name)
            return ""
        if not isinstance(value, str):
            self.add("E206", field=name, wanted=_TEXT, got=kind_of(value))
            return ""
        if control := _CONTROL.search(value):
            self.add("E205", reason=Phrase(N_("the character U+{code:04X} in {name}"), code=ord(control[0]), name=name))
        elif not may_be_empty and not value.strip():
            self.add("E203", field=name)
        return value
