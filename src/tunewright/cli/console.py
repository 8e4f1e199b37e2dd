"""Output: streams, colour, width, tables, JSON. Results go to stdout, everything else to stderr.

Whatever a channel writes is cleaned on the way out, so no name or row reaches the terminal as it came: only the marks of
`Channel.paint` become colours. Redrawn lines have their own file, `redrawn_lines.py`.
"""

import codecs
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TextIO

from tunewright.i18n import _, one_line
from tunewright.i18n import width as columns_of

ConsoleStyle = Literal["bold", "dim", "red", "green", "yellow", "cyan"]
_CODES: Mapping[ConsoleStyle, str] = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
WIDEST_CELL = 36
LEAST_BROKEN = 16  # a wrapped column has at least this width
ERASE = "\r\x1b[2K"
# A style in a text is marked by a noncharacter, which Unicode leaves to a program's own use (23.7) and no text may hold;
# it becomes the terminal's code when the line is written.
_MARK = "\U0010ffff"
_STYLES = re.compile(f"{_MARK}((?:1|2|31|32|33|36)(?:;(?:1|2|31|32|33|36))*|0)m")
_ASCII = {
    "·": "-", "–": "-", "—": "-", "→": "->", "×": "x", "±": "+/-", "…": "...", "“": '"', "”": '"', "‘": "'", "’": "'",
    "━": "=", "╌": "-", "▁": "_", "▂": ".", "▃": "-", "▄": "=", "▅": "+", "▆": "*", "▇": "#", "█": "@", "•": "*",
    "⠋": "*", "≥": ">=", "≤": "<=",
}  # fmt: skip


def _in_ascii(fault: UnicodeError) -> tuple[str, int]:
    """What a stream gets for a character that it cannot write."""
    assert isinstance(fault, UnicodeEncodeError)
    bad = fault.object[fault.start : fault.end]
    return "".join(_ASCII.get(char, "?") for char in bad), fault.end


def prepare_streams() -> None:
    """Make both streams write whatever they are given: what their encoding lacks becomes ASCII; closed ones lead nowhere."""
    # In the order of their numbers, as each takes the lowest one that is free.
    sys.stdin = sys.stdin or os.fdopen(os.open(os.devnull, os.O_RDONLY))
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    codecs.register_error("tunewright", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="tunewright")


@dataclass(frozen=True)
class Channel:
    """One stream and what it can show; `width` is None where lines are never broken, as in a pipe."""

    stream: TextIO
    is_tty: bool
    has_color: bool
    width: int | None

    def line(self, text: str = "") -> None:
        print(render(text), file=self.stream, flush=True)

    def write(self, text: str) -> None:
        """Text that more will follow on its line."""
        print(render(text), end="", file=self.stream, flush=True)

    def data(self, text: str) -> None:
        """One line for programs, as it is."""
        print(text, file=self.stream, flush=True)

    def paint(self, text: str, *styles: ConsoleStyle) -> str:
        """The text in a style, or unchanged where there is no colour."""
        if not self.has_color or not styles or not text:
            return text
        return f"{_MARK}{';'.join(_CODES[style] for style in styles)}m{text}{_MARK}0m"

    def paragraph(self, text: str, indent: str = "", first: str | None = None) -> None:
        """A text broken at the width; `first` starts its first line, `indent` the others."""
        head = indent if first is None else first
        room = self.width - max(columns_of(plain(head)), columns_of(indent)) if self.width else None
        for number, line in enumerate(wrap(text, room)):
            self.line(f"{indent if number else head}{line}".rstrip())


def out() -> Channel:
    """The channel of results."""
    return _channel(sys.stdout)


def err() -> Channel:
    """The channel of progress, hints, warnings and errors."""
    return _channel(sys.stderr)


def _channel(stream: TextIO) -> Channel:
    is_tty = stream.isatty()
    return Channel(stream, is_tty, _has_color(is_tty), _width(is_tty))


def _has_color(is_tty: bool) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR", "")
    if forced:
        return forced != "0"
    return is_tty and os.environ.get("TERM") != "dumb"


def _width(is_tty: bool) -> int | None:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) > 0:
        return max(20, int(columns))
    return max(20, terminal_columns()) if is_tty else None


def terminal_columns() -> int:
    """How wide the terminal is now."""
    return shutil.get_terminal_size().columns


def plain(text: str) -> str:
    """The text without its colours."""
    return _STYLES.sub("", text)


def render(text: str) -> str:
    """The text as a terminal gets it: marks as colours, control characters of all else shown and not obeyed."""
    from tunewright.security import printable

    pieces = _STYLES.split(text.replace("\xa0", " "))  # hard blanks have done their work by now
    return "".join(f"\x1b[{piece}m" if i % 2 else printable(piece) for i, piece in enumerate(pieces))


def pad(text: str, width: int) -> str:
    """The text with blanks up to a width in columns; wide characters count two."""
    return text + " " * max(0, width - columns_of(plain(text)))


