"""Where a held-out row of a run stands in the data that somebody brought, also where they were mended; and when nobody knows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import built_in as built_in
from tests.unit.cli.conftest import model as model
from tests.unit.cli.conftest import rows as rows
from tunewright import api
from tunewright.errors import DataError
from tunewright.launch import start_run
from tunewright.launch.run_data import data_of_run, number_in_data
from tunewright.reporting import SILENT
from tunewright.rundir import file_names
from tunewright.rundir.run_dir import RunDir

Made = Callable[..., RunDir]


@pytest.fixture
def made(built_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Makes the folders of runs: of their files only those from before the start are there."""
    monkeypatch.chdir(tmp_path)

    def make(data: Any, **settings: Any) -> RunDir:
        loaded = api.load(named={"model.name": "smollm2", "data.train": data, **settings})
        return start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT)

    return make


def held_out(look: api.DataLook) -> dict[int, str]:
    """The questions of the held-out rows by the numbers that answers have."""
    examples = [row.example for row in look.rows if row.use == "held_out" and row.example]
    return {example.number: example.messages[0].content for example in examples}


def looked(run: RunDir) -> api.DataLook:
    return api.look_at_rows(data_of_run(run).loaded)


def question(path: Path, number: int) -> str:
    return str(json.loads(path.read_text().splitlines()[number - 1])["question"])


def test_a_row_of_a_file_has_the_number_that_its_answer_has(made: Made, rows: Path) -> None:
    run = made(str(rows))
    brought = data_of_run(run)
    assert (brought.train, brought.holdout, brought.fixes, brought.obstacle) == (str(rows.resolve()), None, (), None)
    look = looked(run)
    for number, asked in held_out(look).items():
        assert number_in_data(look, number) == number and question(rows, number) == asked
    with pytest.raises(DataError) as failed:
        number_in_data(look, 1000)
    assert failed.value.problems[0].code == "E265"


def test_a_row_of_mended_data_has_its_number_in_the_original(made: Made, rows: Path) -> None:
    original = api.look_at_rows(str(rows), "smollm2")
    fixed = api.fix_rows(original, [api.LeaveOut(rows=(1, 2, 20), answers_of="early")])
    assert {change.answers_of for change in fixed.changes} == {"early"}
    run = made(None, **fixed.settings)
    brought = data_of_run(run)
    assert brought.train == str(rows.resolve()) and brought.obstacle is None
    assert [fix["rows"] for fix in brought.fixes] == [[1, 2, 20]]
    look = looked(run)
    found = held_out(look)
    assert found and all(question(rows, number_in_data(look, number)) == asked for number, asked in found.items())
    assert any(number_in_data(look, number) != number for number in found)


@pytest.mark.parametrize("is_mended", [False, True])
def test_held_out_rows_of_their_own_file_are_counted_after_the_others(
    is_mended: bool, made: Made, rows: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text("".join(f'{{"question": "What is {n}?", "answer": "{n}"}}\n' for n in range(5)))
    settings: dict[str, Any] = {"data.train": str(rows), "data.holdout": str(own)}
    if is_mended:
        look = api.look_at_rows(api.load(named={"model.name": "smollm2", **settings}))
        settings |= api.fix_rows(look, [api.LeaveOut(rows=(3, 42))]).settings
    run = made(settings.pop("data.train"), **settings)
    brought = data_of_run(run)
    assert (brought.held_out_file, brought.obstacle) == (str(own.resolve()), None)
    look = looked(run)
    for number, asked in held_out(look).items():
        assert question(own, number_in_data(look, number) - 40) == asked


def _with_data(run: RunDir, **values: Any) -> None:
    plan = json.loads(run.file(file_names.PLAN).read_text())
    plan["run"]["data"].update(values)
    run.file(file_names.PLAN).write_text(json.dumps(plan))


@pytest.mark.parametrize(
    ("values", "obstacle"),
    [
        ({"train": "somebody/rows"}, "hub"),
        ({"holdout": "hf://datasets/somebody/rows"}, "hub"),
        ({"train": ["a.jsonl", "b.jsonl"]}, "several"),
        ({"train": [{"path": "a.jsonl", "rows": 5}]}, "several"),
        ({"encoding": "gb18030"}, "reading"),
        ({"split": "test"}, "reading"),
        ({"train": "nowhere.jsonl"}, "gone"),
    ],
)
def test_what_stands_in_the_way_is_told(values: dict[str, Any], obstacle: str, made: Made, rows: Path) -> None:
    run = made(str(rows))
    _with_data(run, **values)
    assert data_of_run(run).obstacle == obstacle


def test_data_that_are_not_what_they_were_are_told(made: Made, rows: Path) -> None:
    plain = made(str(rows), **{"run.name": "plain"})
    fixed = api.fix_rows(api.look_at_rows(str(rows), "smollm2"), [api.LeaveOut(rows=(1,))])
    mended = made(None, **{"run.name": "mended", **fixed.settings})
    rows.write_text(rows.read_text().replace("How much is 3", "How many are 3"))
    assert [data_of_run(run).obstacle for run in (plain, mended)] == ["changed", "changed"]
    rows.unlink()
    assert [data_of_run(run).obstacle for run in (plain, mended)] == ["gone", "gone"]
