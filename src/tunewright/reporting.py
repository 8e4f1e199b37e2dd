"""What long work tells its caller while it runs: how far it is, and notes for a person.

One reporter is handed down from the caller to whatever does the work; who receives it decides where it goes: the command line
shows it, a worker writes events, a session sends replies.
"""

from dataclasses import dataclass
from typing import Protocol


class Reporter(Protocol):
    """Receives progress and notes of one call."""

    def progress(self, done: int, total: int) -> None:
        """So much of the work is done, in units of the caller's choice; called often. `total` is 0 while it is not known.

        What it raises ends the work, which leaves nothing half done behind.
        """

    def note(self, text: str) -> None:
        """Something decided or measured that a person wants to know, or a step that takes a moment.

        What a worker may say is an `i18n.Phrase`: it is read in another process, in a language of its own.
        """


class SilentReporter:
    """Drops everything."""

    def progress(self, done: int, total: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass


SILENT = SilentReporter()


@dataclass(frozen=True)
class PartReporter:
    """The reporter of one part of a larger work: the part is `size` of its `total` units and begins after `start` of them."""

    whole: Reporter
    start: int
    size: int
    total: int

    def progress(self, done: int, total: int) -> None:
        self.whole.progress(self.start + (self.size * done // total if total else 0), self.total)

    def note(self, text: str) -> None:
        self.whole.note(text)
