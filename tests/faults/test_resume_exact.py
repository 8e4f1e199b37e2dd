"""A run that is stopped and resumed, after any of its steps, is the run that went through, to the bit."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.conftest import STEPS, VARIANTS, Toys
from tests.faults.fingerprint import adapter, curves_of, fingerprint
from tunewright.launch import start_run
from tunewright.launch.oom_recovery import load_rows_itself
from tunewright.rundir import run_dir
from tunewright.rundir.run_dir import RunDir

STOPPED = 128 + signal.SIGTERM
SOME_STEPS = (3, 16, 25)  # before the first measurement, at the end of a pass, between two measurements
QUICK = ("every tenth step logged", "no evaluation", "no fast paths", "adalora")


def stopped_at(toys: Toys, run: RunDir, steps: Sequence[int]) -> None:
    """Stop the run at the end of each of these steps, each in a session of its own; then let it end."""
    for step in steps:
        code = toys.work(run, at="step_begin", step=step - 1, do="term")
        assert code == STOPPED, f"step {step}: {run.file('log.txt').read_text()[-3000:]}"
        assert run.read_events()[-1].step == step
    assert toys.work(run) == 0, run.file("log.txt").read_text()[-3000:]


def test_stopped_after_every_third_step(toys: Toys, tmp_path: Path) -> None:
    """After each of them: below, of every kind of run."""
    run = toys.new(tmp_path / "run")
    stopped_at(toys, run, range(1, STEPS, 3))
    assert fingerprint(run) == toys.unbroken()


@pytest.mark.parametrize("variant", QUICK)
def test_stopped_in_every_kind_of_run(variant: str, toys: Toys, tmp_path: Path) -> None:
    run = toys.new(tmp_path / "run", variant)
    stopped_at(toys, run, SOME_STEPS)
    assert fingerprint(run) == toys.unbroken(variant)


def test_patience_is_not_renewed_by_a_stop(toys: Toys, tmp_path: Path) -> None:
    unbroken = toys.unbroken("early stopping")
    last = unbroken["result"]["steps"]
    assert unbroken["result"]["best_step"] < last < STEPS, "the run this test needs stops early"
    run = toys.new(tmp_path / "run", "early stopping")
    stopped_at(toys, run, range(3, last, 3))
    assert fingerprint(run) == unbroken


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_stopped_after_every_step_of_every_kind_of_run(variant: str, toys: Toys, tmp_path: Path) -> None:
    run = toys.new(tmp_path / "run", variant)
    stopped_at(toys, run, range(1, toys.unbroken(variant)["result"]["steps"]))
    assert fingerprint(run) == toys.unbroken(variant)


def test_a_killed_run_goes_on_at_its_last_checkpoint(toys: Toys, tmp_path: Path) -> None:
    """The fingerprint alone would also be that of a run that began anew."""
    run = toys.new(tmp_path / "run")
    assert toys.work(run, at="step_end", step=15, do="kill") == -signal.SIGKILL
    before = len(run.read_events())
    assert toys.work(run) == 0
    logged = [event.step for event in run.read_events()[before:] if event.kind == "log"]
    assert logged == list(range(13, STEPS + 1))
    assert len(curves_of(run)) == STEPS + STEPS // 4
    assert json.loads((run.checkpoints_dir / "checkpoint-32" / "totals.json").read_text())["logged_step"] == STEPS


def test_changed_settings_count_from_the_next_step(toys: Toys, tmp_path: Path) -> None:
    run = toys.new(tmp_path / "run")
    assert toys.work(run, at="step_begin", step=8, do="term") == STOPPED
    run.update_info(state="stopped", started=1.0, ended=2.0)
    changes = {
        "train.learning_rate": 5e-4,
        "train.eval_steps": 3,
        "train.logging_steps": 2,
        "train.max_grad_norm": 0.01,
    }
    with run_dir.owning(run):
        start_run.requeue(run, changes)
    assert toys.work(run) == 0
    unbroken, resumed = toys.unbroken()["told"], curves_of(run)
    measured = [int(line.removeprefix("eval ")) for line in resumed if line.startswith("eval")]
    assert sorted(measured) == [4, 8, *range(12, STEPS, 3), STEPS]
    assert [step for step in range(1, STEPS + 1) if f"log {step}" in resumed] == [
        *range(1, 10),
        *range(10, STEPS + 1, 2),
    ]
    for step in range(10, STEPS, 2):
        assert resumed[f"log {step}"][1] == pytest.approx(unbroken[f"log {step}"][1] / 2)
    assert resumed["log 9"] == unbroken["log 9"]
    assert adapter(run.adapter_dir).keys() == adapter(toys.finished().adapter_dir).keys()


def test_rows_are_loaded_by_the_worker_itself_after_a_process_for_it_died(toys: Toys, tmp_path: Path) -> None:
    variant = "two loading processes"
    run = toys.new(tmp_path / "run", variant)
    assert toys.work(run, at="step_end", step=9, do="kill a loader") == 1
    last = run.read_events()[-1]
    assert (last.kind, last.problems[0].code) == ("failed", "E514")
    assert "signal: Killed" in last.problems[0].values["reason"]
    assert load_rows_itself(run, last)
    assert toys.work(run) == 0
    assert fingerprint(run) == toys.unbroken(variant)


def test_a_longer_patience_goes_on_longer(toys: Toys, tmp_path: Path) -> None:
    short = toys.unbroken("early stopping")["result"]["steps"]
    run = toys.new(tmp_path / "run", "early stopping")
    assert toys.work(run, at="step_begin", step=short - 2, do="term") == STOPPED
    run.update_info(state="stopped", started=1.0, ended=2.0)
    with run_dir.owning(run):
        start_run.requeue(run, {"train.early_stopping_patience": 5})
    assert toys.work(run) == 0
    assert fingerprint(run)["result"]["steps"] > short
