"""The words of the field with their explanations, which `explain` and the report show: `resources/glossary.toml`."""

from dataclasses import dataclass
from functools import cache

from tunewright.resources import read_toml


@dataclass(frozen=True)
class Term:
    """One word of the field; `keys` are config keys it belongs to and other names for it, in English and Chinese."""

    name: str
    text: str
    keys: tuple[str, ...] = ()


@cache
def load_terms() -> tuple[Term, ...]:
    """All terms, in English; `_` translates name and text. Cost: about 5 ms, once per process."""
    return tuple(
        Term(table["name"], table["text"], tuple(table.get("keys", ())))
        for table in read_toml("glossary.toml")["terms"]
    )
