"""Runs of the queue with real processes: never two at once, whatever is killed."""

import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psutil

from tests.faults.conftest import BASE, Toys
from tunewright import api
from tunewright.launch import queue_runner
from tunewright.rundir import run_queue
from tunewright.rundir.run_dir import RunDir

PATIENCE_SECONDS = 180


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def enqueue(toys: Toys, folder: Path) -> RunDir:
    named = {
        **BASE, "model.name": str(toys.folder / "model"), "data.train": str(toys.folder / "train.jsonl"),
        "data.holdout": str(toys.folder / "held_out.jsonl"), "train.max_steps": 3, "run.output_dir": str(folder),
    }  # fmt: skip
    loaded = api.load(named=named)
    run, _place = api.enqueue(loaded, api.plan(loaded), force=True)
    return run.dir


def runners() -> list[psutil.Process]:
    """The processes that start what waits, of this test's home; all but one end soon."""
    home = os.environ["TUNEWRIGHT_HOME"]
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "tunewright.launch.queue_runner" in (process.info["cmdline"] or [])
        and process.environ().get("TUNEWRIGHT_HOME") == home
    ]


def test_one_at_a_time_and_another_runner_goes_on_where_one_was_killed(toys: Toys, tmp_path: Path) -> None:
    first, second = (enqueue(toys, tmp_path / name) for name in ("first", "second"))
    wait(lambda: first.state() in ("preparing", "running"))
    assert [run.path for run in run_queue.running()] == [first.path]
    wait(lambda: len(runners()) == 1)
    runners()[0].send_signal(signal.SIGKILL)
    wait(lambda: not run_queue.has_runner())
    third = enqueue(toys, tmp_path / "third")  # starts another one, while the first run goes on
    assert second.state() == third.state() == "waiting"
    queue_runner.move(third, 1)
    wait(lambda: all(run.state() == "finished" for run in (first, second, third)))
    spans = [(info.started or 0.0, info.ended or 0.0) for info in (run.info() for run in (first, third, second))]
    assert all(ended <= started for (_begun, ended), (started, _end) in pairwise(spans))
    wait(lambda: not run_queue.has_runner())
