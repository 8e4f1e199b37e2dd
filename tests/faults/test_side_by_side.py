"""Runs of a comparison and of a sweep on several devices at once: the same results as one after another, and one stops all."""

from pathlib import Path

import pytest

from tests.faults.conftest import BASE, Toys
from tests.faults.fingerprint import fingerprint
from tunewright import api
from tunewright.extras.comparison.grid import Cell
from tunewright.launch import devices


def settings(toys: Toys) -> dict[str, object]:
    """All but the method and its rank."""
    named = {
        **BASE, "model.name": str(toys.folder / "model"), "data.train": str(toys.folder / "train.jsonl"),
        "data.holdout": str(toys.folder / "held_out.jsonl"),
    }  # fmt: skip
    return {path: value for path, value in named.items() if path not in ("method", "peft.r")}


def cells(toys: Toys, folder: Path, steps: int) -> list[Cell]:
    named = {**settings(toys), "train.max_steps": steps}
    return api.plan_grid(api.grid_settings(None, named, ranks=[2, 4]), folder)


def test_two_runs_on_each_number_of_devices(toys: Toys, tmp_path: Path) -> None:
    """By one core and by all there are: a core at a time computes each run, so every bit is the same."""
    core = str(devices.cores()[0])
    for name, chosen in (("one", core), ("all", "all")):
        events = [e for e in api.train_grid(cells(toys, tmp_path / name, 4), devices=api.devices_named(chosen)) if e]
        assert [event.kind for event in events].count("started") == 2
        assert [event.state for event in events if event.kind == "ended"] == ["finished"] * 2
    runs = [{run.name: fingerprint(run.dir) for run in api.runs(tmp_path / name)} for name in ("one", "all")]
    assert len(runs[0]) == 2
    assert runs[0] == runs[1]


@pytest.mark.slow
def test_two_trials_on_each_number_of_devices(toys: Toys, tmp_path: Path) -> None:
    """The first trials of a search are drawn without the results of others, so they are the same ones."""
    named = {**settings(toys), "train.max_steps": 4, "train.eval_steps": 2}
    cores = str(devices.cores()[0])
    found = {}
    for name, chosen in (("one", cores), ("all", "all")):
        axis = api.search_axis("peft.r=2,4,8")
        assert axis
        search = api.open_sweep(api.sweep_settings(None, named, space=[axis]), tmp_path / name)
        events = [event for event in api.train_sweep(search, devices=api.devices_named(chosen), limit=2) if event]
        assert sorted(event.kind for event in events) == ["ended", "ended", "started", "started"]
        found[name] = {trial.number: (trial.state, trial.value, dict(trial.picked)) for trial in search.search.trials()}
    assert [state for state, _value, _picked in found["one"].values()] == ["complete"] * 2
    assert found["one"] == found["all"]
    one, several = ({run.name: fingerprint(run.dir) for run in api.runs(tmp_path / name)} for name in ("one", "all"))
    assert one == several


def test_no_other_run_begins_after_one_was_stopped(toys: Toys, tmp_path: Path) -> None:
    begun, ended = [], {}
    core = api.devices_named(str(devices.cores()[0]))
    for event in api.train_grid(cells(toys, tmp_path / "stopped", 4000), devices=core):
        if event is None:
            continue
        if event.kind == "started":
            begun.append(event.cell.name)
            api.TrainedRun(event.run).stop()
        elif event.kind == "ended":
            ended[event.cell.name] = event.state
    assert len(begun) == 1
    assert list(ended.values()) == ["stopped"]
