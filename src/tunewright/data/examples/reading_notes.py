"""What is worth a warning in how rows were read, by its code; rows are counted, none is changed."""

from collections.abc import Iterable, Iterator, Mapping

from tunewright.data.examples.conversation_forms import has_no_speakers
from tunewright.data.examples.formats import Format
from tunewright.data.examples.row_cells import accepted_answers, cell, is_structured, is_written_missing, unpacked
from tunewright.data.files.readers import RawRow
from tunewright.data.files.row import Row

_NAN = frozenset(("nan", "NaN", "NAN", "<NA>"))
_MAY_BE_EMPTY = ("input", "system", "history", "reasoning")


def remarks_of(rows: Iterable[RawRow], form: Format) -> Iterator[str]:
    """Codes of warnings, one for each row and remark about it."""
    for row in rows:
        yield from _of_row(row.value, form.columns)


def _of_row(row: Row, columns: Mapping[str, str]) -> Iterator[str]:
    if "messages" in columns and has_no_speakers(unpacked(cell(row, columns["messages"]))):
        yield "W241"
    if any(is_written_missing(cell(row, columns[role])) for role in _MAY_BE_EMPTY if role in columns):
        yield "W243"
    if "completion" not in columns:
        return
    answer = cell(row, columns["completion"])
    if (answers := accepted_answers(answer)) is not None:
        if len(set(answers)) > 1:
            yield "W245"
    elif is_structured(answer):
        yield "W238"
    elif isinstance(answer, float) and answer.is_integer():
        yield "W251"
    if any(
        cell(row, columns[role]) in _NAN
        for role in ("prompt", "completion")
        if isinstance(cell(row, columns[role]), str)
    ):
        yield "W244"
