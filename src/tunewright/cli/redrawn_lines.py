"""Lines at the bottom of a terminal that are redrawn in place, and permanent lines above them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from tunewright.cli import console
from tunewright.i18n import width as columns_of

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_CLEAR_BELOW = "\x1b[J"


@dataclass
class RedrawnLines:
    """The lines there now, in columns of each line.

    A terminal that was made narrower has broken these lines into more; so lines to go up are counted at the current width.
    """

    stream: TextIO
    columns: tuple[int, ...] = ()

    def __enter__(self) -> "RedrawnLines":
        self.stream.write(_HIDE)
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.write(self._away() + _SHOW)
        self.stream.flush()

    def draw(self, lines: Sequence[str]) -> None:
        """Put lines, of which none is wider than the terminal, in the place of those before."""
        text = self._away() + console.render("\n".join(lines))
        self.columns = tuple(columns_of(console.plain(line)) for line in lines)
        self.stream.write(text)
        self.stream.flush()

    def say(self, text: str) -> None:
        """Write lines that stay; those of before are away until they are drawn again."""
        self.stream.write(f"{self._away()}{text}\n")
        self.columns = ()
        self.stream.flush()

    def _away(self) -> str:
        """The codes that erase them: up to the first row, then clear below."""
        width = console.terminal_columns()
        rows = sum(max(1, -(-columns // width)) for columns in self.columns)
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}{_CLEAR_BELOW}"
