"""Runs side by side on a page: what is chosen, what stands in the way, and what is said of strangers' names."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from tests.studio.seen import held_in, sections
from tests.unit.extras.test_comparison import Cell, ranks
from tests.unit.extras.test_comparison import cell as cell
from tests.unit.report.conftest import intent_rows
from tunewright.extras.comparison import aligned_runs, comparison_page
from tunewright.extras.comparison.recommendation import recommend
from tunewright.i18n import speaking
from tunewright.rundir import file_names

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
