"""csv and tsv to rows: the separator, the header or its absence, and quotes as different programs write them."""

import csv
import re
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import dropwhile, islice
from typing import TypedDict

from tunewright.data.files.column_names import are_names, normal
from tunewright.data.files.json_scanner import (
    KEPT_CHARACTERS,
    MAX_ROW_BYTES,
    DamagedRow,
    ParsedRow,
    ScanItem,
    size_damage,
    text_damage,
    with_text,
)
from tunewright.data.files.text_file import TextLine
from tunewright.errors import Where, error

_SEPARATORS = (",", ";", "\t", "|")
_RARE_SEPARATORS = ("\x01", "^", "~")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
NUMBERED = re.compile(r"column_[1-9][0-9]*")
LINES_LOOKED_AT = 20
_RULE = re.compile(r"\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?")


class _Quotes(TypedDict, total=False):
    """What the csv reader is told about quotes and blanks around cells."""

    quotechar: str
    skipinitialspace: bool


class _Escapes(TypedDict, total=False):
    """What the csv reader is told about quotes inside quoted cells."""

    escapechar: str
    doublequote: bool


# Programs that do not double a quote inside a quoted cell put a backslash in front of it.
_DIALECTS: tuple[_Escapes, ...] = ({}, {"escapechar": "\\", "doublequote": False})


def scan_table(
    lines: Iterator[TextLine], file: str, separator: str, columns: Collection[str] = ()
) -> Iterator[ScanItem]:
    """Rows under the header of the first line; cells are text.

    A table has no header if `columns`, those that `--map` names, are called column_1, column_2, ... and no header has them.
    Raises: DataError E205, E213, E221 if the header is damaged, E241 if a name appears in it twice.
    """
    waiting = _Lines(lines)
    first = list(islice(dropwhile(lambda line: not line[1].strip(), waiting), LINES_LOOKED_AT))
    if first and (named := _SEPARATOR_LINE.fullmatch(first[0][1])):
        separator, first = named[1], first[1:]
    if not first:
        return
    first = _below_title(first, separator)
    waiting.give_back(first)
    separator = _separator_of([text for _number, text, _size in first], separator)
    quoting = _quoting_of(first[0][1], separator)
    is_drawn = separator == "|" and len(first) > 1 and _RULE.fullmatch(first[1][1].strip()) is not None
    header: list[str] = []
    while (read := _next_record(waiting, separator, len(header), quoting)) is not None:
        number, record = read
        if isinstance(record, DamagedRow):
            if not header:
                raise error(record.code, Where(file, number, record.column), **record.values)
            yield record
            continue
        if is_drawn:  # a table of Markdown: blanks around cells, and a line of dashes below the names
            record = [cell.strip() for cell in record]
        if not any(record) or (is_drawn and _RULE.fullmatch("|".join(record))):
            continue  # a blank line, an empty one of a spreadsheet, or the dashes
        if header:
            yield _row(number, record, header, separator)
        else:
            header, is_header = _header_of(record, file, number, columns)
            if not is_header:
                yield ParsedRow(number, dict(zip(header, record, strict=True)))


def has_even_tabs(lines: list[str]) -> bool:
    """Whether lines of text are a table: each has as many tabs as the first, which has some."""
    widths = [line.count("\t") for line in lines[:LINES_LOOKED_AT] if line.strip()]
    return len(widths) > 1 and widths[0] > 0 and all(width == widths[0] for width in widths)


def has_named_columns(lines: list[str]) -> bool:
    """Whether the first line of a text names the columns of a table, and the lines below it have as many cells."""
    first = [line for line in lines[:LINES_LOOKED_AT] if line.strip()]
    if len(first) < 2:
        return False
    separator = _separator_of(first, "")
    names = next(_records(first[:1], separator), [])
    return are_names([name.strip() for name in names]) and _evenness(first, separator) > 0.5


def _below_title(lines: list[TextLine], preferred: str) -> list[TextLine]:
    """The lines without a title or a comment alone above the names of columns."""
    if len(lines) < 3:
        return lines
    separator = _separator_of([text for _number, text, _size in lines[1:]], preferred)
    title, names = (text.rstrip("\r\n").split(separator) for _number, text, _size in lines[:2])
    is_title = sum(bool(cell.strip()) for cell in title) == 1 and are_names([name.strip(' "') for name in names])
    return lines[1:] if is_title else lines


def _row(number: int, record: list[str], header: list[str], separator: str) -> ScanItem:
    if len(header) > 1 and [normal(cell) for cell in record] == [normal(name) for name in header]:
        return with_text(DamagedRow("E242", number), separator.join(record))
    if len(header) == 1 and len(record) > 1:  # it holds nothing but the text, so its commas need no quotes
        record = [separator.join(record)]
    while len(record) > len(header) and not record[-1].strip():  # a separator at the end of each line
        record = record[:-1]
    if len(record) != len(header):
        return with_text(
            DamagedRow("E218", number, 0, {"got": len(record), "wanted": len(header)}), separator.join(record)
        )
    return ParsedRow(number, dict(zip(header, record, strict=True)))


class _Lines:
    """Lines of a file, some of which can be given back."""

    def __init__(self, source: Iterator[TextLine]) -> None:
        self._source = source
        self._waiting: deque[TextLine] = deque()

    def __iter__(self) -> Iterator[TextLine]:
        return self

    def __next__(self) -> TextLine:
        return self._waiting.popleft() if self._waiting else next(self._source)

    def give_back(self, lines: list[TextLine]) -> None:
        self._waiting.extendleft(reversed(lines))


