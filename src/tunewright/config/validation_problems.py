"""What pydantic found wrong with a config, as problems of the catalogue: one for each place, in a person's words."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tunewright.config.deprecated_keys import TOP, deprecated_keys, other_method
from tunewright.config.run_config import ADDRESS_PATTERN, NAME_PATTERN, DataSource
from tunewright.config.schema_keys import methods_with, old_name, options, suggest, upstream
from tunewright.config.yaml_reader import Path, Position, place, printable
from tunewright.errors import Problem, Where
from tunewright.i18n import N_, Phrase

_KINDS = {
    "int_type": N_("a whole number"),
    "int_parsing": N_("a whole number"),
    "int_from_float": N_("a whole number"),
    "float_type": N_("a number"),
    "float_parsing": N_("a number"),
    "number_not_bool": N_("a number"),
    "bool_type": N_("true or false"),
    "bool_parsing": N_("true or false"),
    "string_type": N_("text"),
    "string_unicode": N_("text in UTF-8; rename the file or folder whose name holds other bytes"),
    "encoding": N_("the name of a text encoding such as gb18030"),
    "beyond_fp32": N_("a number of at most 3.4e38, as 32 bits hold"),
    "not_writable": N_("text without NUL and lone surrogates"),
    "list_type": N_("a list"),
    "rows_and_weight": N_("an entry with rows or weight, not with both"),
    "none_required": N_("null"),
    "dict_type": N_("a mapping of keys to values"),
    "model_type": N_("a mapping of keys to values"),
    "model_attributes_type": N_("a mapping of keys to values"),
}
_LIMITS = {
    "greater_than": N_("above {gt}"),
    "greater_than_equal": N_("at least {ge}"),
    "less_than": N_("below {lt}"),
    "less_than_equal": N_("at most {le}"),
    "finite_number": N_("a finite number"),
    "string_too_short": N_("text that is not empty"),
    "string_too_long": N_("text of at most {max_length} characters"),
    "too_short": N_("a list of at least {min_length} values"),
    "too_long": N_("a list of at most {max_length} values"),
}
_PATTERNS = {
    ADDRESS_PATTERN: N_("HOST:PORT, with a port from 1 to 65535"),
    NAME_PATTERN: N_("1 to 64 small letters, digits, dots, dashes and underscores"),
    r"^pissa_niter_[0-9]{1,3}$": N_("pissa_niter_ followed by a number"),
}

# What problems speak of that name no option.
OPTION_OF_CODE = {"E301": "peft.target_modules", "E306": "task"}
OPTION_OF_FAMILY = {"E2": "data.train", "E3": "model.name", "E7": "model.name"}
# Of more choices than a few lines hold, those nearest to what was written are named.
MOST_CHOICES = 24


def problems_of(
    error: ValidationError, data: Mapping[str, object], marks: Mapping[Path, Position], nowhere: Where
) -> dict[Path, Problem]:
    """One problem for each path that pydantic complained of; `nowhere` is the place of what no line speaks of.

    Of a union, pydantic reports each branch; the branches of one path become one sentence, and the branch that got
    deepest into the value speaks for it.
    """
    errors_by_path: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        errors_by_path.setdefault(_path(detail, data), []).append(detail)
    shallow = {path[:n] for path in errors_by_path for n in range(len(path))}
    return {
        path: _problem(path, details, data, marks, nowhere)
        for path, details in errors_by_path.items()
        if path not in shallow
    }


def _path(detail: ErrorDetails, data: Any) -> Path:
    """The keys of `loc` alone: pydantic mixes the names of types and tags among them."""
    path: Path = ()
    for part in detail["loc"]:
        is_index = isinstance(part, int) and isinstance(data, (list, tuple))
        if is_index or (isinstance(data, Mapping) and part in data):
            data = data[part]
        elif detail["type"] != "missing" or part != detail["loc"][-1]:
            continue
        path = (*path, part)
    return path


def _problem(
    path: Path, details: list[ErrorDetails], data: Mapping[str, object], marks: Mapping[Path, Position], nowhere: Where
) -> Problem:
    mark = place(marks, path)
    key_at = mark.key if mark else nowhere
    value_at = mark.value if mark else nowhere
    match details[0]["type"]:
        case "extra_forbidden":
            return unknown_key(path, data, key_at)
        case "missing":
            return Problem("E108", key_at, {"key": dotted(path)})
    typed = marks[path].text if path in marks else ""
    value = _shown(details[-1]["input"], typed)
    if path == ("method",) and (other := other_method(str(data["method"]))):
        names = {name: _requested(data, name, key) for name, key in (("model", "name"), ("data", "train"))}
        values = {"key": "method", "value": value, "instead": other.instead, "fix": other.fix.format_map(names)}
        return Problem("E131", value_at, values)
    return Problem("E103", value_at, {"key": dotted(path), "reason": _reason(details, typed), "value": value})


def _requested(data: Mapping[str, object], section: str, key: str) -> str:
    """A value of the config as a shell takes it, or what it is called."""
    values = data.get(section)
    return shlex.quote(str(values[key])) if isinstance(values, Mapping) and key in values else section.upper()


def unknown_key(path: Path, data: Mapping[str, object], where: Where) -> Problem:
    """E102, or what became of a key that exists no longer or is Tunewright's to set."""
    section, key = (str(path[0]), str(path[-1])) if len(path) > 1 else (TOP, str(path[-1]))
    if path[:2] == ("data", "train"):  # an entry of several sources
        close = get_close_matches(key, DataSource.model_fields, 1)
        values = {"key": printable(key), "section": dotted(path[:-1])}
        return Problem("E102", where, values | ({"suggestion": close[0]} if close else {}))
    if section == "peft" and (methods := methods_with(key)):
        return Problem("E121", where, {"key": key, "method": data.get("method", "lora"), "methods": ", ".join(methods)})
    known = old_name(section, key)
    suggestion = suggest(section, key, _siblings(path, data))
    misplaced = section == TOP and suggestion is not None and suggestion.endswith(f".{key}")
    if known is None or misplaced:
        values = {"key": printable(key), "section": section}
        return Problem("E102", where, values | ({"suggestion": suggestion} if suggestion else {}))
    table, code = known
    if code == "E104":
        new = deprecated_keys().renamed[table][key]
        return Problem("E104", where, {"old": key, "new": new.removeprefix(f"{section}.") if where.line else new})
    if code == "E112":
        return Problem("E112", where, {"old": key, "reason": deprecated_keys().removed[table][key]})
    return Problem("E118", where, {"key": key, "instead": deprecated_keys().owned[table][key]})


