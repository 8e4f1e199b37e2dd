"""A run's page and its report are made of the same sections: whatever one says, the other says, in both languages."""

import json
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from tests.studio.seen import held_in, sections
from tests.unit.report.conftest import Story
from tunewright.errors import Problem
from tunewright.rundir import file_names
from tunewright.rundir.run_dir import RunDir

Browsing = Callable[..., TestClient]
Start = Callable[..., Story]
OWN = {"curves-section", "alerts"}  # the page draws its curves live, and has alerts and notes beside the state


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", ["finished", "classified", "tagged", "estimated", "translated"])
def test_the_sections_of_page_and_report_say_the_same(
    kind: str, language: str, browsing: Browsing, request: pytest.FixtureRequest
) -> None:
    run: RunDir = request.getfixturevalue(kind)
    browser = browsing(language)
    report = sections(browser.get(f"/runs/{run.name}/report").text)
    page = sections(text := browser.get(f"/runs/{run.name}").text)
    held_in(text)
    assert {"verdict", "samples", "data", "promise", "decisions", "repeat", "made"} <= report.keys()
    for name in report.keys() - OWN:
        assert page[name] == report[name], name


def test_a_run_that_failed_says_why_once(browser: TestClient, start: Start) -> None:
    story = start(state="failed")
    story.failed(Problem("E505", values={"pid": 4711, "host": "here", "name": "mita"}), 3)
    text = browser.get(f"/runs/{story.run.name}").text
    held_in(text)
    assert text.count("4711") == 1 and "E505" in sections(text)["verdict"]


def test_a_run_that_goes_on_has_no_verdict_yet(browser: TestClient, start: Start) -> None:
    story = start(state="waiting")
    text = browser.get(f"/runs/{story.run.name}").text
    assert "verdict" not in sections(text) and "samples" not in sections(text)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_findings_are_those_of_the_report_with_their_buttons(
    language: str, browsing: Browsing, finished: RunDir
) -> None:
    stored = json.loads(finished.file(file_names.PREPARED).read_text())
    stored["counts"]["duplicate"] = 500
    finished.file(file_names.PREPARED).write_text(json.dumps(stored))
    browser = browsing(language)
    report = sections(browser.get(f"/runs/{finished.name}/report").text)["findings"]
    text = browser.get(f"/runs/{finished.name}").text
    held_in(text)
    page = sections(text)["findings"]
    assert "D208" in report and page.split("D208")[0] == report.split("D208")[0]
    assert page.split("D208")[1][:60] == report.split("D208")[1][:60]
