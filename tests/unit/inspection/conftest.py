"""Model folders without weights: a config, and names and shapes as a header would hold them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tunewright.inspection.model_info import ModelInfo, read_model

Shapes = Mapping[str, list[int]]
Describe = Callable[..., ModelInfo]


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    """Facts of `describe({config}, {name: shape})`."""

    def build(config: Mapping[str, Any], shapes: Shapes) -> ModelInfo:
        (tmp_path / "config.json").write_text(json.dumps(config))
        return read_model(tmp_path, "model", {name: (shape, "F32") for name, shape in shapes.items()})

    return build


def blocks(pattern: str, shapes: Shapes, count: int = 2) -> dict[str, list[int]]:
    """Tensors of `count` blocks; `pattern` holds {i}."""
    return {f"{pattern.format(i=i)}.{name}.weight": shape for i in range(count) for name, shape in shapes.items()}
