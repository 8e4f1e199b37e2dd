"""Short words for what people set most: the flags of the command line and the arguments of `tunewright.train`."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from tunewright.config.deprecated_keys import TOP
from tunewright.config.methods import METHODS, rank_field
from tunewright.config.schema_keys import SECTIONS, fields, old_name, suggest
from tunewright.errors import NOWHERE, ConfigError, Problem

SHORTCUTS: Mapping[str, str] = {
    "device_index": "run.device_index",
    "epochs": "train.num_train_epochs",
    "lr": "train.learning_rate",
    "main": "launch.main",
    "map": "data.map",
    "node_rank": "launch.node_rank",
    "nodes": "launch.nodes",
    "offline": "run.offline",
    "output": "run.output_dir",
    "processes": "launch.processes",
    "rank": "peft.r",
    "seed": "train.seed",
    "skip_bad": "data.skip_bad",
}


def rank_path(method: object) -> str:
    """The path that the short word `rank` sets; `peft.r` also for a method without a rank, which then refuses it."""
    field = rank_field(method) if isinstance(method, str) and method in METHODS else None
    return f"peft.{field or 'r'}"


def paths_of(settings: Mapping[str, object]) -> dict[str, object]:
    """Arguments as values by dotted path: sections of the config as mappings, top-level keys, paths, and short words.

    Raises: ConfigError E132 for a name that is none of these, with the place where it belongs; all at once.
    """
    flat: dict[str, object] = {}
    problems = []
    for name, value in settings.items():
        if name in SHORTCUTS:
            flat[rank_path(settings.get("method")) if name == "rank" else SHORTCUTS[name]] = value
        elif name in SECTIONS and isinstance(value, Mapping):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        elif name in SECTIONS or name in fields(TOP) or "." in name or _is_refused(name):
            flat[name] = value
        else:
            problems.append(_unknown(name, value))
    if problems:
        raise ConfigError(problems)
    return flat


def _is_refused(name: str) -> bool:
    """True for a name that has an answer of its own: why it is not set."""
    known = old_name(TOP, name)
    return known is not None and known[1] != "E104"


def _unknown(name: str, value: Any) -> Problem:
    """The argument that a misspelt name most likely means."""
    owners = [f"{section}.{name}" for section in SECTIONS if name in fields(section)]
    meant = (owners[0] if owners else suggest(TOP, name) or "").partition(":")[0]
    near = [] if owners or old_name(TOP, name) else get_close_matches(name, SHORTCUTS, 1, 0.6)
    short = near[0] if near else next((word for word, path in SHORTCUTS.items() if path == meant), "")
    values: dict[str, object] = {"name": name}
    if short:
        values["short"] = f"{short}={value!r}"
    if meant and not near:
        values["whole"] = _written(meant, value)
    return Problem("E132", NOWHERE, values)


def _written(path: str, value: Any) -> str:
    """A value of the config as an argument; model and data are arguments already, so theirs are given by path."""
    section, _dot, key = path.rpartition(".")
    if not section:
        return f"{key}={value!r}"
    return f'**{{"{path}": {value!r}}}' if section in ("model", "data") else f'{section}={{"{key}": {value!r}}}'
