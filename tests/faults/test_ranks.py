"""Runs of several processes: the same as one process's, whatever happens to one of them. Workers are forked, with a real parent.

Each task with several methods: tests/matrix/test_ranks_equal.py.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest
import torch

from tests.faults.conftest import BASE, ROOT, Toys
from tests.faults.fingerprint import Fingerprint, adapter, fingerprint
from tests.faults.test_supervised import wait_for
from tests.matrix.conftest import task_rows, tiny_model
from tests.signals import signals_given_back
from tunewright import api
from tunewright.errors import TunewrightError
from tunewright.launch import start_run
from tunewright.launch.supervisor import Supervisor
from tunewright.reporting import SILENT
from tunewright.rundir import rank_files, run_dir, run_lock
from tunewright.rundir.run_dir import RunDir

__all__ = ["signals_given_back", "task_rows", "tiny_model"]

Start = Callable[..., RunDir]
Undisturbed = Callable[..., Fingerprint]


@pytest.fixture(autouse=True)
def _handlers(signals_given_back: None) -> None:
    """A parent in this process sets its own."""


@pytest.fixture
def start(toys: Toys, tmp_path: Path) -> Start:
    """A planned run of the tiny model, or of another one."""

    def start(name: str, settings: Mapping[str, object] | None = None, **named: object) -> RunDir:
        values = {
            **BASE, "model.name": str(toys.folder / "model"), "data.train": str(toys.folder / "train.jsonl"),
            "data.holdout": str(toys.folder / "held_out.jsonl"), "run.output_dir": str(tmp_path / name),
            "launch.timeout_seconds": 3, **(settings or {}), **named,
        }  # fmt: skip
        loaded = api.load(named={name: value for name, value in values.items() if value is not None})
        return start_run.create(loaded, api.plan(loaded), force=True, reporter=SILENT)

    return start


@pytest.fixture(scope="module")
def fingerprints() -> dict[str, Fingerprint]:
    return {}


@pytest.fixture
def undisturbed(toys: Toys, start: Start, fingerprints: dict[str, Fingerprint]) -> Undisturbed:
    """What a run with these settings comes to that nobody disturbs; trained once in a file, as runs of several take seconds."""

    def undisturbed(settings: Mapping[str, object]) -> Fingerprint:
        name = str(settings)
        if name not in fingerprints:
            run = start("undisturbed", settings)
            assert see(toys, run) == 0, run.file("log.txt").read_text()[-3000:]
            fingerprints[name] = fingerprint(run)
        return fingerprints[name]

    return undisturbed


def see(toys: Toys, run: RunDir) -> int:
    """See a run through, by a parent in this process."""
    lock = run_lock.take(run.path)
    assert lock is not None
    try:
        return Supervisor(run, toys.argv(run), (), lock=lock).supervise()
    finally:
        run_lock.release(lock)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_two_processes_are_one_with_two_parts_to_the_bit(toys: Toys, start: Start, dropout: float) -> None:
    settings = {"peft.lora_dropout": dropout, "launch.parts": 2}
    one, two = start("one", settings), start("two", settings, **{"launch.processes": 2})
    assert (see(toys, one), see(toys, two)) == (0, 0)
    assert fingerprint(two) == fingerprint(one)


def test_one_row_of_a_step_leaves_others_without_rows(toys: Toys, start: Start) -> None:
    """Rows that do not fill the last step: one process has nothing to do there."""
    rows = (toys.folder / "train.jsonl").read_text().splitlines(keepends=True)
    (toys.folder / "nine.jsonl").write_text("".join(rows[:9]))
    settings = {"data.train": str(toys.folder / "nine.jsonl"), "train.num_train_epochs": 1, "launch.parts": 2}
    one, two = start("one", settings), start("two", settings, **{"launch.processes": 2})
    assert (see(toys, one), see(toys, two)) == (0, 0)
    assert fingerprint(two) == fingerprint(one)


def test_a_run_goes_on_with_another_number_of_processes(
    toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = start("unbroken", {"launch.parts": 3})
    assert see(toys, unbroken) == 0
    run = start("resumed", {"launch.parts": 3, "launch.processes": 2})
    for step, processes in ((5, 1), (11, 3), (17, 2)):
        for rank in ("", "0"):  # one process has no number
            monkeypatch.setenv(f"FAULT{rank}", json.dumps({"at": "step_end", "step": step, "do": "term"}))
            Path(f"{run.path}.faulty{rank}").unlink(missing_ok=True)
        assert see(toys, run) == 143
        assert run.state() == "stopped"
        start_run.requeue(run, {"launch.processes": processes})
    assert see(toys, run) == 0
    torch.testing.assert_close(adapter(run.adapter_dir), adapter(unbroken.adapter_dir), rtol=0, atol=1e-6)


DEATHS = [(0, "kill"), (1, "kill"), (0, "segfault"), (1, "hang"), (0, "sleep"), (1, "stop")]
MORE_DEATHS = [(1, "segfault"), (0, "hang"), (1, "sleep"), (0, "stop")]


@pytest.mark.parametrize(
    ("rank", "deed"), [*DEATHS, *(pytest.param(*death, marks=pytest.mark.slow) for death in MORE_DEATHS)]
)
def test_a_process_that_dies_or_hangs_is_named_and_costs_nothing(
    toys: Toys, start: Start, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch, deed: str, rank: int
) -> None:
    settings = {"launch.processes": 2, "train.num_train_epochs": 1}
    expected, run = undisturbed(settings), start("run", settings)
    monkeypatch.setenv(f"FAULT{rank}", json.dumps({"at": "step_begin", "step": 6, "do": deed}))
    begun = time.monotonic()
    assert see(toys, run) == 0, run.file("log.txt").read_text()[-3000:]
    assert time.monotonic() - begun < 60
    alerts = [event.problem for event in run.read_events() if event.kind == "alert"]
    assert [alert.code for alert in alerts] == ["W503"]
    assert re.search(rf"process {rank} of 2 on \S+", alerts[0].message()), alerts[0].message()
    assert fingerprint(run) == expected


def test_a_process_out_of_memory_goes_down_the_ladder(
    toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start("run", {"launch.processes": 2, "train.num_train_epochs": 1})
    monkeypatch.setenv("FAULT1", json.dumps({"at": "step_begin", "step": 6, "do": "no memory"}))
    assert see(toys, run) == 0, run.file("log.txt").read_text()[-3000:]
    assert [event.problem.code for event in run.read_events() if event.kind == "alert"] == ["D101"]


@pytest.mark.parametrize(("deed", "code"), [("nan gradient", "E501"), ("raise", "E802"), ("other weights", "E526")])
def test_what_goes_wrong_in_one_process_ends_all_with_one_problem(
    toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch, deed: str, code: str
) -> None:
    monkeypatch.setattr("tests.faults.conftest.STEPS", 8)
    settings = {"launch.processes": 2, "train.num_train_epochs": 7 if code == "E526" else 1}
    run = start("run", settings)
    monkeypatch.setenv("FAULT1", json.dumps({"at": "step_begin", "step": 6, "do": deed}))
    assert see(toys, run) != 0
    assert run.state() == "failed"
    problems = run.info().problems
    assert [problem.code for problem in problems] == [code], problems
    assert [event.kind for event in run.read_events()].count("failed") == 1


def test_a_slow_process_is_named_once(toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start("run", {"launch.processes": 2, "train.num_train_epochs": 7})
    monkeypatch.setenv("FAULT1", json.dumps({"at": "step_begin", "step": 2, "do": "slow"}))
    assert see(toys, run) == 0, run.file("log.txt").read_text()[-3000:]
    alerts = [event.problem for event in run.read_events() if event.kind == "alert"]
    assert [(alert.code, alert.values["rank"]) for alert in alerts] == [("W509", 1)]


def test_stopping_is_the_same_step_in_all(toys: Toys, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start("run", {"launch.processes": 2})
    monkeypatch.setenv("FAULT1", json.dumps({"at": "step_begin", "step": 3, "do": "term"}))
    assert see(toys, run) == 143
    assert (run.state(), [problem.code for problem in run.info().problems]) == ("stopped", ["E507"])


def test_each_process_says_where_it_is(toys: Toys, start: Start) -> None:
    run = start("run", {"launch.processes": 2, "train.num_train_epochs": 1})
    assert see(toys, run) == 0
    states = rank_files.read_states(run.path)
    assert [state.rank for state in states] == [0, 1]
    assert all(state.step == 0 and state.phase == "save" for state in states)
    assert all(state.share and 0 < state.share <= 1 for state in states)
    assert (
        "torch.distributed" not in run.file("log.txt").read_text()
    )  # of which libraries that see one process would warn


def test_processes_end_with_their_parent_even_a_suspended_one(start: Start) -> None:
    """Real workers. Nothing else ends one that hangs, and it owns the run for as long as it is there."""
    if sys.platform != "linux":
        pytest.skip("the kernel tells a process of its parent's end on Linux alone")
    run = start("run", {"launch.processes": 2})
    command = [sys.executable, "-m", "tunewright.launch.supervisor", str(run.path)]
    parent = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    try:
        wait_for(lambda: len(rank_files.read_states(run.path)) == 2)
        pids = [state.pid for state in rank_files.read_states(run.path)]
        os.kill(pids[1], signal.SIGSTOP)
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    wait_for(lambda: run.state() not in run_dir.LIVE)
    assert run.state() == "lost"


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"launch.processes": 5}, "--processes 4"),
        ({"launch.processes": 3, "launch.parts": 2}, "--processes 2"),
        ({"launch.processes": 0}, ""),
    ],
)
def test_numbers_that_cannot_be(start: Start, settings: dict[str, int], fix: str) -> None:
    with pytest.raises(TunewrightError) as raised:
        start("run", settings)
    assert fix in str(raised.value)
    assert "launch.processes" in str(raised.value)
