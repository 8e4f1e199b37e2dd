"""The values of a config by dotted path, such as `train.learning_rate`: the one place that knows how paths are cut."""

from collections.abc import Iterator
from typing import Any

from tunewright.config.run_config import RunConfig
from tunewright.config.schema_keys import SECTIONS


def value_at(config: RunConfig, path: str) -> Any:
    """The value of a path, as JSON holds it; None where this config, or its method, has no such field."""
    section, dot, name = path.partition(".")
    value = config.model_dump(mode="json").get(section)
    return value.get(name) if dot and isinstance(value, dict) else value


def options_of(config: RunConfig) -> Iterator[tuple[str, Any]]:
    """Every option of a config, and every upstream field that was set, in the order of the file.

    `fast_paths` is one option here, whose value is a mapping.
    """
    for name, value in config.model_dump().items():
        if name in SECTIONS:
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def leaves(config: RunConfig) -> Iterator[tuple[str, Any]]:
    """Every value of a config as JSON holds it; each fast path that is set has a path of its own."""
    for name, value in config.model_dump(mode="json").items():
        if isinstance(value, dict) and value:
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def changed_settings(run: RunConfig) -> Iterator[tuple[str, Any]]:
    """What differs from the defaults, by dotted path, as JSON holds it, in the order of a config."""
    for name, value in run.model_dump(mode="json", exclude_defaults=True).items():
        if name in SECTIONS:
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value
