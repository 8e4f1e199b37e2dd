"""Runs side by side on a page: what is chosen, what stands in the way, and what is said of strangers' names."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from tests.studio.seen import held_in, sections
from tests.unit.extras.test_comparison import Cell, ranks
from tests.unit.extras.test_comparison import cell as cell
from tests.unit.extras.test_sweep_sections import sweep_in, trial
from tests.unit.report.conftest import intent_rows
from tunewright.extras.comparison import aligned_runs, comparison_page
from tunewright.extras.comparison.recommendation import recommend
from tunewright.i18n import speaking
from tunewright.rundir import file_names, run_lock
from tunewright.rundir.run_dir import RunDir

Browsing = Callable[..., TestClient]
SHOWN = ("verdict", "table", "charts", "rows", "settings")


@pytest.fixture
def train(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cell:
    """Makes finished runs in the folder `runs` of the one that the studio is started in."""
    monkeypatch.chdir(tmp_path)
    return cell


def compare(browser: TestClient, *names: str) -> str:
    answer = browser.get(f"/compare?{urlencode([('run', name) for name in names])}")
    assert answer.status_code == 200, answer.text
    held_in(answer.text)
    return answer.text


def test_all_runs_are_there_to_choose_from(browser: TestClient, train: Cell) -> None:
    assert "no runs here yet" in held_in(compare(browser)).text
    ranks(train, r4=(0.5, 80), r16=(0.85, 100))
    page = held_in(compare(browser, "r16"))
    boxes = {box["value"]: "checked" in box for box in page.all("input") if box["name"] == "run"}
    assert boxes == {"r4": False, "r16": True}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_shows_what_the_file_of_a_comparison_shows(language: str, browsing: Browsing, train: Cell) -> None:
    runs = ranks(train, r4=(0.5, 80), r16=(0.85, 100))
    text = compare(browsing(language), "r4", "r16")
    comparison = aligned_runs.compare(runs)
    with speaking(language):
        file = sections(comparison_page.render(comparison, recommend(comparison)))
    on_page = sections(text)
    assert all(file[name] and on_page[name] == file[name] for name in SHOWN)
    assert "tunewright compare r4 r16" in text


def test_the_curves_of_all_chosen_runs_lie_over_each_other(browser: TestClient, train: Cell) -> None:
    ranks(train, r4=(0.5, 80), r8=(0.7, 90))
    train("r16", 0.8, **{"peft.r": 16}).update_info(state="failed")
    text = compare(browser, "r4", "r8", "r16")
    assert text.count('<polyline class="loss series-') == 6  # training and held-out loss of each
    assert "loss series-3" in text and "r16" in sections(text)["curves-of-runs"]


def test_runs_that_cannot_be_compared_are_told_with_their_curves_and_settings(browser: TestClient, train: Cell) -> None:
    train("r4", 0.5)
    other = [{**row, "prompt": "else"} for row in intent_rows(120, lambda i: True)]
    train("else", 1.0, rows=other, before=other, **{"peft.r": 2})
    shown = sections(text := compare(browser, "r4", "else"))
    assert "E125" in text and "verdict" not in shown
    assert "peft.r" in shown["settings"] and "else" in shown["curves-of-runs"]


def test_a_run_that_has_not_ended_is_named_and_the_others_compared(browser: TestClient, train: Cell) -> None:
    train("r4", 0.5)
    (early := train("early", 0.6, **{"peft.r": 2})).update_info(state="stopped")
    lines = early.file(file_names.EVENTS).read_text().splitlines(keepends=True)
    early.file(file_names.EVENTS).write_text(
        "".join(line for line in lines if '"after"' not in line and "done" not in line)
    )
    shown = sections(compare(browser, "r4", "early"))
    assert "early (stopped)" in shown["verdict"] and "early" in shown["curves-of-runs"]


@pytest.mark.parametrize("damaged", [file_names.RUN_JSON, file_names.PLAN, file_names.EVENTS, "eval/after.jsonl"])
def test_a_damaged_run_is_told(damaged: str, browser: TestClient, train: Cell) -> None:
    ranks(train, r4=(0.5, 80), r16=(0.85, 100))
    Path("runs", "r4", damaged).write_text("{]\n")
    text = compare(browser, "r4", "r16")
    assert "E525" in text
    assert "r16" in text


def test_a_name_of_the_address_is_never_a_path(browser: TestClient, train: Cell, tmp_path: Path) -> None:
    run = train("r4", 0.5)
    for name in ("../runs/r4", str(run.path), "r", "last", "\x00", "<script>alert(1)</script>"):
        text = compare(browser, name)
        assert "E113" in text and "verdict" not in sections(text) and "<script>alert" not in text


def test_at_most_twelve_are_shown_at_once(browser: TestClient, train: Cell) -> None:
    names = [train(f"r{r}", 0.5 + r / 50, **{"peft.r": r}).name for r in range(1, 14)]
    text = compare(browser, *names)
    assert "At most 12 runs" in text
    assert text.count('<polyline class="loss series-') == 24


def test_strangers_names_and_rows_stay_text(browser: TestClient, train: Cell) -> None:
    nasty = "<img src=x onerror=alert(1)>{{7*7}}"
    rows = [{**row, "prompt": nasty, "reference": nasty, "answer": nasty} for row in intent_rows(120, lambda i: i > 60)]
    other = [{**row, "answer": "no" if i % 2 else nasty} for i, row in enumerate(rows)]
    train("r4", 0.5, rows=rows, before=other)
    train("r8", 0.5, rows=other, before=other, **{"peft.r": 8})
    text = compare(browser, "r4", "r8")
    assert "<img" not in text and "&lt;img" in text


def test_the_trials_of_a_sweep_are_a_table_while_it_runs(browser: TestClient, train: Cell, tmp_path: Path) -> None:
    (tmp_path / "sweep-shop").mkdir()
    for run in ranks(train, r4=(0.5, 80), r16=(0.85, 100)):
        run.path.rename(tmp_path / "sweep-shop" / f"trial-{run.name}")
    (tmp_path / "sweep-shop").rename(tmp_path / "runs" / "sweep-shop")
    train("alone", 0.5)
    assert 'href="/compare?in=sweep-shop"' in compare(browser)
    text = browser.get("/compare?in=sweep-shop").text
    page = held_in(text)
    assert "trial-r16" in page.text and "alone" not in [
        box["value"] for box in page.all("input") if box["name"] == "run"
    ]
    assert "54 / " in page.text
    assert "tunewright compare runs/sweep-shop/trial-r4 runs/sweep-shop/trial-r16" in page.text
    part = browser.get("/compare?in=sweep-shop", headers={"hx-request": "true"}).text
    assert "trial-r4" in part and "<html" not in part
    assert "trial-r4" not in browser.get("/compare?in=../runs/sweep-shop").text


@pytest.fixture
def sweep(train: Cell, tmp_path: Path) -> Path:
    """A sweep with four finished trials, two of whose runs are here."""
    folder = sweep_in(tmp_path / "runs" / "sweep-shop")
    for number, run in enumerate(ranks(train, r4=(0.5, 80), r16=(0.85, 100))):
        run.path.rename(folder / f"trial-{number:03d}")
    return folder


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_sweep_shows_its_front_and_what_made_a_difference(language: str, browsing: Browsing, sweep: Path) -> None:
    text = browsing(language).get("/compare?in=sweep-shop").text
    held_in(text)
    shown = sections(text)
    assert {"search-found", "search-charts", "importance", "search-trials", "charts"} <= shown.keys()
    assert "train.learning_rate" in shown["importance"] and "75" in shown["importance"]
    assert all(f"trial-{number:03d}" in shown["search-trials"] for number in range(4))
    assert text.count('<polyline class="front"') == 4  # of the search and of the runs that are compared, each two
    assert ("so far" in shown["search-found"]) is False and "trial-001" in shown["search-found"]


def test_the_charts_of_a_search_are_drawn_by_the_templates_of_its_report(browser: TestClient, sweep: Path) -> None:
    """A file of the sweep shows the same shares; the page adds no words of its own to that section."""
    runs = [RunDir(sweep / name) for name in ("trial-000", "trial-001")]
    comparison = aligned_runs.compare(runs)
    importance = {"train.learning_rate": 0.75, "peft.r": 0.25}
    file = sections(comparison_page.render(comparison, recommend(comparison), importance))
    assert sections(browser.get("/compare?in=sweep-shop").text)["importance"] == file["importance"]


def test_while_a_sweep_goes_on_it_is_said_that_these_are_the_trials_so_far(browser: TestClient, sweep: Path) -> None:
    assert 'hx-get="/compare/search' not in browser.get("/compare?in=sweep-shop").text
    run = RunDir(sweep / "trial-001")
    run.update_info(state="running")
    lock = run_lock.take(run.path)
    assert lock is not None
    text = browser.get("/compare?in=sweep-shop").text
    assert 'hx-get="/compare/search?in=sweep-shop"' in text and "so far; the search goes on" in held_in(text).text
    sweep_in(sweep, trial(4, 0.1, 5.0, 1000), best=4)
    part = browser.get("/compare/search?in=sweep-shop", headers={"hx-request": "true"}).text
    assert "<html" not in part and "trial-004" in sections(part)["search-found"]
    os.close(lock)


def test_a_part_of_a_page_that_was_asked_for_alone_leads_to_the_page(browser: TestClient, sweep: Path) -> None:
    for query, place in (("?in=sweep-shop", "/compare?in=sweep-shop"), ("?in=../runs/sweep-shop", "/compare")):
        answer = browser.get(f"/compare/search{query}", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, place)


def test_of_more_trials_than_can_be_told_apart_the_best_are_compared(
    browser: TestClient, train: Cell, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "sweep-shop"
    trials = [trial(number, 2.0 - number / 10, 10.0, 1000) for number in range(14)]
    sweep_in(folder, trials=trials, best=13)
    for number in range(14):
        train(f"r{number}", 0.5, **{"peft.r": number + 1}).path.rename(folder / f"trial-{number:03d}")
    page = held_in(browser.get("/compare?in=sweep-shop").text)
    assert "Below the 12 best trials are compared" in page.text
    checked = [box["value"] for box in page.all("input") if box["name"] == "run" and "checked" in box]
    assert checked == [f"trial-{number:03d}" for number in range(2, 14)]


@pytest.mark.parametrize("content", ["{]", "[]", '{"metric": "held_out_loss", "trials": [{"number": -1}]}'])
def test_a_record_of_a_sweep_that_is_damaged_is_told(content: str, browser: TestClient, sweep: Path) -> None:
    (sweep / "trials.json").write_text(content)
    text = browser.get("/compare?in=sweep-shop").text
    assert "E525" in text and "verdict" in sections(text)


def test_what_a_strange_record_of_a_sweep_says_stays_text(browser: TestClient, sweep: Path) -> None:
    nasty = "<img src=x onerror=alert(1)>{{7*191}}\u202e"
    odd = trial(4, 0.1, 5.0, 1000, run=f"/tmp/{nasty}", params={nasty: nasty}, state="complete")
    failed = trial(5, None, None, None, state="failed", reason=nasty)
    (sweep / "trials.json").write_text(json.dumps({"metric": nasty, "trials": []}))
    text = browser.get("/compare?in=sweep-shop").text
    assert "E525" in text and "<img" not in text
    sweep_in(sweep, odd, failed, importance={nasty: 1.0})
    text = browser.get("/compare?in=sweep-shop").text
    held_in(text)
    assert "<img" not in text and "&lt;img" in text and "1337" not in text and "\u202e" not in text
