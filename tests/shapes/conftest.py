"""Model folders that all shapes are read for."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

from tests.shapes.models import model_folder
from tests.shapes.shape import Reader


@pytest.fixture(scope="session")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Reader, Path]:
    """A small model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    return {kind: model_folder(folder / kind, kind) for kind in get_args(Reader)}
