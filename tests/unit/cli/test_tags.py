"""`runs tag` and `runs list --tag`: words by which runs are found again, in a terminal and as JSON."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.conftest import begin
from tunewright.rundir import file_names


@pytest.fixture
def runs(tw: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for name in ("first", "second"):
        begin(folder, name)
    return folder


def test_a_run_is_tagged_shown_and_untagged(tw: Any, runs: Path) -> None:
    assert tw("runs", "tag", "first").out == "first has no tags.\n"
    assert tw("runs", "tag", "first", "paper", "v2").out == "first: paper v2\n"
    assert tw("runs", "tag", "first", "v2", "--remove").out == "first: paper\n"
    assert tw("runs", "tag", "first", "--json").json["tags"] == ["paper"]
    assert (runs / "first" / file_names.TAGS).is_file() and not (runs / "second" / file_names.TAGS).exists()


def test_the_list_has_tags_where_there_are_any_and_finds_runs_by_them(tw: Any, runs: Path) -> None:
    assert "tags" not in tw("runs", "list").out
    tw("runs", "tag", "first", "paper", "v2")
    tw("runs", "tag", "second", "v2")
    shown = tw("runs", "list").out
    assert "tags" in shown.splitlines()[0] and "paper v2" in shown
    assert tw("runs", "list", "--tag", "v2", "-q").out.split() == ["first", "second"]
    assert tw("runs", "list", "--tag", "v2", "--tag", "paper", "-q").out == "first\n"
    found = tw("runs", "list", "--tag", "paper", "--json").json["runs"]
    assert [(run["name"], run["tags"]) for run in found] == [("first", ["paper", "v2"])]
    none = tw("runs", "list", "--tag", "pap")
    assert (none.code, none.out) == (0, "") and "No run has these tags." in none.err


def test_what_is_no_tag_is_refused(tw: Any, runs: Path) -> None:
    shown = tw("runs", "tag", "first", "two words")
    assert shown.code == 2 and "E133" in shown.err and "one word" in shown.err


def test_a_damaged_file_of_tags_leaves_the_list_whole(tw: Any, runs: Path) -> None:
    (runs / "first" / file_names.TAGS).write_text("{]")
    shown = tw("runs", "list")
    assert shown.code == 0 and "first" in shown.out and "second" in shown.out and "damaged" in shown.out
