"""The grid and the sweep without the command line: one call trains all runs, and tells of each by events."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.cli.conftest import conclude, model, rows, story
from tests.unit.cli.conftest import tell as tell_events
from tests.unit.cli.test_compare_verb import prompted, trained
from tunewright import api
from tunewright.errors import ConfigError, error
from tunewright.extras.comparison import grid as grids
from tunewright.extras.comparison.grid import Cell
from tunewright.extras.comparison.train_grid import GridEvent
from tunewright.extras.sweep.train_trials import TrialEvent, train_trials_side_by_side
from tunewright.extras.sweep.trials import Sweep, TrialRun
from tunewright.launch import start_run
from tunewright.launch.devices import Device
from tunewright.reporting import SILENT
from tunewright.rundir.run_dir import RunDir

__all__ = ["model", "prompted", "rows", "trained"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: Path) -> None:
    monkeypatch.chdir(tmp_path)


def stopped(run: RunDir, lock: int, device: object = None) -> None:
    tell_events(run, story(state="stopped"))
    conclude(run, "stopped")


def test_one_call_trains_a_grid_and_compares_its_runs(model: Path, trained: list[str]) -> None:
    events: list[GridEvent] = []
    result = api.grid(
        str(model),
        "my.jsonl",
        methods=["lora"],
        axes={"peft.r": [4, 8]},
        seeds=2,
        folder="grid",
        on_event=events.append,
    )
    assert trained == ["lora-r4", "lora-r4-s2", "lora-r8", "lora-r8-s2"]
    assert [event.kind for event in events] == ["started", "ended"] * 4
    assert [event.cell.name for event in events[::2]] == trained
    assert {event.state for event in events if event.kind == "ended"} == {"finished"}
    assert [row.name for row in result.lines][-2:] == ["lora-r4", "lora-r8"] and result.verdict


def test_the_same_grid_trains_nothing_again(model: Path, trained: list[str], prompted: list[tuple[str, int]]) -> None:
    for _time in range(2):
        api.grid(str(model), "my.jsonl", ranks=[4], peft={"lora_alpha": 8})
    assert trained == ["lora-r4"] and prompted == [("lora-r4", 3)]


def test_a_grid_goes_into_no_run_and_beside_no_files_of_others(model: Path, trained: list[str], tmp_path: Path) -> None:
    api.grid(str(model), "my.jsonl", ranks=[4], folder="grid")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "equal.txt").write_text("mine")
    for folder, code in (("grid/lora-r4", "E126"), ("theirs", "E115"), (".", "E115")):
        before = sorted(Path(folder).iterdir())
        with pytest.raises(ConfigError, match=code):
            api.grid(str(model), "my.jsonl", ranks=[8], folder=folder)
        assert sorted(Path(folder).iterdir()) == before
    assert trained == ["lora-r4"]


def test_a_grid_ends_after_a_run_that_was_stopped(
    model: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_run, "start_parent", stopped)
    events: list[GridEvent] = []
    with pytest.raises(ConfigError, match="E116"):
        api.grid(str(model), "my.jsonl", ranks=[4, 8], folder="grid", on_event=events.append)
    assert [event.kind for event in events] == ["started", "ended"]


def test_a_run_that_does_not_fit_is_an_event_and_the_others_are_trained(
    model: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = grids.begin

    def refuse_first(cell: Cell, **options: Any) -> RunDir | None:
        if cell.name == "lora-r4":
            raise error("E401", needed="9 GiB", free="2 GiB", fix="")
        return begin(cell, **options)

    monkeypatch.setattr(grids, "begin", refuse_first)
    events: list[GridEvent] = []
    api.grid(str(model), "my.jsonl", ranks=[4, 8], folder="grid", on_event=events.append)
    assert [event.kind for event in events] == ["refused", "started", "ended"]
    assert trained == ["lora-r8"]


def test_one_call_searches_and_writes_the_best_setting(model: Path, trained: list[str]) -> None:
    pytest.importorskip("optuna", reason="a sweep needs the optional part")
    events: list[TrialEvent] = []
    axis = api.search_axis("peft.r=4,8,16")
    assert axis is not None
    search = api.sweep(
        str(model), "my.jsonl", space=[axis], num_trials=3, folder="sweep", seed=7, on_event=events.append
    )
    assert [event.kind for event in events] == ["started", "ended"] * 3
    assert trained == ["trial-000", "trial-001", "trial-002"]
    assert {event.end for event in events if event.kind == "ended"} == {"complete"}
    assert all(event.values["peft.r"] in (4, 8, 16) for event in events if event.kind == "started")
    assert search.best is not None and Path("sweep/best.yaml").is_file()


def test_a_sweep_begins_nothing_after_its_deadline_and_ends_after_a_stop(
    model: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason="a sweep needs the optional part")
    settings = api.sweep_settings(None, {"model.name": str(model), "data.train": "my.jsonl"})
    search = api.open_sweep(settings)
    assert list(api.train_sweep(search, deadline=time.monotonic())) == []
    monkeypatch.setattr(start_run, "start_parent", stopped)
    events = list(api.train_sweep(search, limit=5))
    assert [event.kind for event in events] == ["started", "ended"]
    assert events[-1].kind == "ended" and events[-1].end == "stopped" and not trained


class LosesItsLastTrialOnce:
    """Two trials, of which the second takes longer and is lost the first time."""

    def __init__(self) -> None:
        self.open, self.held, self.begun = [0, 1], set[int](), list[int]()
        self.search = SimpleNamespace(trial=lambda number: number)

    def claim(self, limit: int | None) -> TrialRun | None:
        number = next((number for number in self.open if number not in self.held), None)
        if number is None:
            return None
        self.held.add(number)
        return TrialRun(number, cast(Any, None), cast(Any, object()))

    def begin(self, trial: TrialRun, **_options: Any) -> list[Any]:
        self.begun.append(trial.number)
        return []

    def parameters(self, number: int) -> dict[str, object]:
        return {}

    def follow(self, trial: TrialRun) -> Iterator[None]:
        return iter([None] * 3 * trial.number)

    def conclude(self, trial: TrialRun) -> str:
        self.held.discard(trial.number)
        if trial.number == 1 and self.begun.count(1) == 1:
            return "lost"
        self.open.remove(trial.number)
        return "complete"


def test_a_trial_that_is_lost_goes_on_although_nothing_was_left_to_begin_before() -> None:
    sweep, devices = LosesItsLastTrialOnce(), cast(list[Device], ["first", "second"])
    loop = train_trials_side_by_side(cast(Sweep, sweep), devices, limit=2, reporter=SILENT)
    ends = [(event.trial.number, event.end) for event in loop if event and event.kind == "ended"]
    assert ends == [(0, "complete"), (1, "lost"), (1, "complete")]
    assert sweep.begun == [0, 1, 1] and not sweep.open
