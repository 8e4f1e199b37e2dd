"""Every code with its texts and exit code, read from `resources/errors.toml` when the first one is needed.

English is the key of the gettext catalogue. Placeholders are named; a fix whose values a problem lacks is not shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from tunewright.errors.exit_codes import EXIT_USAGE
from tunewright.resources import read_toml


@dataclass(frozen=True)
class Entry:
    """One code: what is wrong, why it usually happens, what to do, how the process ends.

    `singular` is the sentence where `count` is 1; empty where the sentence fits every number. A note reports what was
    done and is not a warning.
    """

    sentence: str
    cause: str
    fixes: tuple[str, ...] = ()
    exit_code: int = EXIT_USAGE
    singular: str = ""
    is_note: bool = False

    def sentence_for(self, values: Mapping[str, object]) -> str:
        """The sentence that fits the count among the values."""
        return self.singular if self.singular and values["count"] == 1 else self.sentence


@cache
def load_catalogue() -> Mapping[str, Entry]:
    """Entries by code, in the order of the file. Cost: about 12 ms, once per process."""
    tables = read_toml("errors.toml")
    return {code: Entry(**{**table, "fixes": tuple(table.get("fixes", ()))}) for code, table in tables.items()}