def wrap(text: str, width: int | None) -> list[str]:
    """Lines of at most `width` columns, broken at blanks and between wide characters; line ends are kept."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        if width is None or columns_of(plain(paragraph)) <= width:
            lines.append(paragraph)
            continue
        current = ""
        for piece in re.findall(r"[ \t]*(?:[\u2e80-\uffef]|[^ \t\u2e80-\uffef]+)", paragraph):
            if current and columns_of(plain(current + piece)) > width:
                lines.append(current)
                current = piece.lstrip()
            else:
                current += piece
        lines.append(current)
    return lines


def table(
    channel: Channel,
    rows: Iterable[Sequence[str]],
    header: Sequence[str] = (),
    *,
    indent: str = "",
    right: Sequence[int] = (),
    gap: int = 2,
    below: Sequence[str] = (),
) -> None:
    """Cells in columns without any lines, `gap` apart; the last column is broken at the width.

    `right` aligns columns to the right. `below` holds the text shown unbroken under each row, where it is not empty.
    """
    body = [[one_line(cell) for cell in row] for row in rows]
    heads = _stacked(header, body, columns_of(indent), channel.width, gap) if header else []
    lines = heads + body
    if not lines:
        return
    last = len(lines[0]) - 1
    widths = [_column_width([columns_of(plain(line[i])) for line in lines], is_last=i == last) for i in range(last + 1)]
    column = columns_of(indent) + sum(width + gap for width in widths[:-1])
    has_room = channel.width is None or channel.width - column >= min(widths[last], LEAST_BROKEN)
    for number, line in enumerate(lines):
        head = indent
        for i, cell in enumerate(line[:-1]):
            if columns_of(plain(cell)) > widths[i]:  # it has a line of its own, the others follow in their columns
                channel.line(head + cell)
                head = " " * columns_of(plain(head))
                cell = ""
            blanks = " " * (widths[i] - columns_of(plain(cell)))
            head += (blanks + cell if i in right else cell + blanks) + " " * gap
        tail = " " * (widths[last] - columns_of(plain(line[-1]))) + line[-1] if last in right else line[-1]
        if number < len(heads):
            head = channel.paint(head if tail.strip() else head.rstrip(), "dim")
            tail = channel.paint(tail, "dim") if tail.strip() else ""
        _table_line(channel, head, tail, column if has_room else columns_of(indent) + 2)
        under = below[number - len(heads)] if below and number >= len(heads) else ""
        if under:
            channel.line(f"{indent}  {under}")


def table_width(lines: Sequence[Sequence[str]]) -> int:
    """Columns that the widest line of such a table takes if nothing is broken."""
    widths = [max(columns_of(plain(line[i])) for line in lines) for i in range(len(lines[0]))]
    return sum(widths) + 2 * (len(widths) - 1)


def _stacked(
    header: Sequence[str], body: Sequence[Sequence[str]], indent: int, width: int | None, gap: int
) -> list[list[str]]:
    """The header on one line, or with its words under each other where the table would be wider than the terminal."""
    lines = [list(header), *body]
    if width is None or indent + table_width(lines) + (gap - 2) * (len(header) - 1) <= width:
        return [list(header)]
    pieces = []
    for i, head in enumerate(header):
        words = [columns_of(word) for word in head.split()]
        cells = [columns_of(plain(row[i])) for row in body]
        pieces.append(wrap(head, max([*words, *cells, 1])) or [""])
    deepest = max(map(len, pieces))
    return [list(line) for line in zip(*([""] * (deepest - len(piece)) + piece for piece in pieces), strict=True)]


def _column_width(cells: Sequence[int], *, is_last: bool) -> int:
    """The width of the widest cell; very wide cells get a line of their own."""
    return max(cells) if is_last else max((cell for cell in cells if cell <= WIDEST_CELL), default=WIDEST_CELL)


def _table_line(channel: Channel, head: str, tail: str, column: int) -> None:
    """The last cell beside the others, or under them where they leave no room."""
    if columns_of(plain(head)) <= column:
        channel.paragraph(tail, " " * column, head)
        return
    channel.line(head.rstrip())
    if tail:
        channel.paragraph(tail, " " * column)


def crop(text: str, width: int) -> str:
    """The text, or as many of its words as the width holds, with dots for the others."""
    if columns_of(text) <= width:
        return text
    return (wrap(text, width - 4)[0] if width > 4 else "").rstrip(" ,:;") + " ..."


def as_json(value: Mapping[str, object], channel: Channel | None = None) -> None:
    """One JSON object: the whole of stdout. Spread out for people, on one line for programs."""
    from tunewright.security import json_text

    channel = channel or out()
    indent = 2 if channel.is_tty else None
    if (channel.stream.encoding or "").lower().startswith("utf"):
        channel.data(json_text(value, indent=indent))
    else:
        channel.data(json.dumps(value, indent=indent, allow_nan=False))


def note(text: str) -> None:
    """A step that takes a moment."""
    channel = err()
    if channel.is_tty:  # a progress bar may be on the line
        channel.stream.write(ERASE)
    channel.line(channel.paint(text.replace("\n", "\\n"), "dim"))


def next_steps(*steps: tuple[str, str]) -> None:
    """The likely next commands, each with what it does: the last lines of a success. A command is never broken."""
    channel = err()
    width = max(len(command) for command, _why in steps)
    label = pad(_("Next"), 10)
    for number, (command, why) in enumerate(steps):
        head = label if number == 0 else " " * columns_of(label)
        line = f"{channel.paint(head, 'dim')}{pad(command, width)}   {channel.paint(why, 'dim')}".rstrip()
        is_too_wide = channel.width is not None and columns_of(plain(line)) > channel.width
        channel.line(f"{channel.paint(head, 'dim')}{command}" if is_too_wide else line)
