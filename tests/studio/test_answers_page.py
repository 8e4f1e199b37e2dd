"""The answers of a run: every row has a place, filters say what they find, and a stranger's text is text."""

import csv
import io
import json
import re
from collections.abc import Callable
from html import unescape
from time import perf_counter

import pytest
from starlette.testclient import TestClient

from tests.studio.seen import held_in
from tests.unit.report.conftest import Story, sample_rows
from tests.unit.report.test_report_page import HOSTILE
from tunewright.rundir import file_names
from tunewright.rundir.run_dir import RunDir

Browsing = Callable[..., TestClient]
Start = Callable[..., Story]
TASKS = ["finished", "classified", "tagged", "estimated", "translated"]


def answers(browser: TestClient, run: RunDir, query: str = "") -> str:
    answer = browser.get(f"/runs/{run.name}/answers{query}")
    assert answer.status_code == 200, answer.text
    return answer.text


def rows(text: str) -> list[int]:
    return [int(row) for row in re.findall(r'id="row-(\d+)"', text)]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", TASKS)
def test_runs_of_each_task_show_all_their_rows(
    kind: str, language: str, browsing: Browsing, request: pytest.FixtureRequest
) -> None:
    run: RunDir = request.getfixturevalue(kind)
    browser, found = browsing(language), []
    for number in (1, 2, 3):
        text = answers(browser, run, f"?page={number}")
        page = held_in(text)
        found += [row for row in rows(text) if row not in found]
        assert ("Tuned model" in page.text) == (language == "en")
    assert found == sorted(sample.row for sample in run.samples("after"))


def test_filters_stand_with_their_counts_and_lead_to_their_rows(browser: TestClient, finished: RunDir) -> None:
    text = answers(browser, finished)
    page = held_in(text)
    assert "all 120" in page.text and "now right 64" in page.text and "wrong before and now 48" in page.text
    keys = {attributes["data-key"]: attributes["href"] for attributes in page.all("a") if "data-key" in attributes}
    assert keys["f"] == f"/runs/{finished.name}/answers?outcome=fixed" and {"f", "b", "w"} <= keys.keys()
    fixed = browser.get(keys["f"]).text
    assert len(rows(fixed)) == 50 and "64 of 120 rows." in held_in(fixed).text
    both = answers(browser, finished, "?outcome=fixed&search=mugs&order=far&page=9")
    assert "32 of 120 rows." in held_in(both).text and len(rows(both)) == 32


def test_labels_and_lengths_are_offered_where_rows_have_them(browser: TestClient, classified: RunDir) -> None:
    page = held_in(answers(browser, classified, "?label=refund"))
    assert "refund (20)" in page.text and "20 of 120 rows." in page.text
    assert [attributes["name"] for attributes in page.all("select")] == ["label", "length", "order"]


@pytest.mark.parametrize("kind", TASKS)
def test_every_row_has_an_address_with_its_neighbours(
    kind: str, browser: TestClient, request: pytest.FixtureRequest
) -> None:
    run: RunDir = request.getfixturevalue(kind)
    numbers = rows(answers(browser, run))
    text = browser.get(f"/runs/{run.name}/answers/{numbers[1]}").text
    page = held_in(text)
    assert f"Row {numbers[1]}" in page.text
    by_key = {a["data-key"]: a["href"] for a in page.all("a") if "data-key" in a}
    assert by_key == {"k": f"/runs/{run.name}/answers/{numbers[0]}", "j": f"/runs/{run.name}/answers/{numbers[2]}"}
    assert browser.get(f"/runs/{run.name}/answers/99999").status_code == 404
    assert browser.get(f"/runs/{run.name}/answers/x").status_code == 404


def test_a_row_is_asked_again_in_the_chat(browser: TestClient, finished: RunDir) -> None:
    page = held_in(answers(browser, finished))
    asked = [a["href"] for a in page.all("a") if "/chat?" in (a["href"] or "")]
    assert len(asked) == 50
    assert asked[0] == f"/runs/{finished.name}/chat?prompt=two+blue+mugs+to+Oslo+please"


def test_files_hold_what_the_filters_find(browser: TestClient, finished: RunDir) -> None:
    page = held_in(answers(browser, finished, "?outcome=fixed&search=mugs"))
    places = [a["href"] for a in page.all("a") if "/answers." in (a["href"] or "")]
    table, lines = (browser.get(place or "") for place in places)
    assert "attachment" in table.headers["content-disposition"]
    assert table.headers["content-type"].startswith("text/csv")
    records = list(csv.DictReader(io.StringIO(table.text.removeprefix("\ufeff"))))
    assert len(records) == 32 and {record["outcome"] for record in records} == {"fixed"}
    assert [json.loads(line)["row"] for line in lines.text.splitlines()] == [int(record["row"]) for record in records]


def test_a_strangers_text_stays_text(browser: TestClient, start: Start) -> None:
    story = start(held_out=2)
    texts = [HOSTILE, "<p hx-get=/machine hx-trigger=load>{{ 7 * 7 }}", "\u202egnp.exe", "x" * 1_000_000]
    samples = [{"row": i, "prompt": text, "reference": text, "answer": text[::-1]} for i, text in enumerate(texts)]
    story.score("before", 2.0, samples, 4)
    story.score("after", 1.0, samples, 4)
    for place in ("answers", "answers/0", "answers/3", "answers?search=%3Cscript%3E&label=%3Cscript%3E&order=%22%3E"):
        text = browser.get(f"/runs/{story.run.name}/{place}").text
        held_in(text)
        assert "<img" not in text and "alert(1)<" not in text and "49" not in text
        assert "\u202e" not in unescape(text) and len(text) < 100_000


@pytest.mark.parametrize(
    "query", ["?page=0", "?page=-1", "?page=x", "?page=99999999999", "?order=x", "?outcome=x", "?label=x"]
)
def test_what_no_filter_says_finds_nothing_or_is_the_nearest(query: str, browser: TestClient, finished: RunDir) -> None:
    held_in(answers(browser, finished, query))


def test_a_run_without_answers_says_so(browser: TestClient, start: Start) -> None:
    run = start("fresh").run
    assert "No answers were generated." in held_in(answers(browser, run)).text


@pytest.mark.parametrize("file", ["after.jsonl", "before.losses.jsonl"])
def test_damaged_files_are_told(file: str, browser: TestClient, finished: RunDir) -> None:
    (finished.path / file_names.EVAL / file).write_text('{"row": "x"}\n')
    for place in ("/answers", "/answers/1104", ""):
        answer = browser.get(f"/runs/{finished.name}{place}")
        assert answer.status_code == 200 and "E525" in answer.text, place
    assert browser.get(f"/runs/{finished.name}/answers.csv").status_code == 409


def test_a_page_of_a_thousand_rows_is_there_at_once(browser: TestClient, start: Start) -> None:
    """300 ms on two cores; twice that where neighbours are busy."""
    story = start(held_out=1000)
    story.score("before", 3.3, sample_rows(1000, right_from=900), 1000)
    story.score("after", 0.4, sample_rows(1000, right_from=200), 1000)
    answers(browser, story.run)
    begun = perf_counter()
    answers(browser, story.run, "?search=mugs&page=3")
    assert perf_counter() - begun < 0.6
