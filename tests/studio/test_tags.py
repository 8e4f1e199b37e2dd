"""Tags on the pages: changed on the run's own, shown in the list, found by the words of its filter; with and without script."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.studio.seen import held_in
from tunewright.rundir import file_names, run_tags
from tunewright.rundir.run_dir import RunDir

PART = {"hx-request": "true"}
Browsing = Callable[..., TestClient]


def give(browser: TestClient, run: RunDir, text: str, **options: Any) -> Any:
    return browser.post(f"/runs/{run.name}/tags", data={"tags": text}, follow_redirects=False, **options)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_tags_are_typed_on_the_page_of_the_run_and_lead_to_those_that_have_them(
    language: str, browsing: Browsing, finished: RunDir, classified: RunDir
) -> None:
    browser = browsing(language)
    answer = give(browser, finished, " paper, v2  最终，paper ")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{finished.name}")
    assert finished.tags() == ("paper", "v2", "最终")
    page = held_in(browser.get(f"/runs/{finished.name}").text)
    assert [one["value"] for one in page.all("input") if one.get("name") == "tags"] == ["paper v2 最终"]
    found = browser.get("/?q=PAPER").text
    assert f'href="/runs/{finished.name}"' in found and f'href="/runs/{classified.name}"' not in found
    assert '<span class="state">paper</span>' in found


def test_the_list_knows_tags_that_were_given_meanwhile(browser: TestClient, finished: RunDir) -> None:
    assert "paper" not in browser.get("/").text
    run_tags.change(finished, add=["paper"])
    assert "paper" in browser.get("/").text
    assert give(browser, finished, "").status_code == 303
    assert "paper" not in browser.get("/").text


def test_the_form_alone_is_the_answer_to_htmx(browser: TestClient, finished: RunDir) -> None:
    part = give(browser, finished, "a b", headers=PART)
    assert part.status_code == 200 and "<html" not in part.text and 'value="a b"' in part.text
    refused = give(browser, finished, "a -b", headers=PART)
    assert refused.status_code == 409 and "E133" in refused.text and 'value="a -b"' in refused.text
    assert finished.tags() == ("a", "b")
    assert give(browser, finished, "<b>").status_code == 409


def test_a_strangers_tags_stay_text(browser: TestClient, finished: RunDir) -> None:
    finished.file(file_names.TAGS).write_text('{"tags": ["<img src=x onerror=alert(1)>", "{{7*7}}"]}')
    for place in ("/", f"/runs/{finished.name}"):
        text = browser.get(place).text
        held_in(text)
        assert "<img" not in text and ">49" not in text


def test_a_damaged_file_of_tags_is_told(browser: TestClient, finished: RunDir) -> None:
    finished.file(file_names.TAGS).write_text("{]")
    assert "state-damaged" in browser.get("/").text
    assert "E525" in browser.get(f"/runs/{finished.name}").text
