"""Layers to a Run: defaults < file < arguments < `--set`, the origin of each value, all problems of all layers at once.

Presets are not a layer here: the plan applies them, as they speak in roles of layers. The environment is never read.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from tunewright.config import yaml_reader as yaml_marks
from tunewright.config.dotted_paths import changed_settings, options_of
from tunewright.config.methods import METHODS
from tunewright.config.run_config import RunConfig
from tunewright.config.schema_keys import SECTIONS, methods_with
from tunewright.config.validation_problems import dotted, problems_of, unknown_key
from tunewright.config.yaml_reader import Position, YamlDocument, place, printable
from tunewright.errors import NOWHERE, ConfigError, Problem, Where, error
from tunewright.i18n import N_

MAX_CONFIG_BYTES = 1_000_000
DEFAULT, ARGUMENT, SET, DEMO = "default", "argument", "--set", "demo"
_SHORT_FORMS: Mapping[yaml_marks.Path, yaml_marks.Path] = {("model",): ("model", "name"), ("data",): ("data", "train")}
_NONE: Mapping[str, object] = MappingProxyType({})
Config = TypeVar("Config", bound=RunConfig)


@dataclass(frozen=True)
class LoadedConfig:
    """A Run and where each of its values comes from: "default", "support.yaml:6:3", "argument" or "--set"."""

    run: RunConfig
    origins: Mapping[str, str]


@dataclass(frozen=True)
class ConfigRow:
    """One line of `config show`."""

    path: str
    value: Any
    origin: str


def load(
    *, config: Path | None = None, named: Mapping[str, object] = _NONE, sets: Sequence[str] = (), by: str = ARGUMENT
) -> LoadedConfig:
    """The Run that all layers together ask for, with the origin of every value.

    `named` holds the command line's arguments and flags by dotted path, or what `by` says; `sets` the texts of `--set`.
    Raises: ConfigError E101 to E112, E118 with every problem of every layer, in the order of the layers and lines.
    """
    ask = _ConfigLayers(nowhere=Where(str(config)) if config else NOWHERE)
    if config is not None:
        ask.add_file(config)
    for path, value in named.items():
        where = Where(ARGUMENT, source=f"{path}={value}")
        ask.put(tuple(path.split(".")), value, Position(where, where, by))
    for text in sets:
        ask.add_set(text)
    run = ask.finish(RunConfig)
    return LoadedConfig(run, {path: ask.origin(path) for path, _value in options_of(run)})


def patch(run: Config, changes: Mapping[str, object]) -> Config:
    """A new config of the same type with some values changed, by dotted path; validated like any other.

    Raises: ConfigError E102 to E104, E112, E118 with every problem of the changes.
    """
    ask = _ConfigLayers(data=run.model_dump())
    for path, value in changes.items():
        where = Where(source=f"{path}={value}")
        ask.put(tuple(path.split(".")), value, Position(where, where, ARGUMENT))
    return ask.finish(type(run))


def changed(loaded: LoadedConfig, changes: Mapping[str, object]) -> LoadedConfig:
    """The same config with other values, by dotted path, which count as arguments.

    Another method leaves out the fields of `peft` that it does not have.
    Raises: ConfigError E102 to E104, E112, E118, E121 with every problem of the changes.
    """
    named = dict(changed_settings(loaded.run))
    if (method := changes.get("method")) in METHODS:
        named = {path: value for path, value in named.items() if belongs(str(method), path)}
    new = load(named={**named, **changes})
    return LoadedConfig(
        new.run, {path: ARGUMENT if path in changes else loaded.origins.get(path, DEFAULT) for path in new.origins}
    )


def belongs(method: str, path: str) -> bool:
    """Whether a config of this method can have a setting."""
    section, _dot, name = path.partition(".")
    return section != "peft" or method in methods_with(name)


def parse_set(text: str) -> tuple[str, Any]:
    """Path and value of PATH=VALUE; the value is a YAML scalar, or a list or mapping in brackets.

    Raises: ConfigError E105, E107, E110.
    """
    path, document = _read_set(text)
    if document.problems:
        raise ConfigError(document.problems)
    return path, document.value


def to_yaml(run: RunConfig) -> str:
    """The complete ask as a config file; loading it gives an equal Run."""
    return yaml.dump(run.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


def show(loaded: LoadedConfig) -> list[ConfigRow]:
    """Every value with its origin, in the order of the file: the rows of `config show`."""
    return [ConfigRow(path, value, loaded.origins[path]) for path, value in options_of(loaded.run)]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _read_set(text: str) -> tuple[str, YamlDocument]:
    path, equals, value = text.partition("=")
    where = Where(SET, source=printable(text, 200))
    if not equals or not all(part and part == part.strip() for part in path.split(".")):
        return path, YamlDocument(problems=[Problem("E110", where, {"text": printable(text)})])
    return path, yaml_marks.read_value(value, where)


@dataclass
class _ConfigLayers:
    """The layers put together so far, with all problems found so far."""

    data: dict[str, object] = field(default_factory=dict)
    nowhere: Where = NOWHERE
    marks: dict[yaml_marks.Path, Position] = field(default_factory=dict)
    broken: set[yaml_marks.Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def add_file(self, config: Path) -> None:
        document = yaml_marks.read(_read_text(config), str(config))
        self.problems += document.problems
        self.broken |= document.broken
        self.marks |= document.marks
        if isinstance(document.value, dict):
            for key, value in document.value.items():
                self.put((key,), value)
            return
        if document.value is not None:
            reason, value = N_("must be lines of `key: value`"), printable(str(document.value))
            self.problems.append(Problem("E103", self.nowhere, {"key": dotted(()), "reason": reason, "value": value}))
        if self.problems:
            self.broken.add(())  # what else is missing is not known

    def add_set(self, text: str) -> None:
        path, document = _read_set(text)
        self.problems += document.problems
        if not document.problems:
            where = Where(SET, source=printable(text, 200))
            parts = tuple(path.split("."))
            self.put(parts, document.value, Position(where, where, SET, text.partition("=")[2].strip()))
            self.marks |= {(*parts, *inner): Position(where, where, SET, m.text) for inner, m in document.marks.items()}

    def put(self, path: yaml_marks.Path, value: Any, mark: Position | None = None) -> None:
        """Write one value over that of earlier layers; a mapping for a section is merged key by key.

        `mark` is the one place of all that is written; without it the marks are there already.
        """
        is_section = len(path) == 1 and path[0] in SECTIONS
        if is_section and (value is None or isinstance(value, Mapping)):
            self.data.setdefault(str(path[0]), {})
            for key, inner in (value or {}).items():
                self.put((*path, key), inner, mark)
            return
        if path in _SHORT_FORMS and not isinstance(value, (list, tuple)):
            mark = mark or self.marks[path]
            path = _SHORT_FORMS[path]
        holder: Any = self.data
        for depth, part in enumerate(path[:-1]):
            if not isinstance(holder.get(part), dict):
                if depth == 0 and part in SECTIONS and part in holder:
                    return  # an earlier layer gave no mapping here, which is a problem of its own
                holder[part] = {}
            holder = holder[part]
        holder[path[-1]] = copy.deepcopy(value)
        if mark:
            self.marks = {known: m for known, m in self.marks.items() if known[: len(path)] != path} | {path: mark}

    def finish(self, model: type[Config]) -> Config:
        """The validated config. Raises: ConfigError with all problems of all layers."""
        run = None
        self._refuse_inner_method()
        try:
            run = model.model_validate(self.data)
        except ValidationError as failed:
            problems = problems_of(failed, self.data, self.marks, self.nowhere)
            self.problems += [problem for path, problem in problems.items() if not self._is_broken(path)]
        if self.problems or run is None:
            raise ConfigError(sorted(self.problems, key=_order))
        return run

    def _refuse_inner_method(self) -> None:
        # `Run` itself writes the tag of the method into `peft`, so pydantic would take one written by a person
        peft = self.data.get("peft")
        if isinstance(peft, dict) and "method" in peft:
            path = ("peft", "method")
            mark = place(self.marks, path)
            self.problems.append(unknown_key(path, self.data, mark.key if mark else self.nowhere))
            del peft["method"]

    def _is_broken(self, path: yaml_marks.Path) -> bool:
        return any(path[: len(b)] == b or b[: len(path)] == path for b in self.broken)

    def origin(self, path: str) -> str:
        known = tuple(path.split("."))
        mark = self.marks.get(known) or next((m for p, m in self.marks.items() if p[: len(known)] == known), None)
        return mark.origin if mark else DEFAULT


def _order(problem: Problem) -> tuple[int, int, int]:
    where = problem.where
    layer = {ARGUMENT: 1, SET: 2}.get(where.file, 0)
    return layer, where.line or MAX_CONFIG_BYTES, where.column  # what no line speaks of comes last


def _read_text(config: Path) -> str:
    """The file as text. Raises: ConfigError E101 if it cannot be read, E105 if it is not text."""
    try:
        with config.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        raise error("E101", path=str(config), reason=N_("no such file")) from None
    except IsADirectoryError:
        raise error("E101", path=str(config), reason=N_("it is a folder")) from None
    except OSError as failed:
        raise error("E101", path=str(config), reason=failed.strerror or str(failed)) from failed
    if len(content) > MAX_CONFIG_BYTES:
        raise error("E101", path=str(config), reason=N_("it is larger than 1 MB"))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as failed:
        line = content[: failed.start].count(b"\n") + 1
        raise error("E105", Where(str(config), line), reason=N_("the file is not UTF-8")) from failed
