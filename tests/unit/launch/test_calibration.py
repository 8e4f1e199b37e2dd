"""The short run that measures this machine: nothing is left of it, also when it is interrupted."""

from pathlib import Path
from typing import Any

import pytest

from tunewright.config.load_config import load
from tunewright.launch import calibration
from tunewright.reporting import SILENT


def test_an_interrupted_calibration_ends_its_run_before_its_folder_goes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def pressed(_run: Path) -> None:
        raise KeyboardInterrupt

    def stopped(run: Path, *, now: bool) -> bool:
        done.append(f"stop, now: {now}")
        return True

    def create(loaded: Any, _plan: Any, **_: Any) -> Path:
        folder = Path(loaded.run.run.output_dir)
        folder.mkdir()
        return folder

    monkeypatch.setattr(calibration, "plan_for", lambda *_, **__: None)
    monkeypatch.setattr(calibration, "create", create)
    monkeypatch.setattr(calibration, "launch", lambda _run: None)
    monkeypatch.setattr(calibration, "wait", pressed)
    monkeypatch.setattr(calibration, "stop", stopped)
    monkeypatch.setattr(calibration, "wait_for_stop", lambda run: done.append(f"ended, there: {run.is_dir()}"))
    with pytest.raises(KeyboardInterrupt):
        calibration.calibrate(load(named={"model": "m", "data": "rows.jsonl"}), reporter=SILENT)
    assert done == ["stop, now: True", "ended, there: True"]
