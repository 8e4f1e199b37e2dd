"""A config as a person would write it: one line for a shell, a YAML file, Python. Each of them gives an equal config again.

Only what differs from the defaults is written.
"""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tunewright.config.dotted_paths import changed_settings
from tunewright.config.load_config import LoadedConfig, load, parse_set
from tunewright.config.run_config import RunConfig
from tunewright.config.schema_keys import SECTIONS
from tunewright.config.shortcuts import SHORTCUTS, rank_path
from tunewright.errors import ConfigError

CONFIG_SUFFIXES = (".yaml", ".yml")  # of what the command line takes for a config
TOP_WORDS = ("task", "preset", "method")
SWITCHES = ("data.skip_bad", "run.offline")
MODEL, DATA, MAP = "model.name", "data.train", "data.map"
# Sections that are arguments of `tunewright.train`; its `model` and `data` are the name and the rows alone.
PYTHON_SECTIONS = ("peft", "train", "eval", "run", "launch")


@dataclass(frozen=True)
class WrittenConfig:
    """One config in three forms. `named` and `sets` are what the line says, as `load` takes them."""

    line: str
    yaml: str
    python: str
    named: Mapping[str, object]
    sets: tuple[str, ...]

    def load(self) -> LoadedConfig:
        """The config that the line gives, with the origins that it gives."""
        return load(named=self.named, sets=self.sets)


def written(run: RunConfig) -> WrittenConfig:
    """A config as a line, as YAML and as Python."""
    settings = dict(changed_settings(run))
    words, named, sets = _line(settings, str(run.method))
    return WrittenConfig(
        line=shlex.join(["tunewright", "train", *words]),
        yaml=_yaml(settings),
        python=_python(settings, str(run.method)),
        named=named,
        sets=sets,
    )


def command_for(run: RunConfig, verb: str, *words: str, without: Collection[str] = ()) -> str:
    """The line of a verb that takes a config by model, data and `--set` alone, such as compare; `words` are its own."""
    settings = dict(changed_settings(run))
    inputs = _inputs(settings)
    rest = {path: value for path, value in settings.items() if path not in inputs and path not in without}
    words = (*(word for values in inputs.values() for word in values), *words)
    return f"{shlex.join(['tunewright', verb, *words])} {flags(rest)}".strip()


def as_value(value: object) -> str:
    """A value as `--set` reads it, on one line."""
    return _dumped([value], default_flow_style=True, width=float("inf")).strip()[1:-1]


def flags(settings: Mapping[str, object]) -> str:
    """Settings as what is added to a command."""
    return shlex.join(word for path, value in settings.items() for word in ("--set", f"{path}={as_value(value)}"))


def settings_in(text: str, method: str) -> dict[str, object] | None:
    """The settings that flags stand for, by dotted path; None for a text that is anything else than flags of settings.

    The rank is that of `method`, unless the flags name another.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    settings: dict[str, object] = {}
    mapping: dict[str, str] = {}
    while words:
        flag = words.pop(0)
        path = _path_of(flag, str(settings.get("method", method)))
        if path in SWITCHES:
            settings[path] = True
            continue
        value = words.pop(0) if words else ""
        if flag == "--map":
            role, _equals, column = value.partition("=")
            if not role or not column:
                return None
            mapping[role] = column
            continue
        if flag == "--set":
            path, value = value.partition("=")[::2]
        if not path or not value or value.startswith("--"):
            return None
        try:
            settings[path] = parse_set(f"{path}={value}")[1]
        except ConfigError:
            return None
    return settings | ({MAP: mapping} if mapping else {}) or None


def _path_of(flag: str, method: str) -> str:
    """The path that a flag sets; empty for a word that is no such flag."""
    words = _short_words(method) | {MODEL: "model", DATA: "data"}
    return next((path for path, word in words.items() if flag == _flag_of(word)), "")


def _flag_of(word: str) -> str:
    return f"--{word.replace('_', '-')}"


class _OneLine(yaml.SafeDumper):
    """YAML without references, in which text that would break the line, or hides, is escaped."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dumped(value: object, **form: Any) -> str:
    """YAML in which every character shows: text that has others is written in ASCII alone."""
    text: str = yaml.dump(value, Dumper=_OneLine, sort_keys=False, allow_unicode=True, **form)
    if all(line.isprintable() for line in text.split("\n")):
        return text
    ascii_text: str = yaml.dump(value, Dumper=_OneLine, sort_keys=False, allow_unicode=False, **form)
    return ascii_text


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_OneLine.add_representer(str, _text)


