"""Tags of a run: whole or not at all, none lost between two who give some, and never anything but a word."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunewright.errors import ConfigError, TrainingError
from tunewright.rundir import file_names, run_dir, run_overview, run_tags
from tunewright.rundir.run_dir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return run_dir.create(tmp_path / "mita", "mita")


def test_tags_are_added_and_taken_each_once_in_their_order(run: RunDir) -> None:
    assert run.tags() == ()
    assert run_tags.change(run, add=["paper", "v2", "paper"]) == ("paper", "v2")
    assert run_tags.change(run, add=["最终"], remove=["v2", "never"]) == ("paper", "最终")
    assert run_tags.replace(run, ["b", "a", "b"]) == run.tags() == ("b", "a")
    assert run_tags.replace(run, []) == run.tags() == ()


@pytest.mark.parametrize("odd", ["", "two words", "-x", "x" * 41, "a\nb", "a\u202eb", "<b>", ".hidden"])
def test_what_is_no_word_is_refused_and_nothing_is_written(odd: str, run: RunDir) -> None:
    run_tags.change(run, add=["kept"])
    for change in (lambda: run_tags.change(run, add=["new", odd]), lambda: run_tags.replace(run, [odd])):
        with pytest.raises(ConfigError) as failed:
            change()
        assert failed.value.problems[0].code == "E133"
    assert run.tags() == ("kept",)


def test_odd_tags_of_an_edited_file_go_one_by_one(run: RunDir) -> None:
    run.file(file_names.TAGS).write_text('{"tags": ["a b", "<b>", "paper"]}')
    assert run_tags.change(run, remove=["a b"]) == ("<b>", "paper")
    assert run_tags.change(run, add=["new"]) == ("<b>", "paper", "new")
    with pytest.raises(ConfigError):
        run_tags.replace(run, ["<b>"])


def test_a_run_has_no_more_tags_than_can_be_looked_at(run: RunDir) -> None:
    names = [f"t{number}" for number in range(21)]
    with pytest.raises(ConfigError):
        run_tags.change(run, add=names)
    assert len(run_tags.change(run, add=names[:20])) == 20


def test_none_is_lost_between_several_who_give_one_each(run: RunDir) -> None:
    threads = [threading.Thread(target=run_tags.change, args=(run,), kwargs={"add": [f"t{n}"]}) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.tags()) == sorted(f"t{n}" for n in range(12))
    assert {path.name for path in run.path.iterdir()} == {file_names.RUN_JSON, file_names.TAGS}


@pytest.mark.parametrize("content", ["{]", "[]", '{"tags": "paper"}'])
def test_a_damaged_file_is_told_and_can_be_replaced(content: str, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    run.file(file_names.TAGS).write_text(content)
    change: Callable[..., Any] = run_tags.change
    for reads in (run.tags, lambda: change(run, add=["x"])):
        with pytest.raises(TrainingError) as failed:
            reads()
        assert failed.value.problems[0].code == "E525"
    monkeypatch.setattr(RunDir, "plan", lambda _run: None)
    row = run_overview.overview(run)
    assert row.damage is not None and row.damage.code == "E525" and row.tags == ()
    assert run_tags.replace(run, ["x"]) == run.tags() == ("x",)
