"""Runs with a real parent: workers killed from outside, the parent killed, both killed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import ROOT, Toys
from tests.faults.fingerprint import fingerprint
from tests.signals import signals_given_back
from tunewright.errors import TunewrightError
from tunewright.launch import start_run
from tunewright.launch.supervisor import MOST_TRIES, Supervisor
from tunewright.rundir import run_dir
from tunewright.rundir.run_dir import RunDir

__all__ = ["signals_given_back"]
WAIT_SECONDS = 60


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def worker_pid(run: RunDir) -> int:
    """Of the forked worker; 0 before there is one."""
    path = Path(f"{run.path}.pid")
    return int(path.read_text() or 0) if path.is_file() else 0


def next_worker(run: RunDir, known: int) -> int:
    """The pid of the worker after a known one, once it is there."""
    wait_for(lambda: worker_pid(run) not in (0, known))
    return worker_pid(run)


def logged(run: RunDir) -> int:
    return max((event.step for event in run.read_events() if event.kind == "log"), default=0)


def codes(run: RunDir) -> list[str]:
    return [event.problem.code for event in run.read_events() if event.kind == "alert"]


def kill_workers(run: RunDir, kills: int, chance: random.Random) -> None:
    """Signal 9 to so many workers of a run, each at a random moment of the first second of its life."""
    known = 0
    for _ in range(kills):
        known = next_worker(run, known)
        time.sleep(chance.uniform(0, 1))
        try:
            os.kill(known, signal.SIGKILL)
        except ProcessLookupError:
            return


def supervised_kills(toys: Toys, folder: Path, kills: int, seed: int) -> None:
    chance, done, number = random.Random(seed), 0, 0
    while done < kills:
        number += 1
        run = toys.new(folder / f"run-{number}")
        killer = threading.Thread(target=kill_workers, args=(run, chance.randint(1, MOST_TRIES), chance))
        killer.start()
        code = Supervisor(run, toys.argv(run), ()).supervise()
        killer.join()
        assert (code, run.state()) == (0, "finished"), run.info().problems
        assert set(codes(run)) <= {"W503"}
        assert fingerprint(run) == toys.unbroken()
        done += len(codes(run))


def test_the_parent_goes_on_by_itself_after_five_kills(toys: Toys, tmp_path: Path) -> None:
    supervised_kills(toys, tmp_path, 5, seed=int(time.time()))


@pytest.mark.slow
def test_the_parent_goes_on_by_itself_after_fifty_kills(toys: Toys, tmp_path: Path) -> None:
    supervised_kills(toys, tmp_path, 50, seed=int(time.time()))


def supervised(toys: Toys, run: RunDir) -> "subprocess.Popen[bytes]":
    """A parent in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "tests.faults.parent", str(run.path), *toys.argv(run)], cwd=ROOT)


def test_a_worker_whose_parent_was_killed_goes_on_to_its_end(toys: Toys, tmp_path: Path) -> None:
    run = toys.new(tmp_path / "runs" / "run")
    parent = supervised(toys, run)
    wait_for(lambda: logged(run) >= 2)
    parent.kill()
    parent.wait()
    assert run.state() in run_dir.LIVE
    with pytest.raises(TunewrightError) as refused:
        start_run.resume(run, {})
    assert refused.value.problems[0].code == "E505"
    wait_for(lambda: run.state() not in run_dir.LIVE)
    listed = run_dir.list_runs(tmp_path / "runs")
    assert [(run_found.name, run_found.state()) for run_found in listed] == [("run", "finished")]
    assert fingerprint(run) == toys.unbroken()


def test_a_run_that_lost_worker_and_parent_is_lost_and_goes_on_when_resumed(toys: Toys, tmp_path: Path) -> None:
    run = toys.new(tmp_path / "run")
    parent = supervised(toys, run)
    wait_for(lambda: logged(run) >= 6)
    parent.kill()
    os.kill(worker_pid(run), signal.SIGKILL)
    parent.wait()
    wait_for(lambda: run.state() not in run_dir.LIVE)
    assert run.state() == "lost"
    with run_dir.owning(run):
        start_run.requeue(run, {})
    assert Supervisor(run, toys.argv(run), ()).supervise() == 0
    assert run.state() == "finished"
    assert fingerprint(run) == toys.unbroken()
