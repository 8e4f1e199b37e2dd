"""A sweep end to end: runs of a tiny model, one of them cut off by a kill of the whole; the best config trains."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import tunewright
from tunewright.rundir.run_dir import RunDir

WAIT_SECONDS = 180


def begin(rows: Path, model: Path, folder: Path) -> "subprocess.Popen[str]":
    settings = ("train.max_steps=20", "train.eval_steps=2", "eval.rows=0")
    command = [
        sys.executable, "-m", "tunewright", "sweep", str(model), str(rows), "--trials", "2", "-o", str(folder), "--json",
        *(word for setting in settings for word in ("--set", setting)),
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def measured(run: RunDir) -> list[int]:
    """Steps at which the held-out loss was measured."""
    return [event.step for event in run.read_events() if event.kind == "eval"]


@pytest.mark.slow
def test_a_sweep_goes_on_behind_a_kill_of_everything(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    folder, model = tmp_path / "found", tiny_model()
    process, run = begin(shop_rows, model, folder), RunDir(folder / "trial-000")
    deadline = time.monotonic() + WAIT_SECONDS
    while not measured(run):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    for who in ("parent", "worker"):
        if psutil.pid_exists(pid := getattr(run.info(), who).pid):
            os.kill(pid, signal.SIGKILL)
    before = measured(run)
    out, err = begin(shop_rows, model, folder).communicate(timeout=WAIT_SECONDS)
    output: dict[str, Any] = json.loads(out)
    assert [(trial["number"], trial["state"]) for trial in output["trials"]] == [(0, "complete"), (1, "complete")], err
    steps = measured(run)
    assert steps[: len(before)] == before and sorted(set(steps)) == list(range(2, 21, 2))
    # Killed after a measurement and before its checkpoint, a run measures that step again, and no other.
    assert [step for step in set(steps) if steps.count(step) > 1] in ([], [before[-1]])
    values = [trial["value"] for trial in output["trials"]]
    assert output["best"] == values.index(min(values))
    assert "trial-001" in Path(output["report"]).read_text(encoding="utf-8")
    best = tunewright.train(config=output["config"], run={"output_dir": str(tmp_path / "again")})
    assert best.result["after"]["held_out_loss"] == pytest.approx(min(values), rel=1e-4)