def option_of(problem: Problem) -> str:
    """The option that a problem speaks of, by dotted path; of what is wrong with rows or model itself, where these are named.

    Empty where it is about none.
    """
    if "=" in problem.where.source and problem.where.file in ("argument", "--set"):
        return problem.where.source.partition("=")[0]
    known = {path for path, _field in options()}
    for name in ("key", "first", "second"):
        path = str(problem.values.get(name, "")).partition("=")[0].partition("[")[0]
        section, _dot, key = path.partition(".")
        if path in known or key in upstream(section):
            return path
    return OPTION_OF_CODE.get(problem.code) or OPTION_OF_FAMILY.get(problem.code[:2], "")


def one_of(names: Iterable[str]) -> Phrase:
    """A reason for E103: what is allowed there."""
    return Phrase(N_("must be {what}"), what=Phrase(N_("one of {choices}"), choices=", ".join(names)))


def _siblings(path: Path, data: Mapping[str, object]) -> list[str]:
    section = data.get(str(path[0])) if len(path) > 1 else data
    return [key for key in section if key != path[-1]] if isinstance(section, Mapping) else []


def _reason(details: list[ErrorDetails], typed: str) -> str:
    """What the value must be, in one sentence over all branches of a union; limits speak before kinds."""
    kinds = list(dict.fromkeys(_KINDS[code] for d in details if (code := d["type"]) in _KINDS))
    limits: list[str] = [
        Phrase(_LIMITS[code], **_whole(d.get("ctx", {}))) for d in details if (code := d["type"]) in _LIMITS
    ]
    limits += [_pattern(d["ctx"]["pattern"]) for d in details if d["type"] == "string_pattern_mismatch"]
    choices = [name for d in details if d["type"] == "literal_error" for name in d["ctx"]["expected"].split("'")[1::2]]
    listed = [_listed(choices, str(details[-1]["input"]))] if len(choices) > 1 else choices
    wanted = [*(limits or kinds), *listed]
    what: str = wanted[0] if wanted else N_("another kind of value")
    for other in wanted[1:]:
        what = Phrase(N_("{one} or {other}"), one=what, other=other)
    reason = Phrase(N_("must be {what}"), what=what)
    can_be_text = any(d["type"] == "string_type" for d in details)
    misread = _misread(details[-1]["input"], typed, kinds) if can_be_text else ""
    return Phrase(N_("{reason} ({misread})"), reason=reason, misread=misread) if misread else reason


def _whole(limits: Mapping[str, object]) -> dict[str, object]:
    """Limits as people write them: 1000000, not 1000000.0."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in limits.items()
    }


def _listed(choices: list[str], typed: str) -> str:
    """All choices, or of very many the nearest, with how many there are."""
    near = get_close_matches(typed, choices, 3, 0.4)
    if len(choices) <= MOST_CHOICES or not near:
        return Phrase(N_("one of {choices}"), choices=", ".join(choices))
    return Phrase(N_("one of {count} names, among them {choices}"), count=len(choices), choices=", ".join(near))


def _pattern(pattern: str) -> str:
    return _PATTERNS[pattern] if pattern in _PATTERNS else Phrase(N_("text of the form {pattern}"), pattern=pattern)


def _misread(value: object, typed: str, kinds: Sequence[str]) -> str:
    """Why a text without quotes is none: YAML 1.1 knows several words for true and false."""
    if typed and isinstance(value, bool):
        read_as = "true" if value else "false"
        sentence = N_("YAML reads {typed} as {read_as}: put quotes around it")
        return Phrase(sentence, typed=printable(typed), read_as=read_as)
    if typed and isinstance(value, (int, float)) and len(kinds) == 1:
        return N_("YAML reads it as a number: put quotes around it")
    return ""


def _shown(value: object, typed: str) -> str:
    """The value as it was typed, else as YAML would write it."""
    if typed:
        return printable(typed)
    if value is None or value == "":
        return N_("nothing")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return printable("[" + ", ".join(_shown(item, "") for item in value) + "]")
    if isinstance(value, Mapping):
        return printable("{" + ", ".join(f"{key}: {_shown(item, '')}" for key, item in value.items()) + "}")
    return printable(str(value))


def dotted(path: Path) -> str:
    """A path as people write it: peft.target_modules[1]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{printable(part)}" if text else printable(part)
    return text or TOP
