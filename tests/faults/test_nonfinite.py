"""A number that is none ends the run by its name; what was saved before stands, and nothing broken is ever saved."""

from pathlib import Path

import pytest

from tests.faults.conftest import Toys
from tests.faults.fingerprint import adapter
from tunewright.errors import Problem
from tunewright.rundir.checkpoints import CheckpointStore, damage
from tunewright.rundir.events import FailedEvent
from tunewright.rundir.run_dir import RunDir

DIVERGED = 10


def problem(run: RunDir) -> Problem:
    last = run.read_events()[-1]
    assert isinstance(last, FailedEvent)
    return last.problems[0]


def sealed_steps(run: RunDir) -> list[int]:
    """Steps of the checkpoints, all of them sound and finite."""
    own = CheckpointStore(run.checkpoints_dir, run.info().id).own()
    for _step, folder in own:
        assert not damage(folder)
        assert all(tensor.isfinite().all() for tensor in adapter(folder).values())
    return [step for step, _folder in own]


@pytest.mark.parametrize(
    ("deed", "moment", "step", "what", "reported_step"),
    [
        ("nan loss once", "step_begin", 9, "the loss", 10),
        ("nan loss from now on", "step_begin", 7, "the loss", 8),
        ("nan gradient", "step_begin", 9, "a gradient", 10),
        ("nan evaluation", "step_begin", 9, "the held-out loss", 12),
        ("nan weight", "step_end", 12, "the held-out loss", 12),
    ],
)
def test_a_number_that_is_none_ends_the_run(
    deed: str, moment: str, step: int, what: str, reported_step: int, toys: Toys, tmp_path: Path
) -> None:
    run = toys.new(tmp_path / "run")
    assert toys.work(run, at=moment, step=step, do=deed) == DIVERGED
    record_of_run = problem(run)
    values = record_of_run.values
    assert (record_of_run.code, values["what"], values["step"]) == ("E501", what, reported_step)
    assert sealed_steps(run) == [step for step in (4, 8) if step < reported_step]
    assert not run.adapter_dir.exists()
    assert all(event.held_out_loss is not None for event in run.read_events() if event.kind == "eval")


def test_after_a_passing_fault_the_run_goes_on_as_if_nothing_had_been(toys: Toys, tmp_path: Path) -> None:
    from tests.faults.fingerprint import fingerprint

    run = toys.new(tmp_path / "run")
    assert toys.work(run, at="step_begin", step=9, do="nan gradient") == DIVERGED
    assert toys.work(run) == 0
    assert fingerprint(run) == toys.unbroken()


def test_a_checkpoint_of_broken_weights_is_refused(toys: Toys, tmp_path: Path) -> None:
    """Nothing is measured here, so only the save can see it."""
    run = toys.new(tmp_path / "run", "no evaluation")
    assert toys.work(run, at="step_end", step=8, do="nan weight") == DIVERGED
    assert problem(run).code == "E511"
    assert sealed_steps(run) == [4]


def test_a_broken_adapter_is_not_handed_over(toys: Toys, tmp_path: Path) -> None:
    run = toys.new(tmp_path / "run", "no evaluation")
    assert toys.work(run, at="train_end", step=32, do="nan weight") == DIVERGED
    assert problem(run).code == "E511"
    assert not run.adapter_dir.exists()


def test_a_model_that_cannot_be_tested_is_named(toys: Toys, tmp_path: Path) -> None:
    run = toys.new(tmp_path / "run")
    assert toys.work(run, at="train_end", step=32, do="nan evaluation") == DIVERGED
    assert (problem(run).code, problem(run).values["when"]) == ("E512", "after")
    assert not run.adapter_dir.exists()
