"""One row of the table of codes, and the exit codes of the process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DOES_NOT_FIT = 3
EXIT_DATA = 4
EXIT_MISSING_PART = 5
EXIT_NETWORK = 6
EXIT_MEMORY = 7
EXIT_CHECK_FAILED = 8
EXIT_LOCKED = 9
EXIT_DIVERGED = 10
EXIT_REFUSED = 11
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


@dataclass(frozen=True)
class Entry:
    """One row: what is wrong, why it usually happens, what to do, how the process ends.

    `singular` is the sentence where its `count` is 1; empty where the sentence fits every number. A note says what was done
    and is no warning.
    """

    sentence: str
    cause: str
    fixes: tuple[str, ...] = ()
    exit_code: int = EXIT_USAGE
    singular: str = ""
    is_note: bool = False

    def sentence_for(self, values: Mapping[str, Any]) -> str:
        """The sentence that fits the number among the values."""
        return self.singular if self.singular and values["count"] == 1 else self.sentence


def data_fault(sentence: str, cause: str, *fixes: str, singular: str = "") -> Entry:
    return Entry(sentence, cause, fixes, EXIT_DATA, singular)


def seen(sentence: str, cause: str, *fixes: str, singular: str = "") -> Entry:
    return Entry(sentence, cause, fixes, EXIT_OK, singular)
