"""Errors as part of the product: one tree, one catalogue of codes, exit codes.

TunewrightError
|- ConfigError(ValueError)        E1  config and command line
|- DataError(ValueError)        E2  rows
|- ModelError(ValueError)       E3  model, tokenizer, template, targets
|- ResourceError(RuntimeError)  E4  memory, disk
|- TrainingError(RuntimeError)  E5  the run itself
|- ExportError(RuntimeError)    E6  optional parts, merge, export
|- HubError(OSError)            E7  network, Hub, package index
`- SetupError(RuntimeError)     E8  this installation

An error holds problems and nothing else, so it pickles. The texts are in `resources/errors.toml` alone; `raise` names a code.
"""

import errno
import os
import shlex
import string
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tunewright.errors.catalogue import Entry, load_catalogue
from tunewright.i18n import _, restored, spoken, stored


@dataclass(frozen=True)
class Where:
    """Place of a problem: file, line and column count from 1; `source` is the line itself, `length` the caret's."""

    file: str = ""
    line: int = 0
    column: int = 0
    source: str = ""
    length: int = 0

    def __str__(self) -> str:
        parts = [self.file] + [str(number) for number in (self.line, self.column) if number]
        return ":".join(part for part in parts if part)


NOWHERE = Where()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: a code of the catalogue, its place, the values its sentence needs."""

    code: str
    where: Where = NOWHERE
    values: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.code in load_catalogue(), self.code

    @property
    def entry(self) -> Entry:
        return load_catalogue()[self.code]

    @property
    def is_warning(self) -> bool:
        return self.code.startswith("W")

    def message(self) -> str:
        """The sentence, in this process's language."""
        return _(self.entry.sentence_for(self.values)).format_map(spoken(self.values))

    def fixes(self) -> list[str]:
        """What to paste or do; a fix whose values are missing is left out."""
        known = set(self.values)
        values = _in_a_shell(spoken(self.values))
        return [_(fix).format_map(values) for fix in self.entry.fixes if set(_fields(fix)) <= known]

    def message_in_english(self) -> str:
        """The sentence for scripts and files."""
        return self.entry.sentence_for(self.values).format_map(self.values)

    def to_json(self) -> dict[str, object]:
        """The problem for scripts: always English."""
        place = {k: v for k, v in vars(self.where).items() if v and k in ("file", "line", "column")}
        return {
            "code": self.code,
            "message": self.message_in_english(),
            "where": place,
            "fixes": [
                fix.format_map(_in_a_shell(self.values))
                for fix in self.entry.fixes
                if set(_fields(fix)) <= set(self.values)
            ],
            "docs": f"docs/errors.md#{self.code.lower()}",
        }

    def to_record(self) -> dict[str, object]:
        """The problem as stored in a run; `from_record` reads it back."""
        return {"code": self.code, "where": vars(self.where), **stored(self.values)}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "Problem":
        return Problem(record["code"], Where(**record["where"]), restored(record))


def _in_a_shell(values: Mapping[str, object]) -> dict[str, object]:
    """Values as commands have them: names of runs may hold blanks, and keys brackets, which some shells expand."""
    return {key: shlex.quote(str(value)) if key in ("name", "key") else value for key, value in values.items()}


def _fields(template: str) -> list[str]:
    return [name for _text, name, _spec, _conversion in string.Formatter().parse(template) if name]


