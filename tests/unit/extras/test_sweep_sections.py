"""What a page shows of a sweep: the front is that of its figures, and nothing is said of trials that have not ended."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunewright.errors import TrainingError
from tunewright.extras.sweep.sweep_record import StoredTrial, SweepRecord, read_record, write_record
from tunewright.extras.sweep.sweep_sections import SweepSections, sweep_sections
from tunewright.i18n import speaking

# Number, loss, seconds of training, trained parameters: 0, 3 and 1 are on the front of loss and time; 0 and 1 on that of size.
DONE = [(0, 1.2, 10.0, 1000), (1, 0.8, 40.0, 4000), (2, 1.3, 30.0, 4000), (3, 1.0, 20.0, 8000)]


def trial(number: int, value: float | None, seconds: float | None, size: int | None, **values: Any) -> StoredTrial:
    return StoredTrial(
        number=number, value=value, train_seconds=seconds, trainable_parameters=size,
        **{"state": "complete", "params": {"peft.r": 4 + number, "train.learning_rate": 0.000312345}, **values},
    )  # fmt: skip


def sweep_in(folder: Path, *more: StoredTrial, **values: Any) -> Path:
    """A folder as a sweep leaves it, with these trials beside the four of DONE."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text('{"schema": 1, "id": "0", "ask": "0"}')
    trials = [trial(*done) for done in DONE]
    importance = {"train.learning_rate": 0.75, "peft.r": 0.25}
    write_record(
        folder,
        SweepRecord(
            **{"metric": "held_out_loss", "trials": [*trials, *more], "best": 1, "importance": importance, **values}
        ),
    )
    return folder


def shown(folder: Path) -> SweepSections:
    sections = sweep_sections(folder)
    assert sections is not None
    return sections


def named(chart: Any) -> list[str]:
    return [point.name for point in chart.points if point.name]


def test_the_front_is_what_no_other_trial_beats_on_both_axes(tmp_path: Path) -> None:
    sections = shown(sweep_in(tmp_path / "sweep"))
    assert named(sections.costs.by_seconds) == ["trial-000", "trial-003", "trial-001"]
    assert named(sections.costs.by_size) == ["trial-000", "trial-001"]
    line: Any = sections.costs.by_seconds.front  # type: ignore[union-attr]
    assert len(line.split()) == 3 and len(sections.costs.by_seconds.points) == 4  # type: ignore[union-attr]
    assert {one.name for one in sections.trials if one.is_on_front} == {"trial-000", "trial-001", "trial-003"}


def test_of_a_score_that_is_better_when_higher_the_highest_is_on_the_front(tmp_path: Path) -> None:
    sections = shown(sweep_in(tmp_path / "sweep", metric="exact_match", best=2))
    assert named(sections.costs.by_seconds) == ["trial-000", "trial-002"]
    assert sections.trials[0].name == "trial-002" and "%" in sections.trials[0].score


def test_trials_are_a_table_the_best_first_with_their_settings(tmp_path: Path) -> None:
    sections = shown(sweep_in(tmp_path / "sweep"))
    assert [one.name for one in sections.trials] == ["trial-001", "trial-003", "trial-000", "trial-002"]
    assert sections.best == sections.trials[0] and sections.best.setting == "r 5, learning_rate 0.000312"
    assert sections.best_names(2) == ["trial-001", "trial-003"]
    assert [(bar.name, bar.share) for bar in sections.importance] == [
        ("train.learning_rate", "75.0\u00a0%"), ("peft.r", "25.0\u00a0%"),
    ]  # fmt: skip


def test_trials_without_a_score_are_told_and_in_no_chart(tmp_path: Path) -> None:
    pruned = trial(4, None, None, None, state="pruned", run="/elsewhere/trial-004")
    failed = trial(5, None, None, None, state="failed", reason="E401 no memory")
    sections = shown(sweep_in(tmp_path / "sweep", pruned, failed, trial(6, None, None, None, state="running")))
    assert (sections.num_finished, sections.counts) == (4, {"pruned": 1, "failed": 1})
    assert [(one.state, one.score, one.reason) for one in sections.trials[4:]] == [
        ("pruned", "", ""), ("failed", "", "E401 no memory"), ("not finished", "", ""),
    ]  # fmt: skip
    assert len(sections.costs.by_seconds.points) == 4  # type: ignore[union-attr]


def test_equal_sizes_make_no_chart_of_sizes(tmp_path: Path) -> None:
    folder = sweep_in(tmp_path / "sweep", trials=[trial(number, 1.0, 5.0 + number, 1000) for number in range(3)])
    assert shown(folder).costs.by_size is None


def test_a_sweep_before_its_first_end_is_empty_and_other_folders_are_none(tmp_path: Path) -> None:
    assert sweep_sections(tmp_path) is None
    (tmp_path / "sweep.json").write_text("{}")
    sections = shown(tmp_path)
    assert not sections.trials and not sections.costs.by_seconds and sections.best is None


def test_words_are_those_of_the_reader(tmp_path: Path) -> None:
    with speaking("zh"):
        sections = shown(sweep_in(tmp_path / "sweep", trial(4, None, None, None, state="pruned")))
    assert sections.metric != "held_out_loss" and sections.costs.about.endswith("。")
    assert list(sections.counts) != ["pruned"]


def test_a_record_that_is_damaged_is_told_with_its_place(tmp_path: Path) -> None:
    folder = sweep_in(tmp_path / "sweep")
    assert read_record(folder) is not None
    (folder / "trials.json").write_text(json.dumps({"metric": "held_out_loss", "trials": [{"number": "x"}]}))
    with pytest.raises(TrainingError) as failed:
        sweep_sections(folder)
    assert failed.value.problems[0].code == "E525" and failed.value.problems[0].where.file.endswith("trials.json")
