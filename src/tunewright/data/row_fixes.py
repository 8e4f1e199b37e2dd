"""What a person changes in rows before they are trained on: typed changes, what they do to each row, and the record of it.

Changes name rows by their numbers in the original data, so that each of them can be undone alone. Nothing here opens a file.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from tunewright.config.frozen_model import FrozenModel
from tunewright.config.stored_record import StoredRecord
from tunewright.data.examples.row_cells import cell
from tunewright.data.files.json_documents import begins_a_document
from tunewright.data.files.json_scanner import DamagedRow, kind_of, scan_line, value_damage
from tunewright.data.files.readers import RawRow
from tunewright.data.files.row import Row
from tunewright.data.rejected_rows import writable
from tunewright.errors import Problem, error

Number = Annotated[int, Field(ge=1, lt=2**63)]


class SetCell(FrozenModel):
    """Another value for one cell of a row, or a value where there was none."""

    change: Literal["set_cell"] = "set_cell"
    row: Number
    column: Annotated[str, Field(min_length=1)]
    value: Any
    code: str = ""
    """of the problem that it mends"""


class SetRow(FrozenModel):
    """Another text for a row as a whole, which may be one that could not be read: a JSON object."""

    change: Literal["set_row"] = "set_row"
    row: Number
    text: str
    code: str = ""


class LeaveOut(FrozenModel):
    """Rows that are not used; `keep_first` are those that repeat an earlier one."""

    change: Literal["leave_out", "keep_first"] = "leave_out"
    rows: Annotated[tuple[Number, ...], Field(min_length=1)]
    code: str = ""
    answers_of: str = ""
    """the run among whose answers somebody saw that these rows are wrong"""


class Cut(FrozenModel):
    """The text of a cell without what lies beyond so many characters."""

    change: Literal["cut"] = "cut"
    row: Number
    column: Annotated[str, Field(min_length=1)]
    characters: Annotated[int, Field(ge=1, lt=2**63)]
    code: str = ""


class MapColumns(FrozenModel):
    """Which column plays which role, as `data.map` says it; no row changes."""

    change: Literal["map_columns"] = "map_columns"
    columns: Annotated[dict[str, str], Field(min_length=1)]
    code: str = ""


RowFix = SetCell | SetRow | LeaveOut | Cut | MapColumns
_FIXES: TypeAdapter[list[RowFix]] = TypeAdapter(list[Annotated[RowFix, Field(discriminator="change")]])


def fixes_from(records: object) -> list[RowFix]:
    """What `model_dump` of each gave. Raises: pydantic's ValidationError."""
    return _FIXES.validate_python(records)


class RowChange(StoredRecord):
    """fixes.jsonl: what one change did to one row of the original data."""

    fix: int
    """which of the changes, counted from 1"""
    change: str
    """its kind"""
    file: str
    """the file of the row"""
    line: int
    """the line it begins in; 0 for files without lines"""
    row: int
    """its number over all data; 0 for a change of no row"""
    column: str = ""
    """the cell; "" for the whole row"""
    before: Any = None
    """value before"""
    after: Any = None
    """value after; null for a row that was left out"""
    code: str = ""
    """of the problem that it mends"""
    answers_of: str = ""
    """the run among whose answers the row was seen to be wrong, where it was left out by hand"""