class TunewrightError(Exception):
    """Something the person can act on: one or more problems, all found at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        assert self.problems
        super().__init__(self.problems)

    @property
    def exit_code(self) -> int:
        """Exit code of the first problem that is not a warning."""
        return next((p.entry.exit_code for p in self.problems if not p.is_warning), 0)

    def __str__(self) -> str:
        lines: list[str] = []
        for problem in self.problems:
            place = f" {problem.where}:" if str(problem.where) else ""
            lines += [f"{problem.code}{place} {problem.message()}", *(f"  {fix}" for fix in problem.fixes())]
        return "\n".join(lines)


class TunewrightWarning(UserWarning):
    """What a notebook sees where a command line shows a warning of the catalogue."""


class ConfigError(TunewrightError, ValueError):
    """E1: the config or the command line."""


class DataError(TunewrightError, ValueError):
    """E2: the rows."""


class ModelError(TunewrightError, ValueError):
    """E3: model, tokenizer, template or target modules."""


class ResourceError(TunewrightError, RuntimeError):
    """E4: memory or disk."""


class TrainingError(TunewrightError, RuntimeError):
    """E5: the run itself."""


class ExportError(TunewrightError, RuntimeError):
    """E6: optional parts, merge, export."""


class HubError(TunewrightError, OSError):
    """E7: network, Hub, package index."""


class SetupError(TunewrightError, RuntimeError):
    """E8: this installation."""


FAMILIES: Mapping[str, type[TunewrightError]] = {
    "E1": ConfigError,
    "E2": DataError,
    "E3": ModelError,
    "E4": ResourceError,
    "E5": TrainingError,
    "E6": ExportError,
    "E7": HubError,
    "E8": SetupError,
}


def error(code: str, where: Where = NOWHERE, /, **values: Any) -> TunewrightError:
    """The error of a single problem, in the class of its family."""
    return FAMILIES[code[:2]]([Problem(code, where, values)])


def unexpected(fault: BaseException) -> TunewrightError:
    """E802 for an exception that no code of ours foresaw, by its type and words."""
    return error("E802", reason=f"{type(fault).__name__}: {fault}")


def exists_already(path: Path, **values: Any) -> TunewrightError:
    """E115 for a file or folder that is in the way, with a place beside it that is free, as a shell takes it."""
    named = path.resolve() if path.name in ("", "..") else path  # as for `.` and `..`
    beside = (named.parent / f"{named.stem}-{number}{named.suffix}" for number in count(2))
    free = next(place for place in beside if not place.exists())
    return error("E115", path=str(path), free=shlex.quote(str(free)), **values)


# What the system refuses, by what helps: room, a right, another path; E523 is for all the rest.
SYSTEM_CODES: Mapping[str, frozenset[int]] = {
    "E520": frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG}),
    "E521": frozenset({errno.EROFS, errno.EACCES, errno.EPERM}),
    "E522": frozenset({
        errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG,
    }),
}  # fmt: skip


def of_system(fault: OSError, place: Path | str) -> TunewrightError:
    """What the system refused, with its path and its own words: E520 to E523. `place` is used where it names no path.

    It names both paths of a rename; the second is the one that a person knows.
    """
    code = next((code for code, numbers in SYSTEM_CODES.items() if fault.errno in numbers), "E523")
    named = fault.filename2 or fault.filename
    path = _without_staging(Path(place if named is None or isinstance(named, int) else os.fsdecode(named)))
    there = next((folder for folder in (path, *path.parents) if os.path.lexists(folder)), path)
    reason = fault.strerror or str(fault) or type(fault).__name__
    return error(code, path=str(path), quoted=shlex.quote(str(there)), reason=reason)


def _without_staging(path: Path) -> Path:
    """The folder in which something was made under a name of ours, which nobody knows and which is gone by then."""
    ours = next((part for part in (path, *path.parents) if part.name.startswith((".staging-", ".trash-"))), None)
    return path if ours is None else ours.parent


@contextmanager
def system_faults(place: Path | str = ".") -> Iterator[None]:
    """What the system refuses inside is reported with its code, from Python as on the command line. Raises: E520 to E523."""
    try:
        yield
    except OSError as fault:
        if isinstance(fault, TunewrightError):
            raise
        raise of_system(fault, place) from fault


def errors_of(problems: Iterable[Problem]) -> TunewrightError:
    """The error of several problems, in the class of the first one that is not a warning."""
    listed = tuple(problems)
    first = next(p for p in listed if not p.is_warning)
    return FAMILIES[first.code[:2]](listed)
