"""Commands that rewrite rows, for fixes that can be pasted: one line of Python that needs nothing but Python."""

import csv
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tunewright.data.files.readers import read_rows
from tunewright.data.files.text_encodings import UTF8, marked_encoding
from tunewright.errors import TunewrightError

_LINES = "(json.loads(line) for line in open({file}, encoding={encoding}) if line.strip())"
_DOCUMENT = "json.load(open({file}, encoding={encoding}))"
_TABLE = 'csv.DictReader(open({file}, newline="", encoding={encoding}){dialect})'
_LONGEST_MARK = 4  # bytes


def rewriting(
    file: str, row: str, target: str, *, only: str = "", before: str = "", between: str = "", rows: str = "rows"
) -> str | None:
    """The command that writes `row`, an expression of the row `r`, for all rows or those of which `only` is true.

    `before` are statements at the start, `between` those after reading, `rows` an expression of what `r` runs through.
    None for files whose first row Python alone does not read as we do: tables by column, titles above a header, parquet.
    """
    reader = _reader(Path(file))
    if reader is None:
        return None
    condition = f" if {only}" if only else ""
    write = f"[print(json.dumps({row}, ensure_ascii=False)) for r in {rows}{condition}]"
    code = "; ".join(part for part in ("import csv, json", before, f"rows = {reader}", between, write) if part)
    return f"python3 -c {shlex.quote(code)} > {target}"


def _reader(file: Path) -> str | None:
    """The expression that reads this file's rows, tried on the first one."""
    try:
        first = next((row.value for row in read_rows(str(file), limit=1).rows), None)
        with file.open("rb") as opened:
            encoding = marked_encoding(opened.read(_LONGEST_MARK)) or UTF8
    except (TunewrightError, OSError):
        return None
    values = {"file": json.dumps(str(file), ensure_ascii=False), "encoding": json.dumps(encoding)}
    for expression, first_row in _WAYS.items():
        try:
            if first is not None and first_row(file, encoding) == first:
                return expression.format(**values)
        except (ValueError, TypeError, LookupError, StopIteration, RecursionError, csv.Error):
            continue
    return None


def _first_line(file: Path, encoding: str) -> Any:
    with file.open(encoding=encoding) as opened:
        return json.loads(next(line for line in opened if line.strip()))


def _first_of_document(file: Path, encoding: str) -> Any:
    with file.open(encoding=encoding) as opened:
        return json.load(opened)[0]


def _first_of_table(mark: str) -> Callable[[Path, str], Any]:
    def read(file: Path, encoding: str) -> Any:
        with file.open(encoding=encoding, newline="") as opened:
            records: Iterator[dict[str | Any, str | Any]] = csv.DictReader(opened, delimiter=mark)
            return next(records)

    return read


def _table(mark: str) -> str:
    return _TABLE.replace("{dialect}", "" if mark == "," else f", delimiter={json.dumps(mark)}")


# Expressions, and what reads the first row as they do.
_WAYS: Mapping[str, Callable[[Path, str], Any]] = {
    _LINES: _first_line,
    _DOCUMENT: _first_of_document,
    **{_table(mark): _first_of_table(mark) for mark in (",", ";", "\t", "|")},
}
