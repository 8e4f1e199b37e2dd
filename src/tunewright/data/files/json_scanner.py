"""JSON to rows with exact places: single values, lists of them, and values one after another.

A damaged row is reported with line and column and never costs its neighbours. Stricter than Python's reader: a key that is
twice, NUL and half characters are damage; NaN and Infinity, which Python writes, are read as missing. Nothing here opens
a file.
"""

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tunewright.data.files.columnar_json import is_turn, table_rows
from tunewright.data.files.row import Row
from tunewright.errors import Where, error
from tunewright.i18n import N_

MAX_ROW_BYTES = 1_000_000
KEPT_CHARACTERS = 4096  # of a damaged row, for whoever repairs it


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """A row that could be read, with the line it begins in."""

    line: int
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """A row that could not be read: what a Problem needs but for file and row number, and the beginning of the row."""

    code: str
    line: int
    column: int = 0
    values: Row = field(default_factory=dict)
    text: str = ""


ScanItem = ParsedRow | DamagedRow


def with_text(item: ScanItem, text: str, start: int = 0, end: int | None = None) -> ScanItem:
    """A damaged row with its text, as far as it is kept; sound rows stay as they are."""
    if isinstance(item, ParsedRow):
        return item
    limit = start + KEPT_CHARACTERS
    return replace(item, text=text[start : limit if end is None else min(end, limit)])


class _RefusedError(ValueError):
    """Accepted by Python's reader, but not JSON or not unambiguous."""


