"""A run's page and its report are made of the same sections: whatever one says, the other says, in both languages."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from tests.studio.seen import held_in, sections
from tests.unit.report.conftest import Story
from tunewright.errors import Problem
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
