"""Configs: from a file, flags and Python arguments to checked values, and what each of them means."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.config import glossary, json_schema, load_config, preset_table
from tunewright.config.load_config import ConfigRow, LoadedConfig
from tunewright.config.shortcuts import paths_of
from tunewright.data.examples.formats import Format
from tunewright.data.load_examples import recognise
from tunewright.launch import python_rows

# A path, a Hub id, several of these, or the rows themselves.
Rows = str | Path | Sequence[str | Path] | Sequence[Mapping[str, object]]


def load(
    *, config: str | Path | None = None, named: Mapping[str, object] | None = None, sets: Sequence[str] = ()
) -> LoadedConfig:
    """A checked config from a file, named values (dotted path -> value) and PATH=VALUE texts. Raises: ConfigError."""
    return load_config.load(config=Path(config) if config else None, named=named or {}, sets=sets)


def named_values(model: str | None, data: Rows | None, settings: Mapping[str, object]) -> dict[str, object]:
    """Python arguments as values by dotted path. Raises: ConfigError E132, E138, E139."""
    named = paths_of(settings)
    if model is not None:
        named["model.name"] = model
    if data is not None:
        named["data.train"] = python_rows.path_of(data)
    return named


def starter(
    model: str, data: str | Path, preset: preset_table.Level, *, sets: Sequence[str] = (), **settings: Any
) -> tuple[str, Format]:
    """The commented config for a model and data, and the recognised format of the data.

    The config names the encoding of data that are not UTF-8 where it can be detected, and the task that the rows show.
    Raises: DataError if the data cannot be read or understood; ConfigError for a bad value.
    """
    values = {**paths_of(settings), **dict(map(load_config.parse_set, sets))}
    named = {"model.name": model, "data.train": str(data), "preset": preset}
    run = load(named={**named, **values}).run
    detected, data_format = recognise(run.data, run.task)
    return json_schema.template(model, str(data), preset, {**values, **detected}), data_format


def explain(word: str) -> glossary.Explanation:
    """A code, a config key, a preset or a term, in a few sentences. Raises: ConfigError E111."""
    return glossary.explain(word)


def config_schema() -> dict[str, object]:
    """JSON Schema of a config file."""
    return json_schema.json_schema()


def config_rows(loaded: LoadedConfig) -> list[ConfigRow]:
    """Every value of a config with its origin."""
    return load_config.show(loaded)
