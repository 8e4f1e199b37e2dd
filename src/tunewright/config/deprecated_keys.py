"""Keys that people write and that have moved: old names, other tools' names, fields Tunewright sets itself.

They are listed in `resources/deprecated_keys.toml`, each by section ("config" is the top level). None of these keys is
accepted; each gets its own answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from tunewright.i18n import N_
from tunewright.resources import read_toml

TOP = "config"
Answers = Mapping[str, Mapping[str, str]]  # section -> key -> answer


@dataclass(frozen=True)
class OtherMethod:
    """A method of another tool: `instead` says what it is here, `fix` how to get it."""

    instead: str
    fix: str


@dataclass(frozen=True)
class DeprecatedKeys:
    """The tables of the file.

    `renamed` holds the key of today, with a value if the old name implied one; `removed` the reason; `owned` what to use
    instead of a field that Tunewright sets. `other_methods` go by name in lower case, letters and digits only.
    """

    renamed: Answers
    removed: Answers
    owned: Answers
    other_methods: Mapping[str, OtherMethod]


@cache
def deprecated_keys() -> DeprecatedKeys:
    """What the file holds; reasons are phrases, as in the values of problems."""
    content = read_toml("deprecated_keys.toml")
    answers: dict[str, dict[str, dict[str, str]]] = {"removed": {}, "owned": {}}
    for table, sections in answers.items():
        for group in content[table]:
            section = sections.setdefault(group["section"], {})
            section.update(dict.fromkeys(group["keys"], N_(group["reason"])))
    other_methods = {
        name: OtherMethod(N_(method["instead"]), method["fix"])
        for method in content["other_methods"]
        for name in method["names"]
    }
    return DeprecatedKeys(content["renamed"], answers["removed"], answers["owned"], other_methods)


def other_method(value: str) -> OtherMethod | None:
    """What a method's name of another tool is here; None for a name that is not known."""
    return deprecated_keys().other_methods.get("".join(char for char in value.lower() if char.isalnum()))


def refused(section: str) -> frozenset[str]:
    """Names that `section` never passes on to upstream, although upstream may have them."""
    keys = deprecated_keys()
    return frozenset().union(*(table.get(section, {}) for table in (keys.renamed, keys.removed, keys.owned)))
