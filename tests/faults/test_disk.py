"""A disk that refuses while a run saves: training goes on, says so, and ends in order if it happens again and again.

The kernel refuses itself, by a limit on the size of files: the optimizer's file is larger and, with the smaller limit, the
adapter's too; events are not.
"""

import errno
import os
import resource
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformers import TrainerCallback

from tests.matrix.conftest import _measured, shop_rows, tiny_model
from tunewright import api
from tunewright.engine import worker
from tunewright.engine.system.io_errors import disk_faults
from tunewright.errors.exit_codes import EXIT_MEMORY
from tunewright.launch import in_process, start_run
from tunewright.reporting import SILENT
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_end import end_problems

__all__ = ["_measured", "shop_rows", "tiny_model"]
OPTIMIZER_LIMIT, ADAPTER_LIMIT = 90_000, 30_000  # torch writes the one, safetensors the other
STEPS = 12


def limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class Refusing(TrainerCallback):
    """No file may become large while one of these steps is saved, or after the last step."""

    def __init__(self, steps: Collection[int], size: int, *, at_end: bool = False) -> None:
        self.steps, self.size, self.at_end = steps, size, at_end

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        limit(resource.RLIM_INFINITY)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in self.steps:
            limit(self.size)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        limit(self.size if self.at_end else resource.RLIM_INFINITY)


@contextmanager
def limits_end() -> Iterator[None]:
    """No limit outlives this block: pytest itself may be writing into a large file."""
    try:
        yield
    finally:
        limit(resource.RLIM_INFINITY)


def train(run: RunDir, refusing: Refusing) -> int:
    with limits_end():
        return in_process.work(run, [refusing])


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report, which is larger than the limit, is not what is looked at."""
    monkeypatch.setattr(in_process, "write_report", lambda run, findings: None)


@pytest.fixture
def run(tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path) -> RunDir:
    """A run that measures and saves every second step."""
    named = {
        "model.name": str(tiny_model()), "data.train": str(shop_rows), "data.holdout": 0.2, "eval.rows": 0,
        "run.output_dir": str(tmp_path / "run"), "train.max_steps": STEPS, "train.learning_rate": 5e-3,
        "train.per_device_train_batch_size": 4, "train.gradient_accumulation_steps": 1, "train.eval_steps": 2,
    }  # fmt: skip
    loaded = api.load(named=named)
    return start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT)


def unsaved(run: RunDir) -> list[int]:
    alerts = [event.problem for event in run.read_events() if event.kind == "alert"]
    return [alert.values["step"] for alert in alerts if alert.code == "W502"]


def saved(run: RunDir) -> list[int]:
    return [event.step for event in run.read_events() if event.kind == "checkpoint"]


def leftovers(run: RunDir) -> list[str]:
    return sorted(path.name for path in run.checkpoints_dir.iterdir())


@pytest.mark.parametrize("size", [OPTIMIZER_LIMIT, ADAPTER_LIMIT])
def test_training_goes_on_without_some_of_its_checkpoints(size: int, run: RunDir) -> None:
    assert train(run, Refusing({4, 6, 12}, size)) == 0
    assert unsaved(run) == [4, 6, 12]
    assert saved(run) == [2, 8, 10]
    assert run.result().best_step in (8, 10)  # the loss falls, but what is not saved cannot be gone back to
    assert leftovers(run) == ["checkpoint-10", "checkpoint-8"]
    checkpoint = run.checkpoints_dir / "checkpoint-10"
    assert (checkpoint / "optimizer.pt").stat().st_size > OPTIMIZER_LIMIT
    assert OPTIMIZER_LIMIT > (checkpoint / "adapter_model.safetensors").stat().st_size > ADAPTER_LIMIT


def test_three_in_a_row_end_the_run_and_it_goes_on_from_the_last_that_was_saved(run: RunDir) -> None:
    assert train(run, Refusing({4, 6, 8}, OPTIMIZER_LIMIT)) == EXIT_MEMORY
    problem = run.info().problems[0]
    assert (problem.code, problem.values["step"]) == ("E510", 8)
    assert leftovers(run) == ["checkpoint-2"]
    assert in_process.work(run) == 0
    assert saved(run) == [2, 4, 6, 8, 10, 12]


def test_an_adapter_that_cannot_be_saved_is_no_fault_of_ours_and_can_be_saved_later(run: RunDir) -> None:
    assert train(run, Refusing((), ADAPTER_LIMIT, at_end=True)) == EXIT_MEMORY
    problem = run.info().problems[0]
    assert (problem.code, problem.values["what"]) == ("E510", "the adapter")
    assert not run.adapter_dir.exists()
    assert not list(run.path.glob(".staging-*"))
    assert in_process.work(run) == 0
    assert run.adapter_dir.is_dir()


@pytest.mark.parametrize(
    ("number", "code", "exit_code"),
    [
        (errno.ENOSPC, "E520", EXIT_MEMORY), (errno.EDQUOT, "E520", EXIT_MEMORY), (errno.EROFS, "E521", 2),
        (errno.EACCES, "E521", 2), (errno.ENOTDIR, "E522", 2), (errno.ENOENT, "E522", 2), (errno.EIO, "E523", 1),
        (errno.EMFILE, "E523", 1), (errno.ENOMEM, "E404", EXIT_MEMORY), (None, "E523", 1),
    ],
)  # fmt: skip
def test_what_the_system_refuses_a_worker_is_no_fault_of_ours(
    number: int | None, code: str, exit_code: int, run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number), "/some/where") if number else OSError("a library's own words")

    monkeypatch.setattr(worker, "train", refuse)
    assert in_process.work(run) == exit_code
    (problem,) = end_problems(run)
    assert (problem.code, run.info().exit_code) == (code, exit_code)
    assert (os.strerror(number) if number else "a library's own words") in problem.message()
    assert code == "E404" or ("/some/where" if number else str(run.path)) in problem.message()


WRITERS: dict[str, Callable[[Path], object]] = {
    "torch": lambda path: torch.save({"x": torch.zeros(100_000)}, path),
    "safetensors": lambda path: save_file({"x": torch.zeros(100_000)}, path),
    "tokenizers": lambda path: Tokenizer(models.WordLevel({f"word {i}": i for i in range(5000)}, "word 0")).save(
        str(path)
    ),
}


@pytest.mark.parametrize(
    ("library", "fault"),
    [
        ("torch", "full"), ("torch", "limit"), ("tokenizers", "full"), ("tokenizers", "limit"),
        ("safetensors", "limit"),  # it writes beside the file and renames, so it would not write to a device
    ],
)  # fmt: skip
def test_what_libraries_say_of_the_disk_is_understood(library: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if fault == "full":
        path.symlink_to("/dev/full")
    with limits_end(), pytest.raises(OSError) as caught, disk_faults(tmp_path):
        limit(ADAPTER_LIMIT if fault == "limit" else resource.RLIM_INFINITY)
        WRITERS[library](path)
    expected = errno.ENOSPC if fault == "full" else errno.EFBIG
    assert caught.value.errno == (errno.EIO if library == "torch" else expected)  # torch does not pass the number on


def test_other_faults_of_libraries_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="memory"), disk_faults(tmp_path):
        raise torch.OutOfMemoryError("out of memory")
