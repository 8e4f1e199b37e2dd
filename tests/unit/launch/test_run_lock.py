"""One process at a time in a run's folder: a second start goes at once and changes nothing; a dead owner's run is free.

An owner is whoever holds the lock, on whatever side of a container's border, whatever clock, number or name its record bears.
"""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.elsewhere import elsewhere
from tests.unit.planning.conftest import facts
from tests.unit.rundir.disk import snapshot
from tunewright.config.run_config import RunConfig
from tunewright.errors import TrainingError
from tunewright.errors.exit_codes import EXIT_LOCKED
from tunewright.launch import start_run
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts
from tunewright.rundir import atomic_io, file_names, run_dir, run_lock
from tunewright.rundir.records import ProcessRecord
from tunewright.rundir.run_dir import RunDir

pytestmark = pytest.mark.processes

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
def run(tmp_path: Path, facts: Callable[..., InspectedFacts]) -> RunDir:
    run = run_dir.create(tmp_path / "shop", "shop")
    plan = make_plan(RunConfig.model_validate({"model": "smollm2", "data": "x.jsonl", "task": "causal_lm"}), facts())
    atomic_io.write_json(run.file(file_names.PLAN), plan.model_dump(mode="json"))
    run.update_info(state="failed")
    return run


@pytest.fixture
def owner(run: RunDir) -> Iterator[Owner]:
    """Another process that owns the run."""
    command = [sys.executable, "-c", OWNER, str(run.file(file_names.LOCK))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "owned\n"
        yield process
        process.kill()


def test_a_second_start_ends_by_itself_and_changes_nothing(run: RunDir, owner: Owner) -> None:
    before = snapshot(run.path)
    command = [sys.executable, "-m", "tunewright.launch.supervisor", str(run.path)]
    starts = [subprocess.Popen(command) for _ in range(STARTS)]
    assert [process.wait(SECONDS) for process in starts] == [EXIT_LOCKED] * STARTS
    assert owner.poll() is None
    assert snapshot(run.path) == before


def test_an_owned_run_is_not_resumed(run: RunDir, owner: Owner) -> None:
    before = snapshot(run.path)
    with pytest.raises(TrainingError, match="E505") as fault:
        start_run.resume(run, {"train.learning_rate": 0.01})
    assert fault.value.exit_code == EXIT_LOCKED
    assert snapshot(run.path) == before


def test_the_run_of_an_owner_that_was_killed_is_free(run: RunDir, owner: Owner) -> None:
    assert run_lock.is_held(run.path)
    assert run_lock.take(run.path) is None
    owner.send_signal(signal.SIGKILL)
    owner.wait(SECONDS)
    assert run.file(file_names.LOCK).exists()
    with run_dir.owning(run):
        start_run.requeue(run, {})
        assert run_lock.is_held(run.path)
    assert run.state() == "queued"
    assert not run_lock.is_held(run.path)


def test_a_lock_goes_on_to_the_next_process_and_is_free_behind_the_last(run: RunDir) -> None:
    with run_dir.owning(run) as descriptor:
        child = subprocess.Popen(["cat", "-"], stdin=descriptor, stdout=subprocess.DEVNULL)
        sleeper = subprocess.Popen(["sleep", str(SECONDS)], stdin=descriptor)
    child.wait(SECONDS)
    assert run_lock.is_held(run.path), "the first has ended, the second lives"
    sleeper.kill()
    sleeper.wait(SECONDS)
    assert not run_lock.is_held(run.path)


def test_what_was_handed_on_is_owned_without_being_free_in_between(run: RunDir) -> None:
    code = "import sys, pathlib; from tunewright.rundir import run_lock; print(run_lock.own(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(run.path)]
    with run_dir.owning(run) as descriptor:
        assert subprocess.run(command, stdin=descriptor, capture_output=True, text=True).stdout == "0\n"
        assert subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout == "None\n"
        assert run_lock.is_held(run.path)
    other = run_dir.create(run.path.parent / "other", "other")
    with run_dir.owning(other) as descriptor:  # another run's lock is nobody's pass
        result = subprocess.run(command, stdin=descriptor, capture_output=True, text=True).stdout
    assert int(result) > 0


def test_a_lock_whose_file_was_put_away_owns_nothing(run: RunDir) -> None:
    with run_dir.owning(run):
        run.path.rename(run.path.with_name("away"))
        shutil.copytree(run.path.with_name("away"), run.path)
        with run_dir.owning(run):
            assert run_lock.is_held(run.path)
    assert not run_lock.is_held(run.path)


def test_a_link_for_a_lock_is_not_followed(run: RunDir, tmp_path: Path) -> None:
    run.file(file_names.LOCK).symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="symbolic link"):
        run_dir.remove(run)
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_refused(run: RunDir, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, kind: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(TrainingError, match="E518"):
        start_run.resume(run, {})
    assert run.state() == "failed"


@pytest.mark.parametrize("recorded", [True, False])
def test_from_another_namespace_and_clock_a_live_run_is_live(
    run: RunDir, owner: Owner, tmp_path: Path, recorded: bool
) -> None:
    away = elsewhere(tmp_path)
    if not away:
        pytest.skip("this system lets nobody make a namespace")
    record = run_dir.process_record(owner.pid) if recorded else ProcessRecord(pid=1, host="somewhere")
    run.update_info(state="running", parent=record)
    before = snapshot(run.path)
    tunewright = [*away, sys.executable, "-m", "tunewright"]
    for words in (["runs", "rm", str(run.path), "--yes"], ["runs", "resume", str(run.path), "--set", "train.seed=1"]):
        result = subprocess.run([*tunewright, *words], capture_output=True, text=True)
        assert (result.returncode, "E505" in result.stderr) == (EXIT_LOCKED, True), result.stderr
        assert f"pid {record.pid} on {record.host}" in result.stderr
    assert snapshot(run.path) == before
    owner.kill()
    owner.wait()
    code = f"from tunewright.rundir.run_dir import RunDir; from pathlib import Path; print(RunDir(Path({str(run.path)!r})).state())"
    assert subprocess.run([*away, sys.executable, "-c", code], capture_output=True, text=True).stdout == "lost\n"


def test_no_process_is_signalled_because_a_file_names_it(run: RunDir, owner: Owner) -> None:
    with subprocess.Popen(["sleep", str(SECONDS)]) as stranger:
        started = Path(f"/proc/{stranger.pid}/stat")
        record = {"pid": stranger.pid, "started": started.stat().st_ctime if started.exists() else 0.0}
        run.update_info(state="running", parent=record, worker=record)
        for now in (False, True):
            assert start_run.stop(run, now=now)
            assert run.is_asked_to_stop(now=now)
        owner.kill()
        owner.wait()
        assert run.state() == "stopped"
        assert not start_run.stop(run)
        assert stranger.poll() is None
        stranger.kill()
    assert owner.returncode == -signal.SIGKILL, "of a test, not of a stop"


def test_a_request_of_an_earlier_time_is_forgotten_when_a_run_goes_on(run: RunDir) -> None:
    run.request(now=False)
    run.request(now=True)
    with run_dir.owning(run):
        start_run.requeue(run, {})
    assert not run.is_asked_to_stop() and not run.is_asked_to_stop(now=True)


def test_an_owner_that_does_not_answer_is_told_of(run: RunDir, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_run, "ANSWER_SECONDS", 0.5)
    run.update_info(state="running", parent=run_dir.process_record(owner.pid))
    assert start_run.stop(run)
    with pytest.raises(TrainingError, match="E519") as fault:
        start_run.wait_for_stop(run)
    assert (fault.value.exit_code, fault.value.problems[0].values["pid"]) == (EXIT_LOCKED, owner.pid)
    assert run.is_asked_to_stop(), "and is obeyed when it can be"
    run.update_info(state="stopping")
    timer = threading.Timer(1, owner.kill)
    timer.start()
    start_run.wait_for_stop(run)
    assert run.state() == "lost"
