"""One process at a time in a run's folder: a second start goes at once and changes nothing; a dead owner's run is free."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from tests.unit.plan.conftest import facts
from tests.unit.runs.disk import snapshot
from tunewright.catalogue.entry import EXIT_LOCKED
from tunewright.errors import TrainingError
from tunewright.flow import start
from tunewright.planning.make import make_plan
from tunewright.planning.plan import Facts
from tunewright.rundir import durable, layout, store
from tunewright.rundir.store import RunDir
from tunewright.spec.run import Run

__all__ = ["facts"]

SECONDS = 60
STARTS = 3
OWNER = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1], timeout=0):
    print("owned", flush=True)
    sys.stdin.read()
"""
Owner = subprocess.Popen[str]


@pytest.fixture
def run(tmp_path: Path, facts: Callable[..., Facts]) -> RunDir:
    run = store.create(tmp_path / "shop", "shop")
    plan = make_plan(Run.model_validate({"model": "smollm2", "data": "x.jsonl", "task": "causal_lm"}), facts())
    durable.write_json(run.file(layout.PLAN), plan.model_dump(mode="json"))
    run.update_info(state="failed")
    return run


@pytest.fixture
def owner(run: RunDir) -> Iterator[Owner]:
    """Another process that owns the run."""
    command = [sys.executable, "-c", OWNER, str(run.file(layout.LOCK))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "owned\n"
        yield process
        process.kill()


def test_a_second_start_ends_by_itself_and_changes_nothing(run: RunDir, owner: Owner) -> None:
    before = snapshot(run.path)
    command = [sys.executable, "-m", "tunewright.flow.supervise", str(run.path)]
    starts = [subprocess.Popen(command) for _ in range(STARTS)]
    assert [process.wait(SECONDS) for process in starts] == [EXIT_LOCKED] * STARTS
    assert owner.poll() is None
    assert snapshot(run.path) == before


def test_an_owned_run_is_not_resumed(run: RunDir, owner: Owner) -> None:
    before = snapshot(run.path)
    with pytest.raises(TrainingError, match="E505") as fault:
        start.resume(run, {"train.learning_rate": 0.01})
    assert fault.value.exit_code == EXIT_LOCKED
    assert snapshot(run.path) == before


def test_the_run_of_an_owner_that_was_killed_is_free(run: RunDir, owner: Owner) -> None:
    lock = FileLock(run.file(layout.LOCK), timeout=0)
    with pytest.raises(Timeout):
        lock.acquire()
    owner.send_signal(signal.SIGKILL)
    owner.wait(SECONDS)
    assert run.file(layout.LOCK).exists()
    assert start.resume(run, {}).info()["state"] == "queued"
    with lock:
        assert lock.is_locked
