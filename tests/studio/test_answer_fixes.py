"""A held-out row that is wrong: left out from the page of its answer, undone on that of the data, never compared in silence."""

import html
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.studio.seen import held_in
from tests.unit.cli.conftest import built_in as built_in
from tests.unit.cli.conftest import model as model
from tests.unit.cli.conftest import rows as rows
from tests.unit.report.conftest import Story
from tunewright import api
from tunewright.launch import start_run
from tunewright.reporting import SILENT
from tunewright.rundir import file_names
from tunewright.studio import data_store, data_view

Browsing = Callable[..., TestClient]
Train = Callable[..., api.TrainedRun]


@pytest.fixture(autouse=True)
def _looks_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page waits for its look, however busy the machine is."""
    monkeypatch.setattr("tunewright.studio.pages.data.PAGE_SECONDS", 60.0)


def answered_run(name: str, settings: dict[str, object]) -> api.TrainedRun:
    """A finished run in the folder `runs` here, whose answers are to the rows that its data hold out."""
    loaded = api.load(named={"model.name": "smollm2", "run.output_dir": f"runs/{name}", **settings})
    run = start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT)
    samples = [
        {"row": example.number, "prompt": example.messages[0].content, "reference": example.messages[-1].content}
        for row in api.look_at_rows(api.data_of_run(run).loaded).rows
        if row.use == "held_out" and (example := row.example)
    ]
    story = Story(run, run.plan())
    story.score("before", 3.0, [{**sample, "answer": "no"} for sample in samples], len(samples))
    story.phase("train", 20.0)
    story.train(1, 3)
    story.score("after", 1.0, [{**sample, "answer": sample["reference"]} for sample in samples], len(samples))
    story.done(3, 3)
    run.update_info(state="finished")
    return api.TrainedRun(run)


@pytest.fixture
def train(built_in: Path, tmp_path: Path) -> Train:
    """Makes such runs in the folder that the studio was started in."""
    return answered_run


@pytest.fixture
def run(train: Train, rows: Path) -> api.TrainedRun:
    return train("mita", {"data.train": str(rows)})


def answered(run: api.TrainedRun) -> dict[int, str]:
    """The questions of the run's answers by their numbers."""
    return {sample.row: sample.prompt for sample in run.dir.samples("after")}


def text_of(page: Any) -> str:
    assert page.status_code == 200, page.text
    held_in(page.text)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", page.text)))