class _BrokenError(ValueError):
    """No JSON: where, and why by Python's reader."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset, self.reason = offset, reason


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    twice = next(key for key, count in Counter(key for key, _value in pairs).items() if count > 1)
    raise _RefusedError(f'the key "{twice}" appears twice in one object')


_STRICT = json.JSONDecoder(object_pairs_hook=_unique)
LENIENT = json.JSONDecoder(strict=False)
_SPACE = re.compile(r"[ \t\r\n\ufeff]*")  # joined files have marks of byte order between them
_FLAW = re.compile("[\x00\ud800-\udfff]")
_FLAW_ESCAPE = re.compile(
    r"\\u0000|\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F].."  # a pair is one character
)
_MAYBE_FLAW = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.)*")\s*:')
# Reading what turns out to be damaged may cost this many times the text; a text that is open brackets would cost its square.
MAX_WASTE = 8
DEEP = 5000  # characters that are read before nesting is too deep, about
FEW_FAULTS, PART = 20, 8192
DEEPEST_INDENT = 200

_REASONS = {
    "Extra data": N_("there is something after its end"),
    "Expecting value": N_("a value is missing here"),
    "Expecting ',' delimiter": N_('a comma is missing here, or a quote " inside a text is not written as \\"'),
    "Expecting ':' delimiter": N_("a colon is missing here"),
    "Expecting property name enclosed in double quotes": N_("a key in double quotes is missing here"),
    "Illegal trailing comma before end of object": N_("there is a comma before the end of the object"),
    "Illegal trailing comma before end of array": N_("there is a comma before the end of the list"),
    "Unterminated string starting at": N_("the text that begins here does not end"),
    "Invalid control character at": N_("a line break or control character inside a text is not escaped"),
    "Invalid \\escape": N_("a backslash is not written as \\\\"),
    "Invalid \\uXXXX escape": N_("\\u needs four hexadecimal digits"),
}
_NOT_UTF8 = N_("the bytes are not UTF-8")
_NUL = N_("a NUL character")
_HALF = N_("a lone surrogate (half a character)")

_KINDS: Mapping[type, str] = {
    dict: N_("an object"),
    list: N_("a list"),
    str: N_("text"),
    bool: N_("true or false"),
    int: N_("a whole number"),
    float: N_("a decimal number"),
    type(None): N_("null"),
}


def kind_of(value: Any) -> str:
    """The type of a value in words: "a list", "a whole number"."""
    return _KINDS.get(type(value), type(value).__name__)


def text_damage(text: str, line: int, start: int = 0, end: int | None = None) -> DamagedRow | None:
    """E205 for the first NUL or undecodable byte between two offsets; the column counts from `start`."""
    flaw = _FLAW.search(text, start, len(text) if end is None else end)
    if not flaw:
        return None
    return DamagedRow("E205", line, flaw.start() - start + 1, {"reason": _NUL if flaw[0] == "\x00" else _NOT_UTF8})


def size_damage(size: int, line: int) -> DamagedRow | None:
    """E213 for a row above the limit."""
    return DamagedRow("E213", line, 0, {"size": size, "limit": MAX_ROW_BYTES}) if size > MAX_ROW_BYTES else None


def value_damage(value: Row, line: int) -> DamagedRow | None:
    """E205 or E213 for a row that came as values: half characters and NUL in its texts, or too much of them."""
    size = 0
    for text in _texts(value):
        if flaw := _FLAW.search(text):
            return DamagedRow("E205", line, 0, {"reason": _NUL if flaw[0] == "\x00" else _HALF})
        size += len(text)
    return size_damage(size, line)


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping):
            waiting.extend(part.keys())
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def scan_line(text: str, line: int) -> ScanItem:
    """The row of one line of JSON."""
    return with_text(JsonDocument(text.rstrip(), first_line=line).single(), text)


def _is_cell(value: Any) -> bool:
    """Whether a list that begins so is a row: of turns, or of the cells of a table."""
    return is_turn(value) or isinstance(value, str | int | float)


def _as_row(value: Any) -> Any:
    """The object that a list represents: a conversation, or cells whose columns have numbers; other values as they are."""
    if isinstance(value, list) and value and is_turn(value[0]):
        return {"messages": value}
    if isinstance(value, list) and len(value) > 1 and all(isinstance(v, str | int | float | None) for v in value):
        return {f"column_{index}": item for index, item in enumerate(value, 1)}
    return value


def checked_values(value: dict[str, object], line: int) -> ScanItem:
    """A row that was read with others as values, unless its texts are damaged."""
    damage = value_damage(value, line)
    return with_text(damage, json.dumps(value, ensure_ascii=False, default=str)) if damage else ParsedRow(line, value)


def after_space(text: str, position: int) -> int:
    """Offset of the next character that is not white space."""
    match = _SPACE.match(text, position)
    assert match
    return match.end()


class JsonDocument:
    """A text of JSON that knows the line and column of each offset."""

    def __init__(self, text: str, first_line: int = 1) -> None:
        self.text = text
        self.first_line = first_line
        self.line_ends = [match.start() for match in re.finditer("\n", text)]
        self.has_flaw = _FLAW.search(text) is not None
        self.waste = 0  # characters read in vain
        self.faults = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether the budget for reading in vain is used up."""
        return self.waste > MAX_WASTE * (len(self.text) + DEEP)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset."""
        index = bisect_left(self.line_ends, offset)
        line_start = self.line_ends[index - 1] + 1 if index else 0
        return index + self.first_line, offset - line_start + 1

    def skip(self, position: int) -> int:
        """Offset of the next character that is not white space."""
        return after_space(self.text, position)

    def single(self) -> ScanItem:
        """The one value of this text."""
        item, end = self.element(self.skip(0))
        if isinstance(item, ParsedRow) and end is not None and (rest := self.skip(end)) < len(self.text):
            return self.not_json(rest, _REASONS["Extra data"])
        return item

    def table_or_row(self) -> Iterator[ScanItem]:
        """The rows of the table that this text is; a single row if it is not a table."""
        item = self.single()
        rows = table_rows(item.value) if isinstance(item, ParsedRow) else None
        if rows is None:
            yield item
        else:
            yield from (checked_values(row, item.line) for row in rows)

    def sequence(self, position: int, file: str) -> Iterator[ScanItem]:
        """Lists of rows and rows, one after another to the end of the text, with commas between them or not."""
        text, first = self.text, True
        while (position := self.skip(position)) < len(text):
            if text[position] == "[" and isinstance(self.first_of_list(position), str) and first:
                position = yield from self.texts(position)
            elif text[position] == "[" and not _is_cell(self.first_of_list(position)):
                position = yield from self.elements(position + 1, file, first=first)
            elif text[position] in "{[":
                item, end = self.element(position)
                after = self.next_element(position) if end is None else end
                if after == -1 and self.is_hopeless:
                    assert isinstance(item, DamagedRow)
                    raise self.hopeless(item, file)
                yield with_text(item, text, position, after if after > position else None)
                position = after
            else:
                yield with_text(self.not_json(position, _REASONS["Extra data"]), text, position)
                return
            if position == -1:
                return
            position = self.skip(position)
            position += text[position : position + 1] == ","
            first = False

    def texts(self, start: int) -> Generator[ScanItem, None, int]:
        """A list of texts: each is a row, unless more lists follow; then it is a row itself. Returns: the offset after it."""
        item, end = self.element(start)
        value = [] if end is None else LENIENT.raw_decode(self.text, start)[0]
        if end is None or self.skip(end) < len(self.text) or not all(isinstance(item, str) for item in value):
            yield with_text(item, self.text, start, end)
        else:
            line, _column = self.place(start)
            yield from (checked_values({"text": item}, line) for item in value)
        return len(self.text) if end is None else end

    def first_of_list(self, start: int) -> Any:
        """The first element of a list; None if it is damaged or there is none."""
        try:
            return LENIENT.raw_decode(self.text, self.skip(start + 1))[0]
        except (ValueError, RecursionError):
            return None

    def wrapped(self, position: int, file: str) -> Iterator[ScanItem]:
        """The elements of the list inside an object; what follows belongs to that object."""
        end = yield from self.elements(position, file)
        closing = self.text[self.skip(end) :].strip() if end != -1 else ""
        if closing and not closing.endswith("}"):
            yield with_text(self.not_json(self.skip(end), _REASONS["Extra data"]), self.text, end)

    def elements(self, position: int, file: str, *, first: bool = True) -> Generator[ScanItem, None, int]:
        """The elements of the list that opens before this offset. Returns: the offset after it, -1 if it has no end."""
        text = self.text
        while True:
            position = self.skip(position)
            if position == len(text):
                damage = self.not_json(position, N_("the file ends before its list does"))
                if first:
                    raise self.hopeless(damage, file)
                yield damage
                return -1
            if text[position] == "]":
                return position + 1
            item, end = self.element(position)
            after = self.skip(end) if end is not None else position
            if end is not None and after < len(text) and text[after] not in ",]":
                item, end = self.not_json(after, _REASONS["Expecting ',' delimiter"]), None
            if end is None:
                after = self.next_element(position)
                if after == -1 and (first or self.is_hopeless):
                    assert isinstance(item, DamagedRow)
                    raise self.hopeless(item, file)
            yield with_text(item, text, position, after if after > position else None)
            first = False
            if after == -1:
                return -1
            position = after + 1 if text[after : after + 1] == "," else after

    def element(self, start: int) -> tuple[ScanItem, int | None]:
        """The value at an offset and the offset of its end; no end if it is so damaged that it cannot be found."""
        try:
            value, end = self.decoded(_STRICT, start)
        except _BrokenError as fault:
            self.faults += 1
            self.waste += fault.offset - start
            return self.syntax_damage(fault), self.lenient_end(start)
        except RecursionError:
            self.waste += DEEP
            return self.not_json(start, N_("it is nested too deeply")), None
        except _RefusedError as fault:
            return self.not_json(start, str(fault)), self.lenient_end(start)
        except ValueError:  # Python reads whole numbers of up to 4300 digits
            return self.not_json(start, N_("a number has too many digits")), self.lenient_end(start)
        return self.checked(value, start, end), end

    def lenient_end(self, start: int) -> int | None:
        """Where a refused value ends, if its brackets and quotes are sound."""
        try:
            return self.decoded(LENIENT, start)[1]
        except (ValueError, RecursionError):
            return None

    def decoded(self, decoder: json.JSONDecoder, start: int) -> tuple[Any, int]:
        """The value at an offset and the offset of its end.

        Python counts the lines in front of each error, from the beginning of what it reads; so where errors are many, a part
        is read first, and the whole only if that is too short. Raises: _BrokenError, _RefusedError, ValueError, RecursionError.
        """
        text, offset = self.text, start
        if self.faults > FEW_FAULTS:
            text, offset = text[start : start + PART], 0
        try:
            value, end = decoder.raw_decode(text, offset)
        except json.JSONDecodeError as fault:
            is_cut = text is not self.text and (fault.pos > PART - 10 or fault.msg.startswith("Unterminated"))
            if not is_cut:
                raise _BrokenError(fault.pos - offset + start, fault.msg) from None
        else:
            if text is self.text or end < PART:
                return value, end - offset + start
        try:
            return decoder.raw_decode(self.text, start)
        except json.JSONDecodeError as fault:
            raise _BrokenError(fault.pos, fault.msg) from None

    def syntax_damage(self, fault: "_BrokenError") -> DamagedRow:
        line, column = self.place(fault.offset)
        if flaw := text_damage(self.text, line, fault.offset, fault.offset + 1):
            return DamagedRow("E205", line, column, flaw.values)
        return self.not_json(fault.offset, _REASONS.get(fault.reason, fault.reason))

    def checked(self, value: Any, start: int, end: int) -> ScanItem:
        """The row, if its text is whole, small enough and an object."""
        line, _column = self.place(start)
        if self.has_flaw and (flaw := _FLAW.search(self.text, start, end)):
            line, column = self.place(flaw.start())
            return DamagedRow("E205", line, column, {"reason": _NOT_UTF8})
        if 4 * (end - start) > MAX_ROW_BYTES and (damage := size_damage(len(self.text[start:end].encode()), line)):
            return damage
        value = _as_row(value)
        if not isinstance(value, dict):
            better = {"better": '{"text": "..."}'} if isinstance(value, str) else {}
            return DamagedRow(
                "E206", line, 0, {"field": "row", "wanted": _KINDS[dict], "got": kind_of(value), **better}
            )
        if _MAYBE_FLAW.search(self.text, start, end) and (damage := value_damage(value, line)):
            escape = _FLAW_ESCAPE.search(self.text, start, end)
            line, column = self.place(escape.start()) if escape else (line, 0)
            return DamagedRow("E205", line, column, damage.values)
        return ParsedRow(line, value)

    def not_json(self, offset: int, reason: str) -> DamagedRow:
        line, column = self.place(offset)
        return DamagedRow("E204", line, column, {"reason": reason})

    def next_element(self, start: int) -> int:
        """Offset of the element after a damaged one, -1 if none can be found or too much was read in vain.

        In a list written over several lines elements begin a line with no more indent than this one; within one
        line they begin with the same key. So objects nested in the damaged element are not mistaken for rows.
        """
        if self.is_hopeless:
            return -1
        _line, column = self.place(start)
        indent = self.text[start - column + 1 : start] if column <= DEEPEST_INDENT else "x"
        if not indent.strip():
            pattern = rf"\n[ \t]{{0,{len(indent)}}}\{{"
        elif key := _FIRST_KEY.match(self.text, start):
            pattern = rf"[,}}\]\s]\{{(?=\s*{re.escape(key[1])}\s*:)"
        else:
            return -1
        match = re.compile(pattern).search(self.text, start + 1)
        return match.end() - 1 if match else -1

    @staticmethod
    def hopeless(damage: DamagedRow, file: str) -> Exception:
        """E217 at the place of the first damage."""
        return error("E217", Where(file, damage.line, damage.column), reason=damage.values["reason"])
