"""A request to end, at any moment: the run ends by it, says so, and goes on as if it had never been asked."""

import signal
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Toys
from tests.faults.fingerprint import fingerprint

MOMENTS = [("train_begin", 0), ("gradients", 5), ("step_end", 5), ("evaluate", 8), ("save", 8)]


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("moment", "step"), MOMENTS, ids=lambda value: str(value))
def test_a_request_to_end_is_kept_to_at_any_moment(
    moment: str, step: int, number: signal.Signals, toys: Toys, tmp_path: Path
) -> None:
    run = toys.new(tmp_path / "run")
    assert toys.work(run, at=moment, step=step, do=number.name[3:].lower()) == 128 + number
    last = run.read_events()[-1]
    assert (last.problems[0].code, last.exit_code) == ("E507", 128 + number)
    assert last.step <= step + 2, "at most the step that was begun, and one more"
    assert (run.checkpoints_dir / f"checkpoint-{last.step}").is_dir()
    assert toys.work(run) == 0
    assert fingerprint(run) == toys.unbroken()


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3])
def test_a_request_to_end_before_the_first_step(seconds: float, toys: Toys, tmp_path: Path) -> None:
    """While rows are prepared, the model is loaded, or its base is tested: wherever the moment falls."""
    run = toys.new(tmp_path / "run")
    worker = toys.begin(run)
    while not run.read_events():
        time.sleep(0.002)
    time.sleep(seconds)
    worker.kill(signal.SIGTERM)
    assert worker.wait() == 128 + signal.SIGTERM
    assert toys.work(run) == 0
    assert fingerprint(run) == toys.unbroken()


def test_control_c_has_an_exit_code_of_its_own(toys: Toys, tmp_path: Path) -> None:
    run = toys.new(tmp_path / "run")
    assert toys.work(run, at="log", step=2, do="int") == 130
    assert run.read_events()[-1].exit_code == 130


def test_a_closed_terminal_is_no_request(toys: Toys, tmp_path: Path) -> None:
    run = toys.new(tmp_path / "run")
    assert toys.work(run, at="step_begin", step=5, do="hup") == 0
    assert fingerprint(run) == toys.unbroken()