def leave_out(browser: TestClient, run: api.TrainedRun, row: int) -> str:
    """The address that leaving the row out leads to."""
    answer = browser.post(f"/runs/{run.name}/answers/{row}/leave-out", follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def only_entry() -> data_store.DataEntry:
    (entry,) = data_store.every()
    return entry


def left_out() -> list[str]:
    """The questions of the rows that are left out, as the record of the changes has them."""
    train = only_entry().fixed.get("data.train")
    changes = api.changes_in(train) if isinstance(train, str) else []
    return [change.before["question"] for change in changes if change.after is None]


@pytest.mark.parametrize(
    ("language", "button", "why"),
    [("en", "Leave this row out", "left out by hand from the answers of mita"), ("zh", "剔除这条样本", "mita")],
)
def test_a_row_is_left_out_from_its_answer_and_undone_with_the_other_changes(
    language: str, button: str, why: str, browsing: Browsing, run: api.TrainedRun, rows: Path
) -> None:
    browser, before = browsing(language), rows.read_bytes()
    row, asked = next(iter(answered(run).items()))
    assert f'href="/runs/mita/answers/{row}#leave-out"' in browser.get("/runs/mita/answers").text
    assert button in text_of(browser.get(f"/runs/mita/answers/{row}"))
    place = leave_out(browser, run, row)
    entry = only_entry()
    assert place == f"/data/{entry.id}#fixes-title" and left_out() == [asked]
    page = browser.get(place)
    assert why in text_of(page) and 'id="fixes-title"' in page.text and str(row) in text_of(page)
    page = browser.get(f"/runs/mita/answers/{row}")
    assert button not in text_of(page) and f'href="{place}"' in page.text
    assert leave_out(browser, run, row) == place and left_out() == [asked], "asked for twice it is one change"
    first = {"fix": data_view.digest_of(entry.row_fixes[0])}
    assert browser.post(f"/data/{entry.id}/undo", data=first, follow_redirects=False).status_code == 303
    assert left_out() == [] and button in text_of(browser.get(f"/runs/mita/answers/{row}"))
    assert rows.read_bytes() == before


def test_the_next_plan_from_these_data_does_not_have_the_row(
    browser: TestClient, run: api.TrainedRun, train: Train
) -> None:
    row, asked = list(answered(run).items())[1]
    leave_out(browser, run, row)
    settings = data_store.settings(only_entry().id)
    look = api.look_at_rows(api.load(named=settings))
    questions = [one.example.messages[0].content for one in look.rows if one.example]
    assert len(questions) == 39 and asked not in questions
    assert f"/plan?data={only_entry().id}" in browser.get(f"/data/{only_entry().id}").text
    assert asked not in answered(train("later", settings)).values()


def test_a_row_of_a_run_on_mended_data_is_found_in_the_original(
    browser: TestClient, run: api.TrainedRun, train: Train
) -> None:
    first = next(iter(answered(run)))
    leave_out(browser, run, first)
    later = train("later", data_store.settings(only_entry().id))
    number, asked = list(answered(later).items())[-1]
    leave_out(browser, later, number)
    assert left_out()[1:] == [asked] and len(only_entry().fixes) == 2


def test_mended_data_that_the_page_does_not_know_come_with_their_changes(
    browser: TestClient, train: Train, rows: Path
) -> None:
    fixed = api.fix_rows(api.look_at_rows(str(rows), "smollm2"), [api.LeaveOut(rows=(1,))])
    run = train("mita", dict(fixed.settings))
    number, asked = next(iter(answered(run).items()))
    leave_out(browser, run, number)
    assert left_out() == ["How much is 0 and 0?", asked]


def test_a_row_of_a_file_of_held_out_rows_is_left_out_of_that(
    browser: TestClient, train: Train, rows: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text("".join(f'{{"question": "What is {n}?", "answer": "{n}"}}\n' for n in range(5)))
    run = train("mita", {"data.train": str(rows), "data.holdout": str(own)})
    assert "It is row 3 of the held-out file own.jsonl." in text_of(browser.get("/runs/mita/answers/3"))
    leave_out(browser, run, 3)
    settings = data_store.settings(only_entry().id)
    mended = Path(str(settings["data.holdout"])).read_text()
    assert "What is 2?" not in mended and "What is 3?" in mended
    assert len(Path(str(settings["data.train"])).read_text().splitlines()) == 40


def _with_data(run: api.TrainedRun, **values: Any) -> None:
    plan = json.loads(run.dir.file(file_names.PLAN).read_text())
    plan["run"]["data"].update(values)
    run.dir.file(file_names.PLAN).write_text(json.dumps(plan))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"train": "somebody/rows"}, "These rows lie on the Hub"),
        ({"train": ["a.jsonl", "b.jsonl"]}, "mixed from several sources"),
        ({"encoding": "gb18030"}, "settings that the Data page does not have"),
        ({"train": "nowhere.jsonl"}, "no longer where they were"),
    ],
)
def test_where_a_row_cannot_be_left_out_it_is_said_what_can_be_done(
    values: dict[str, Any], told: str, browser: TestClient, run: api.TrainedRun
) -> None:
    _with_data(run, **values)
    row = next(iter(answered(run)))
    place = f"/runs/mita/answers/{row}"
    text = text_of(browser.get(place))
    assert told in text and "Leave this row out" not in text
    assert leave_out(browser, run, row) == place and not data_store.every()


def test_data_that_changed_since_the_run_are_not_mended_by_its_numbers(
    browser: TestClient, run: api.TrainedRun, rows: Path
) -> None:
    rows.write_text("\n".join(rows.read_text().splitlines()[1:]) + "\n")
    row = next(iter(answered(run)))
    assert "The data have changed since this run was trained" in text_of(browser.get(f"/runs/mita/answers/{row}"))
    leave_out(browser, run, row)
    assert not data_store.every()


def test_a_run_from_elsewhere_makes_the_page_read_no_file_outside(
    browser: TestClient, train: Train, rows: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "private.jsonl"
    outside.write_bytes(rows.read_bytes())
    run = train("mita", {"data.train": str(outside)})
    row = next(iter(answered(run)))
    assert "outside the folder that the studio was started in" in text_of(browser.get(f"/runs/mita/answers/{row}"))
    leave_out(browser, run, row)
    assert not data_store.every()


def _compared(browser: TestClient, runs: Sequence[api.TrainedRun]) -> str:
    return text_of(browser.get("/compare?" + "&".join(f"run={run.name}" for run in runs)))


def test_runs_that_were_tested_on_other_rows_are_marked_where_they_are_compared(
    browser: TestClient, run: api.TrainedRun, train: Train, rows: Path
) -> None:
    """Whatever is held out instead: the same number of rows or fewer."""
    for count, row in enumerate(answered(run)):
        fixed = api.fix_rows(api.look_at_rows(str(rows), "smollm2"), [api.LeaveOut(rows=(row,))])
        later = train(f"later-{count}", dict(fixed.settings))
        text = _compared(browser, [run, later])
        assert "E125" in text or "rows that all runs answered are compared" in text, (row, text)


def test_no_such_row_is_told(browser: TestClient, run: api.TrainedRun) -> None:
    answer = browser.post("/runs/mita/answers/9999/leave-out", follow_redirects=False)
    assert answer.status_code == 409 and "E265" in answer.text and not data_store.every()
