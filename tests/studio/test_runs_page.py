"""The runs: first start, list, filters, what runs now, the queue, one run while it runs and afterwards; in both languages."""

import os
import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_lock import take
from tunewright.studio import rendering

Browsing = Callable[..., TestClient]
MARKUP = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "{{ 7 * 7 }}", "<p hx-get='/machine' hx-trigger='load'>",
    '"><svg onload=alert(1)>', "\u202egnp.exe", "</pre><script src=//evil.example></script>",
)  # fmt: skip


def test_the_first_start_offers_two_ways(browsing: Browsing) -> None:
    english, chinese = (browsing(language).get("/").text for language in ("en", "zh"))
    assert 'action="/demo"' in english and 'href="/data"' in english
    assert "About two minutes" in english and "downloaded once" in english
    assert 'lang="zh-CN"' in chinese and "About two minutes" not in chinese


def test_runs_are_listed_and_filtered(browser: TestClient, finished: RunDir, classified: RunDir) -> None:
    page = browser.get("/").text
    assert finished.name in page and classified.name in page
    for query in ("task=seq_cls", "q=INTENTS", "q=finished+intents"):
        shown = browser.get(f"/?{query}").text
        assert classified.name in shown and f'href="/runs/{finished.name}"' not in shown
    part = browser.get("/?q=mita", headers={"hx-request": "true", "hx-target": "div#run-list"}).text
    assert finished.name in part and "<html" not in part


def test_a_damaged_run_is_a_row_that_says_so(browser: TestClient, finished: RunDir, classified: RunDir) -> None:
    finished.file(file_names.RUN_JSON).write_text("{")
    page = browser.get("/").text
    assert classified.name in page and "run.json" in page
    answer = browser.get(f"/runs/{finished.name}")
    assert answer.status_code == 200 and "E525" in answer.text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_run_that_ended(language: str, browsing: Browsing, finished: RunDir) -> None:
    page = browsing(language).get(f"/runs/{finished.name}").text
    assert "135" in page and "D301" in page and "hx-sse" not in page.split("<body", 1)[1].split("hx-sse.min.js")[0]
    assert ("finished" if language == "en" else "已完成") in page


def test_a_run_that_runs_has_a_stream_and_buttons(browser: TestClient, start: Callable[..., Any]) -> None:
    story = start(state="running")
    story.write("phase", phase="train", state="begin")
    story.train(1, 40)
    owner = take(story.run.path)
    assert owner is not None
    page = browser.get(f"/runs/{story.run.name}").text
    assert f'hx-sse:connect="/runs/{story.run.name}/stream"' in page
    assert "40 / 135" in page and "Stop and save" in page
    assert "40/135" in browser.get("/").text
    answer = browser.post(f"/runs/{story.run.name}/stop", follow_redirects=False)
    assert answer.status_code == 303 and story.run.is_asked_to_stop() and not story.run.is_asked_to_stop(now=True)
    browser.post(f"/runs/{story.run.name}/stop", data={"now": "yes"})
    assert story.run.is_asked_to_stop(now=True)


def test_the_curve_is_that_of_the_report(browser: TestClient, finished: RunDir) -> None:
    curve = browser.get(f"/runs/{finished.name}/curve").json()
    assert curve["loss"]["steps"][-1] == 135 and len(curve["loss"]["train"]) == len(curve["loss"]["steps"])
    assert curve["loss"]["best"] == 108 and curve["promised_steps"] == 135


def test_the_stream_of_an_ended_run_says_its_state_and_ends(browser: TestClient, finished: RunDir) -> None:
    text = browser.get(f"/runs/{finished.name}/stream").text
    assert text.startswith("data: ") and text.endswith("event: end\ndata: end\n\n")
    assert "D301" in text


def test_hostile_texts_stay_texts(browser: TestClient, start: Callable[..., Any]) -> None:
    story = start(state="failed")
    for text in MARKUP:
        story.write("note", text=text)
    atomic_io.write_text(story.run.file(file_names.LOG), "\n".join(MARKUP))
    page = browser.get(f"/runs/{story.run.name}").text
    scripts = re.findall(r"<script[^>]*>", page)
    assert all("src=" in script or "application/json" in script for script in scripts)
    assert "<img" not in page and "onerror=" not in re.sub(r"&lt;.*?&gt;", "", page)


def test_the_log_is_searched_and_downloaded(browser: TestClient, finished: RunDir) -> None:
    atomic_io.write_text(finished.file(file_names.LOG), "one\ntwo\nthree\n")
    assert "two" in browser.get(f"/runs/{finished.name}/log?q=tw").text
    assert "three" not in browser.get(f"/runs/{finished.name}/log?q=tw").text
    assert browser.get(f"/runs/{finished.name}/log?download=1").text == "one\ntwo\nthree\n"


def test_of_a_very_long_log_the_page_says_how_much_was_searched(browser: TestClient, finished: RunDir) -> None:
    with finished.file(file_names.LOG).open("wb") as file:
        file.truncate(2**30)
        file.seek(0, os.SEEK_END)
        file.write(b"a needle\nthe end\n")
    tracemalloc.start()
    found = browser.get(f"/runs/{finished.name}/log?q=needle").text
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 2**20
    assert "a needle" in found and "the end" not in found
    assert "Searched: the last 64.0\u00a0MiB of 1.0\u00a0GiB." in found
    assert "The last lines of 1.0\u00a0GiB; the download has all of them." in browser.get(f"/runs/{finished.name}").text


def test_the_log_is_downloaded_as_it_is(browser: TestClient, finished: RunDir) -> None:
    finished.file(file_names.LOG).write_bytes(b"50 %|##\r100 %\n\xff\n")
    answer = browser.get(f"/runs/{finished.name}/log?download=1")
    assert answer.content == b"50 %|##\r100 %\n\xff\n" and answer.headers["content-type"].startswith("text/plain")
    assert "content-length" not in answer.headers  # a live run's log grows while it is sent


def test_runs_are_removed_after_asking(browser: TestClient, finished: RunDir, classified: RunDir) -> None:
    asked = browser.post("/runs/remove", data={"run": finished.name})
    assert finished.path.is_dir() and finished.name in asked.text
    browser.post("/runs/remove", data={"run": finished.name, "sure": "yes"})
    assert not finished.path.is_dir() and classified.path.is_dir()


def test_a_live_run_is_not_removed(browser: TestClient, start: Callable[..., Any]) -> None:
    story = start(state="running")
    owner = take(story.run.path)
    assert owner is not None
    answer = browser.post("/runs/remove", data={"run": story.run.name, "sure": "yes"})
    assert answer.status_code == 409 and "E505" in answer.text and story.run.path.is_dir()


def test_an_unknown_run_is_not_found(browser: TestClient) -> None:
    assert browser.get("/runs/nobody").status_code == 404
    assert browser.get("/nowhere").status_code == 404


def test_the_language_of_an_answer_to_a_form_leads_back_to_the_page_of_the_form(
    browser: TestClient, finished: RunDir
) -> None:
    headers = {"referer": f"http://127.0.0.1:8686/runs/{finished.name}?a=1"}
    page = browser.post(f"/runs/{finished.name}/resume", headers=headers).text
    assert f'name="back" value="/runs/{finished.name}?a=1"' in page


def test_an_address_leads_to_a_run_whatever_its_folder_is_called() -> None:
    assert rendering.run_address("50%#1?", "/chat") == "/runs/50%25%231%3F/chat"