@dataclass
class RowFixer:
    """Changes on their way through the rows, each with its number; `done` is what they did so far."""

    fixes: Sequence[RowFix]
    done: list[RowChange] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._of_row: dict[int, list[tuple[int, RowFix]]] = defaultdict(list)
        for count, fix in enumerate(self.fixes, 1):
            for number in rows_of(fix):
                self._of_row[number].append((count, fix))

    def lines(
        self, rows: Iterable[RawRow | Problem], start: int, texts: Mapping[tuple[str, int], str]
    ) -> Iterator[str]:
        """A line of JSON for each row, the n-th for the row with number n in its source; an empty one for a row left out.

        `start` is added to these numbers; `texts` are those of rows that could not be read. They stay so, unless they are
        changed. Raises: DataError E266 for a cell that cannot be cut, E267 for a text that is no row.
        """
        line = 0
        for row in rows:
            raw = row if isinstance(row, RawRow) else _unread(row)
            while line + 1 < raw.number:  # words of a sentence are one row, with the number of the first
                line += 1
                yield ""
            line += 1
            value: Row | str | None = raw.value if isinstance(row, RawRow) else texts.get((raw.file, raw.number), "")
            for count, fix in self._of_row.pop(start + raw.number, ()):
                value = self._changed(value, count, fix, raw, start)
            yield "" if value is None else as_line(value)

    def _changed(self, value: Row | str | None, count: int, fix: RowFix, raw: RawRow, start: int) -> Row | str | None:
        number = start + raw.number
        if value is None or isinstance(fix, MapColumns):
            return value
        column = ""
        before: object = writable(value) if isinstance(value, str) else value
        after: object = None
        whole: Row | None = None
        match fix:
            case SetRow():
                whole = after = row_from(fix.text, number)
            case SetCell() | Cut():
                if isinstance(value, str):
                    raise error("E267", row=number, reason=kind_of(value))
                column, before = fix.column, cell(value, fix.column)
                after = fix.value if isinstance(fix, SetCell) else cut_text(before, fix)
                whole = _with_cell(value, column, after)
                if damage := value_damage(whole, raw.line):
                    raise error("E267", row=number, reason=_reason(damage, number))
        record = RowChange(
            fix=count, change=fix.change, file=raw.file, line=raw.line, row=number, column=column, before=before,
            after=after, code=fix.code, answers_of=fix.answers_of if isinstance(fix, LeaveOut) else "",
        )  # fmt: skip
        self.done.append(record)
        return whole

    def raise_if_left(self, rows: int) -> None:
        """Raises: DataError E265 with every row that a change names and that is not there; `rows` are how many there are."""
        missing = [number for number, fixes in self._of_row.items() if fixes]
        if missing:
            raise error("E265", row=min(missing), count=len(missing), rows=rows)


def rows_of(fix: RowFix) -> tuple[int, ...]:
    """The rows that a change names."""
    match fix:
        case LeaveOut():
            return fix.rows
        case MapColumns():
            return ()
        case _:
            return (fix.row,)


def mapping_of(fixes: Iterable[RowFix]) -> dict[str, str]:
    """The columns by role that the changes together ask for."""
    return {role: name for fix in fixes if isinstance(fix, MapColumns) for role, name in fix.columns.items()}


def changes_rows(fixes: Iterable[RowFix]) -> bool:
    """Whether rows are changed, and not only the names of columns."""
    return not all(isinstance(fix, MapColumns) for fix in fixes)


def _with_cell(row: Row, column: str, value: object) -> Row:
    """The row with another value in a column, which may be one inside another: `translation.de`."""
    outer, dot, inner = column.partition(".")
    holder = row.get(outer)
    if dot and column not in row and isinstance(holder, dict):
        return {**row, outer: {**holder, inner: value}}
    return {**row, column: value}


def cut_text(value: object, fix: Cut) -> str:
    """The first characters of a text. Raises: DataError E266 for what is none."""
    if not isinstance(value, str):
        raise error("E266", row=fix.row, column=fix.column, got=kind_of(value))
    return value[: fix.characters]


def row_from(text: str, row: int) -> Row:
    """The row that a text is. Raises: DataError E267 for one that is no JSON object, or not a row."""
    item = scan_line(text.replace("\r", "").replace("\n", " "), 1)
    if isinstance(item, DamagedRow):
        raise error("E267", row=row, reason=_reason(item, row))
    return item.value


def _reason(damage: DamagedRow, row: int) -> str:
    return Problem(damage.code, values={**damage.values, "row": row}).message()


def typed_cell(text: str, before: object, row: int) -> object:
    """What a person typed as the value of a cell: text where text was or nothing, JSON where something else was.

    Raises: DataError E267 for JSON that cannot be read.
    """
    if before is None or isinstance(before, str):
        return text
    return row_from(f'{{"value": {text}\n}}', row)["value"]


def _unread(problem: Problem) -> RawRow:
    row = problem.values["row"]
    assert isinstance(row, int)
    return RawRow(row, problem.where.file, problem.where.line, {})


def as_line(value: Row | str) -> str:
    """A row on one line of JSON; the text of one that could not be read so that it still cannot."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, default=str)
    line = value.rstrip("\r\n")
    is_as_it_was = line.strip() and "\n" not in line and not begins_a_document(line)
    return line if is_as_it_was and isinstance(scan_line(line, 1), DamagedRow) else json.dumps(value)
