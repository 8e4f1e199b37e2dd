"""The worker's ends: which event and which exit code a failure becomes, and what its log says."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tunewright.engine import worker
from tunewright.engine.training.callbacks import StopFlag
from tunewright.errors import error
from tunewright.rundir.run_dir import RunDir


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setattr(RunDir, "plan", lambda run: SimpleNamespace(fast_paths=()))
    return RunDir(tmp_path)


@pytest.fixture
def restored_logging() -> Iterator[logging.Logger]:
    package = logging.getLogger("tunewright")
    handlers, level = list(package.handlers), package.level
    yield package
    package.handlers[:] = handlers
    package.setLevel(level)
    logging.captureWarnings(False)


def work_that_raises(
    fault: Exception, run: RunDir, monkeypatch: pytest.MonkeyPatch, signal: int = 0
) -> tuple[int, Any]:
    def train(*_: object) -> None:
        raise fault

    monkeypatch.setattr(worker, "train", train)
    code = worker.work(run, StopFlag(signal=signal))
    last = run.read_events()[-1]
    assert last.kind == "failed"
    assert last.exit_code == code
    return code, last.problems[0].code


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (error("E503", path="p", reason="none", config="c"), "E503"),
        (MemoryError(), "E404"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "E514"),
        (ZeroDivisionError("0"), "E802"),
    ],
)
def test_a_failure_is_an_event_with_its_code(
    fault: Exception, expected: str, run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, problem = work_that_raises(fault, run, monkeypatch)
    assert problem == expected
    assert code != 0


def test_a_stop_on_request_ends_with_the_code_of_its_signal(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    assert work_that_raises(error("E507", step=1, name="x"), run, monkeypatch, signal=15) == (128 + 15, "E507")


def test_the_log_is_standard_error_with_level_and_module(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], restored_logging: logging.Logger
) -> None:
    worker.configure_logging()
    work_that_raises(ZeroDivisionError("0"), run, monkeypatch)
    logging.getLogger("tunewright.engine.models.load_model").info("loaded")
    logging.getLogger("tunewright.engine.models.load_model").debug("too much")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert " ERROR tunewright.engine.worker: the run failed at step 0" in captured.err
    assert "ZeroDivisionError: 0" in captured.err
    assert " INFO tunewright.engine.models.load_model: loaded\n" in captured.err
    assert "too much" not in captured.err