def _next_record(
    lines: _Lines, separator: str, num_columns: int, quoting: _Quotes
) -> tuple[int, list[str] | DamagedRow] | None:
    """First line and cells of the next record, None at the end; `wanted` is the number of cells, 0 before it is known.

    A record that is not well quoted costs its first line only, so that one lost quote does not swallow what follows.
    """
    if separator == "\t" and (plain := _tabbed(lines, num_columns)):
        return plain
    faults, is_escaped = [], False
    for dialect in _DIALECTS:
        part: list[TextLine] = []
        if dialect and not is_escaped:
            break
        try:
            cells = next(csv.reader(_fed(lines, part), delimiter=separator, strict=True, **quoting, **dialect), [])
        except csv.Error as fault:
            faults.append(str(fault))
            lines.give_back(part)
            is_escaped = any('\\"' in text for _number, text, _size in part)
            continue
        if not part:
            return None
        if dialect and len(cells) != num_columns:  # what a backslash means is a guess, unless the row comes out right
            lines.give_back(part)
            break
        return part[0][0], _damage_of(part) or cells
    number, text, _size = next(lines)
    harm = text_damage(text, number) or DamagedRow("E221", number, 0, {"reason": faults[0]})
    return number, replace(harm, text=text[:KEPT_CHARACTERS])


def _fed(lines: _Lines, part: list[TextLine]) -> Iterator[str]:
    """The lines of one record, which are put into `part`; no more than a row may be long."""
    size = 0
    for line in lines:
        part.append(line)
        size += line[2]
        if size > MAX_ROW_BYTES:
            return
        yield line[1]


def _tabbed(lines: _Lines, num_columns: int) -> tuple[int, list[str] | DamagedRow] | None:
    """A line that has as many tabs as the header is a row, with quotes around whole cells or none that mean anything."""
    line = next(lines, None)
    if line is None:
        return None
    number, text, _size = line
    cells = text.rstrip("\r\n").split("\t")
    if len(cells) != num_columns or (_is_open(cells[-1]) and not _comes_a_row(lines, num_columns)):
        lines.give_back([line])
        return None
    return number, _damage_of([line]) or [_unquoted(cell) for cell in cells]


def _is_open(cell: str) -> bool:
    """Whether a quote that encloses a cell may close on a later line."""
    return cell.startswith('"') and cell.count('"') % 2 == 1


def _comes_a_row(lines: _Lines, num_columns: int) -> bool:
    line = next(lines, None)
    if line is None:
        return True
    lines.give_back([line])
    return line[1].count("\t") + 1 == num_columns


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if is_quoted else cell


def _damage_of(part: list[TextLine]) -> DamagedRow | None:
    start = part[0][0]
    flaw = next((damage for number, text, _size in part if (damage := text_damage(text, number))), None)
    damage = size_damage(sum(size for _number, _text, size in part), start) or flaw
    return damage and replace(damage, text="".join(text for _number, text, _size in part)[:KEPT_CHARACTERS])


def _separator_of(lines: list[str], preferred: str) -> str:
    """The separator that splits the first lines most evenly, of those in the first one outside quotes."""
    bare = Counter(re.sub(r'"[^"]*"', "", lines[0]))
    if preferred and (bare[preferred] or not any(bare[mark] for mark in _SEPARATORS)):
        return preferred
    marks = [mark for mark in _SEPARATORS if bare[mark]] or [mark for mark in _RARE_SEPARATORS if bare[mark]]
    return max(marks, key=lambda mark: (_evenness(lines, mark), bare[mark]), default=",")


def _quoting_of(header: str, separator: str) -> _Quotes:
    """How the header quotes its names, and whether a blank follows each separator; cells are written so too."""
    names = header.rstrip("\r\n").split(separator)
    is_single = all(len(name) > 2 and name.strip()[:1] == name.strip()[-1:] == "'" for name in names)
    is_spaced = len(names) > 1 and all(name.startswith(" ") for name in names[1:])
    quotes: _Quotes = {"skipinitialspace": is_spaced}
    return {**quotes, "quotechar": "'"} if is_single else quotes


def _evenness(lines: list[str], mark: str) -> float:
    """The share of these lines that have as many cells as the first."""
    widths = [len(record) for record in _records(lines, mark) if record]
    return sum(width == widths[0] for width in widths) / len(widths)


def _records(lines: list[str], mark: str) -> Iterator[list[str]]:
    """The cells of lines by the rules of csv, whatever ends of lines are inside of them."""
    return csv.reader((re.sub(r"[\r\n]", "", line) for line in lines), delimiter=mark)


def _header_of(record: list[str], file: str, line: int, columns: Collection[str]) -> tuple[list[str], bool]:
    """The names of the columns, and whether the record is the header that has them."""
    names = [name.strip() or f"column_{index}" for index, name in enumerate(record, 1)]
    numbers = [f"column_{index}" for index in range(1, len(record) + 1)]
    if any(NUMBERED.fullmatch(column) and column not in names for column in columns):
        return numbers, False
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise error("E241", Where(file, line), column=twice, first=numbers[0], second=numbers[-1])
    return names, True
