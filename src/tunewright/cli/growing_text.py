"""A text that is shown while it grows, word by word."""

import re
from dataclasses import dataclass, field

from tunewright.cli import console
from tunewright.cli.console import Channel
from tunewright.cli.problem_display import printable
from tunewright.i18n import width as columns_of

_WIDE = r"\u2e80-\uffef"
_WORD = re.compile(rf"[ \t]*(?:\n|[{_WIDE}]|[^ \t\n{_WIDE}]+(?=[ \t\n{_WIDE}]))")  # one whose end is known


@dataclass
class GrowingText:
    """A text behind a head, broken at `width` as `Channel.paragraph` does; a word is written when its end is known."""

    channel: Channel
    head: str = ""
    width: int | None = None
    line_end: str = "\n"
    """What is written for the line ends within it."""
    _pending: str = field(default="", init=False)
    _line: str = field(default="", init=False)
    """The part of the text that is on the last line."""

    def begin(self) -> None:
        """Write the head."""
        self.channel.write(self.head)

    def add(self, piece: str) -> None:
        """The next piece of the text."""
        self._pending += printable(piece)
        while word := _WORD.match(self._pending):
            self._pending = self._pending[word.end() :]
            self._write(word[0])

    def end(self) -> None:
        """Write the rest of it, and end the line."""
        self._write(self._pending)
        self.channel.line()

    def _write(self, word: str) -> None:
        indent = columns_of(console.plain(self.head)) if self.width else 0
        if word.endswith("\n"):
            self.channel.write(word[:-1] + self.line_end + " " * indent)
            self._line = ""
            return
        if self.width and self._line and columns_of(self._line + word) > self.width - indent:
            self.channel.write("\n" + " " * indent)
            word, self._line = word.lstrip(), ""
        self.channel.write(word)
        self._line += word
