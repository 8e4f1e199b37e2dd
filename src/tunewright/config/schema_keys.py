"""Which keys exist where, and which of them a mistyped or misplaced key was meant to be."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, get_args

from pydantic.fields import FieldInfo

from tunewright.config.deprecated_keys import TOP, deprecated_keys
from tunewright.config.methods import METHODS
from tunewright.config.run_config import RunConfig
from tunewright.config.section import Section, UpstreamSection


def _models(annotation: Any) -> tuple[type[Section], ...]:
    """The models that an annotation admits: one, or those of a union."""
    return tuple(m for m in get_args(annotation) or (annotation,) if isinstance(m, type) and issubclass(m, Section))


SECTIONS: Mapping[str, tuple[type[Section], ...]] = {
    name: models for name, field in RunConfig.model_fields.items() if (models := _models(field.annotation))
}


def fields(section: str) -> dict[str, FieldInfo]:
    """The own options of a section by name; "config" is the top level, sections themselves left out.

    Those of `peft` are the options of all methods; `methods_with` gives the methods that have one.
    """
    if section == TOP:
        return {name: field for name, field in RunConfig.model_fields.items() if name not in SECTIONS}
    options: dict[str, FieldInfo] = {}
    for model in SECTIONS[section]:
        options |= {n: field for n, field in model.model_fields.items() if not field.exclude and n not in options}
    return options


def methods_with(key: str) -> list[str]:
    """The methods that have a field, as an option or handed on to PEFT."""
    return [
        name
        for name, row in METHODS.items()
        if key in row.model.upstream_fields() or key in {n for n, f in row.model.model_fields.items() if not f.exclude}
    ]


def upstream(section: str) -> frozenset[str]:
    """Names a section hands on to upstream, beside its own options."""
    models = [model for model in SECTIONS.get(section, ()) if issubclass(model, UpstreamSection)]
    return (
        frozenset().union(*(model.upstream_fields() for model in models)) - fields(section).keys()
        if models
        else frozenset()
    )


def options() -> Iterator[tuple[str, FieldInfo]]:
    """Every own option of a config: dotted path and field, in the order of the file."""
    for name, field in RunConfig.model_fields.items():
        if name not in SECTIONS:
            yield name, field
        else:
            yield from ((f"{name}.{key}", inner) for key, inner in fields(name).items())


def old_name(section: str, key: str) -> tuple[str, str] | None:
    """Section and code of a known key that is not accepted: E104 renamed, E112 removed, E118 set by Tunewright itself.

    At the top level the tables of all sections count, as people write flat configs.
    """
    keys = deprecated_keys()
    for place in (TOP, *SECTIONS) if section == TOP else (section,):
        for code, table in (("E104", keys.renamed), ("E112", keys.removed), ("E118", keys.owned)):
            if key in table.get(place, {}):
                return place, code
    return None


def suggest(section: str, key: str, present: Iterable[str] = ()) -> str | None:
    """The key most likely meant: this section's name for it, or the dotted path where it belongs.

    A key that exists in another section was misplaced; otherwise the nearest key of this section wins, one that is not
    `present` already before one that is; otherwise the nearest key of any other section.
    """
    here, elsewhere = _answers(section)
    if len(key) > 1 and key in elsewhere:
        return elsewhere[key]
    suggestion = _nearest(key, here, set(present)) or (_nearest(key, elsewhere, set()) if len(key) > 2 else None)
    return suggestion or next((here[name] for name in get_close_matches(key, here, 1, 0.7)), None)


@cache
def _answers(section: str) -> tuple[dict[str, str], dict[str, str]]:
    """What each known name means: the names of this section, those of the others; own options first."""
    own = [*SECTIONS, *fields(TOP)] if section == TOP else list(fields(section))
    here = {name: name for name in (*own, *sorted(upstream(section)))}
    renamed = deprecated_keys().renamed
    here |= {old: new.removeprefix(section + ".") for old, new in renamed.get(section, {}).items() if old not in here}
    others = [other for other in reversed(list(SECTIONS)) if other != section]
    elsewhere = {name: f"{other}.{name}" for other in others for name in upstream(other)}
    elsewhere |= {old: new for other in others for old, new in renamed.get(other, {}).items()}
    elsewhere |= {name: f"{other}.{name}" for other in others for name in fields(other)}
    return here, elsewhere


def _nearest(key: str, answers: Mapping[str, str], present: set[str]) -> str | None:
    limit = max(1, len(key) // 4)
    ranked = [
        (distance, name in present, order, name)
        for order, name in enumerate(answers)
        if abs(len(name) - len(key)) <= limit and (distance := _distance(key.lower(), name)) <= limit
    ]
    return answers[min(ranked)[3]] if ranked else None


def _distance(first: str, second: str) -> int:
    """Letters to add, delete, replace or swap with their neighbour to make one word the other."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        before_last, before, row = before, row, [i]
        for j, other in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == second[j - 2] and first[i - 2] == other:
                cost = min(cost, before_last[j - 2] + 1)
            row.append(cost)
    return row[-1]
