"""The machine on the page: what it can do, models that are told before they come, checkpoints that go after a question."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tunewright import api
from tunewright.launch import inspect_inputs
from tunewright.rundir.run_lock import take

Browsing = Callable[..., TestClient]
HTMX = {"hx-request": "true"}


@pytest.fixture(autouse=True)
def _nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: object) -> None:
        raise AssertionError("a page measures nothing")

    monkeypatch.setattr(inspect_inputs, "ensure_probe", measured)


@pytest.fixture
def run(run: api.TrainedRun) -> api.TrainedRun:
    """With a checkpoint of 3 MiB."""
    (run.path / "checkpoints" / "checkpoint-4").mkdir(parents=True)
    (run.path / "checkpoints" / "checkpoint-4" / "state").write_bytes(b"x" * 3 * 2**20)
    return run


def test_a_model_is_told_before_it_is_fetched(browser: TestClient, run: api.TrainedRun) -> None:
    page = browser.get("/machine").text
    for card in api.builtin_models().values():
        assert card.package in page and card.model.licence in page
    assert "88.6" in page  # MiB of smollm2's wheel
    assert 'action="/machine/remove"' not in page


def test_a_download_is_begun_by_its_button_alone(browser: TestClient, held: list[int]) -> None:
    browser.get("/machine")
    assert not held
    form = {"model": "smollm2", "form_id": api.new_work_id()}
    part = browser.post("/machine/fetch", data=form, headers=HTMX).text
    assert 'hx-sse:connect="/machine/stream"' in part and len(held) == 1
    assert browser.post("/machine/fetch", data=form, headers=HTMX).status_code == 200 and len(held) == 1
    work = api.works()[0]
    assert browser.post("/machine/stop", data={"work": work.id}).status_code == 200
    assert work.is_asked_to_stop()


@pytest.mark.parametrize("model", ["https://example.org/x", "owner/name", "../minilm", "", "<b>x</b>"])
def test_no_other_model_is_fetched_or_removed(browser: TestClient, held: list[int], model: str) -> None:
    answer = browser.post("/machine/fetch", data={"model": model, "form_id": api.new_work_id()})
    assert answer.status_code == 409 and "E302" in answer.text and "<b>" not in answer.text
    assert browser.post("/machine/remove", data={"model": model, "sure": "yes"}).status_code == 404
    assert not held


def test_a_model_is_removed_after_a_question(browser: TestClient, home: Path) -> None:
    folder = home / "models" / "minilm-0123456789ab"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x" * 2**20)
    assert "Remove minilm" in browser.get("/machine").text
    asked = browser.post("/machine/remove", data={"model": "minilm"}).text
    assert "1.0\u00a0MiB" in asked and folder.is_dir()
    browser.post("/machine/remove", data={"model": "minilm", "sure": "yes"})
    assert not folder.exists()


def test_checkpoints_are_removed_after_a_question(browser: TestClient, run: api.TrainedRun) -> None:
    assert "3.0\u00a0MiB" in browser.get("/machine").text
    asked = browser.post("/machine/checkpoints", data={"run": "shop"}).text
    assert "3.0\u00a0MiB" in asked and "cannot go on" not in asked
    assert (run.path / "checkpoints").is_dir()
    browser.post("/machine/checkpoints", data={"run": "shop", "sure": "yes"})
    assert not (run.path / "checkpoints").exists() and run.adapter.is_dir()


def test_of_a_run_that_did_not_finish_the_question_says_what_is_lost(browser: TestClient, run: api.TrainedRun) -> None:
    run.dir.update_info(state="stopped")
    assert "cannot go on" in browser.post("/machine/checkpoints", data={"run": "shop"}).text


def test_a_live_run_keeps_its_checkpoints(browser: TestClient, run: api.TrainedRun) -> None:
    run.dir.update_info(state="running")
    lock = take(run.path)
    assert lock is not None
    assert 'action="/machine/checkpoints"' not in browser.get("/machine").text
    answer = browser.post("/machine/checkpoints", data={"run": "shop", "sure": "yes"})
    assert answer.status_code == 409 and "E505" in answer.text
    assert (run.path / "checkpoints" / "checkpoint-4" / "state").is_file()
    os.close(lock)


@pytest.mark.parametrize("name", ["..", "/etc", "last", "sho", "", "\x00"])
def test_checkpoints_are_those_of_a_listed_run(browser: TestClient, run: api.TrainedRun, name: str) -> None:
    assert browser.post("/machine/checkpoints", data={"run": name, "sure": "yes"}).status_code == 404
    assert (run.path / "checkpoints").is_dir()


def test_the_bug_report_names_versions_and_no_key(
    browser: TestClient, run: api.TrainedRun, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_keykeykeykey")
    page = browser.get("/machine").text
    report = page.split('id="bug">')[1].split("</pre>")[0]
    assert "transformers" in report and "num_cpus" in report
    assert "keykey" not in page and str(home) not in page and str(run.path) not in page


@pytest.mark.parametrize("word", ["E203", "peft.r", "overfitting"])
def test_terms_are_explained_in_a_page_and_in_a_part(browser: TestClient, word: str) -> None:
    page, part = browser.get(f"/explain/{word}").text, browser.get(f"/explain/{word}", headers=HTMX).text
    assert "<html" in page and "<html" not in part
    assert api.explain(word).title.split()[0] in part


def test_a_word_that_nobody_knows_is_a_message(browser: TestClient) -> None:
    answer = browser.get("/explain/%3Cscript%3Ealert(1)%3C/script%3E")
    assert answer.status_code == 409 and "E111" in answer.text and "<script>alert" not in answer.text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_both_languages(language: str, browsing: Browsing, run: api.TrainedRun, home: Path) -> None:
    browser = browsing(language)
    pages = [
        browser.get("/machine").text,
        browser.post("/machine/checkpoints", data={"run": "shop"}).text,
        browser.get("/explain/peft.r").text,
    ]
    for page, english in zip(pages, ("Built-in models", "Remove for good", "What it means"), strict=True):
        assert (english in page) == (language == "en")