def _short_words(method: str) -> dict[str, str]:
    """The flag's word, and Python's, of each path that has one."""
    words = {path: word for word, path in SHORTCUTS.items() if word not in ("rank", "map")}
    return words | {rank_path(method): "rank"} | {name: name for name in TOP_WORDS}


def _is_plain(value: object) -> bool:
    """Whether a text is a word of a command as it is: it is no option, and shows all that it holds."""
    return isinstance(value, str) and bool(value) and value.isprintable() and not value.startswith("-")


def _line(settings: Mapping[str, Any], method: str) -> tuple[list[str], dict[str, object], tuple[str, ...]]:
    """The words behind `tunewright train`, and what they say: by name, and by `--set`."""
    words: list[str] = []
    named: dict[str, object] = {}
    sets: list[str] = []
    inputs = _inputs(settings)
    for path, values in inputs.items():
        words += values
        named[path] = settings[path]
    for path, value in settings.items():
        flag = _flag(path, value, method)
        if path in inputs:
            continue
        if flag:
            words += flag
            named[path] = value
        else:
            sets.append(f"{path}={as_value(value)}")
    return [*words, *(word for text in sets for word in ("--set", text))], named, tuple(sets)


def _inputs(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Model and data as words without a flag; nothing where one of them could be taken for something else."""
    data = settings[DATA] if isinstance(settings[DATA], list) else [settings[DATA]]
    words = [settings[MODEL], *data]
    if not all(_is_plain(word) and not word.lower().endswith(CONFIG_SUFFIXES) for word in words):
        return {}
    is_one_in_a_list = isinstance(settings[DATA], list) and len(data) == 1
    return {MODEL: words[:1]} | ({} if is_one_in_a_list else {DATA: words[1:]})


def _flag(path: str, value: Any, method: str) -> list[str]:
    """A setting by its own flag; empty where it has none that holds this value."""
    if path == MAP and all(_is_plain(word) for pair in value.items() for word in pair):
        roles = [] if any("=" in role for role in value) else [f"{role}={column}" for role, column in value.items()]
        return [word for role in roles for word in ("--map", role)]
    word = _short_words(method).get(path)
    if word is None or value is False or not (_is_plain(value) or isinstance(value, (int, float))):
        return []
    return [_flag_of(word)] if value is True else [_flag_of(word), str(value)]


def _yaml(settings: Mapping[str, Any]) -> str:
    """A config file."""
    config: dict[str, Any] = {}
    for path, value in settings.items():
        section, dot, key = path.partition(".")
        if dot:
            config.setdefault(section, {})[key] = value
        else:
            config[section] = value
    for section, short in (MODEL.split("."), DATA.split(".")):
        if config[section].keys() == {short} and isinstance(config[section][short], str):
            config[section] = config[section][short]
    return _dumped(config, width=10_000)


def _python(settings: Mapping[str, Any], method: str) -> str:
    """A call of `tunewright.train`."""
    words = _short_words(method) | {MAP: "map"}
    named: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {}
    paths: dict[str, Any] = {}
    data = settings[DATA]
    is_argument = isinstance(data, str) or all(isinstance(item, str) for item in data)
    for path, value in settings.items():
        section, _dot, key = path.partition(".")
        if path == MODEL or (path == DATA and is_argument):
            continue
        if path in words:
            named[words[path]] = value
        elif section in PYTHON_SECTIONS:
            sections.setdefault(section, {})[key] = value
        elif section in SECTIONS:
            paths[path] = value
        else:
            named[path] = value
    arguments = [repr(settings[MODEL]), *([repr(data)] if is_argument else [])]
    arguments += [f"{name}={value!r}" for name, value in (named | sections).items()]
    arguments += [f"**{paths!r}"] if paths else []
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return f"import tunewright\n\nrun = tunewright.train(\n{lines})\n"
