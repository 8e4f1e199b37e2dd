"""Where thousands of folders are made and removed."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunewright.rundir import run_lock

IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has such a place, for tests in which no fsync is real."""
    if not IN_MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who meets a held lock says so soon, where nobody only looks at it for a moment."""
    monkeypatch.setattr(run_lock, "PATIENCE_SECONDS", 0.05)
