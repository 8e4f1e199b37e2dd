"""A finished run named `shop` that pages and exports look at, and background work without processes, as fixtures."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sessions import finished_run
from tunewright import api
from tunewright.launch import begin_work
from tunewright.planning.run_plan import InspectedFacts


@pytest.fixture
def run(tmp_path: Path, facts: Callable[..., InspectedFacts]) -> api.TrainedRun:
    """`runs/shop` in the folder that the test works in."""
    return finished_run(Path("runs").resolve() / "shop", facts())


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """No process is started; what it would hold is held here, until it is released."""
    locks: list[int] = []
    monkeypatch.setattr(begin_work, "spawn", lambda argv, *, stdin, **_: locks.append(os.dup(stdin)))
    yield locks
    for lock in locks:
        os.close(lock)
