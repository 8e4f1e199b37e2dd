"""Runs of a comparison on several devices at once: the same results as one after another, and all stop when one is stopped."""

from pathlib import Path

from tests.faults.conftest import BASE, Toys
from tests.faults.fingerprint import fingerprint
from tunewright import api
from tunewright.extras.comparison.grid import Cell
from tunewright.launch import devices


def cells(toys: Toys, folder: Path, steps: int) -> list[Cell]:
    named = {
        **BASE, "model.name": str(toys.folder / "model"), "data.train": str(toys.folder / "train.jsonl"),
        "data.holdout": str(toys.folder / "held_out.jsonl"), "train.max_steps": steps,
    }  # fmt: skip
    del named["method"], named["peft.r"]
    return api.plan_grid(api.grid_settings(None, named, ranks=[2, 4]), folder)


def test_two_runs_on_each_number_of_devices(toys: Toys, tmp_path: Path) -> None:
    """By one core and by all there are: a core at a time computes each run, so every bit is the same."""
    core = str(devices.cores()[0])
    for name, chosen in (("one", core), ("all", "all")):
        events = [e for e in api.train_grid(cells(toys, tmp_path / name, 4), devices=chosen) if e]
        assert [event.kind for event in events].count("started") == 2
        assert [event.state for event in events if event.kind == "ended"] == ["finished"] * 2
    runs = [{run.name: fingerprint(run.dir) for run in api.runs(tmp_path / name)} for name in ("one", "all")]
    assert len(runs[0]) == 2
    assert runs[0] == runs[1]


def test_no_other_run_begins_after_one_was_stopped(toys: Toys, tmp_path: Path) -> None:
    begun, ended = [], {}
    for event in api.train_grid(cells(toys, tmp_path / "stopped", 4000), devices=str(devices.cores()[0])):
        if event is None:
            continue
        if event.kind == "started":
            begun.append(event.cell.name)
            api.TrainedRun(event.run).stop()
        elif event.kind == "ended":
            ended[event.cell.name] = event.state
    assert len(begun) == 1
    assert list(ended.values()) == ["stopped"]
