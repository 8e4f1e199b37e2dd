"""Run by test_full_disk.py in a namespace of its own: a whole run, by the command line, on a disk that another process fills."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.matrix.conftest import _measured, shop_rows, tiny_model
from tests.small_disk import SmallDisk, small_disk
from tunewright.errors.exit_codes import EXIT_MEMORY
from tunewright.rundir.run_dir import RunDir

__all__ = ["_measured", "shop_rows", "tiny_model"]
WAIT_SECONDS = 240
SETTINGS = {
    "train.max_steps": 40, "train.eval_steps": 2, "train.early_stopping_patience": 0, "eval.rows": 2,
    "eval.max_new_tokens": 4, "data.holdout": 0.2, "train.per_device_train_batch_size": 4,
    "train.gradient_accumulation_steps": 1, "run.offline": "true",
}  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "30m") as mounted:
        yield mounted


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tunewright", *words, "--json"]


def has_come(run: RunDir, moment: str) -> bool:
    events = run.read_events()
    return any(
        moment in (event.kind, f"{getattr(event, 'phase', '')} {getattr(event, 'state', '')}") for event in events
    )


SLOW = ("prepare begin", "evaluate_before begin", "evaluate_after begin")


@pytest.mark.parametrize("moment", ["checkpoint", *(pytest.param(moment, marks=pytest.mark.slow) for moment in SLOW)])
def test_a_run_on_a_disk_that_is_filled_ends_in_order_and_goes_on(
    moment: str, disk: SmallDisk, tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = RunDir(disk.path / "run")
    sets = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    words = command("train", str(tiny_model()), str(shop_rows), "-o", str(run.path), *sets)
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    deadline = time.monotonic() + WAIT_SECONDS
    while not has_come(run, moment):
        assert started.poll() is None and time.monotonic() < deadline, started.communicate()
        time.sleep(0.01)
    disk.fill()
    out, err = started.communicate(timeout=WAIT_SECONDS)
    output: dict[str, Any] = json.loads(out)
    assert (started.returncode, output["exit_code"], output["state"]) == (EXIT_MEMORY, EXIT_MEMORY, "failed"), err
    problem = output["problems"][0]
    assert problem["code"] == ("E510" if moment == "checkpoint" else problem["code"])
    assert problem["code"] in ("E510", "E520")
    assert "No space left on device" in problem["message"] and problem["message"] in err
    assert run.read_events()[-1].kind == "failed"
    assert "Traceback" not in err
    disk.free()
    resumed = subprocess.run(command("runs", "resume", str(run.path)), capture_output=True, text=True, cwd=tmp_path)
    assert (resumed.returncode, json.loads(resumed.stdout)["state"]) == (0, "finished"), resumed.stderr
    assert [event.seq for event in run.read_events()] == list(range(len(run.read_events())))
    assert not [path.name for path in run.path.iterdir() if path.name.startswith((".reserve", ".staging"))]
