"""Export on the page: a closed list of files, each format with size and time, work that goes on without the page."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from tests.sessions import finished_run
from tunewright import api
from tunewright.errors import Problem
from tunewright.planning.run_plan import InspectedFacts
from tunewright.rundir import checkpoints
from tunewright.rundir.records import Proof, ProofCheck

Browsing = Callable[..., TestClient]
HTMX = {"hx-request": "true"}
EXPORT = "/runs/shop/export"
SECRET = "what nobody may read"


@pytest.fixture
def run(run: api.TrainedRun, tmp_path: Path) -> api.TrainedRun:
    """With a sealed adapter and a card, and beside it what nobody may read."""
    (run.adapter / "README.md").write_text("# <script>alert(1)</script>\n")
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weights")
    checkpoints.seal(run.adapter, run_id=run.dir.info().id, step=0, identity={})
    (run.path / "config.yaml").write_text("model: smollm2\n")
    (run.path / "log.txt").write_text(SECRET)
    (tmp_path / "secret").write_text(SECRET)
    return run


def send(browser: TestClient, to: str, **fields: str) -> str:
    answer = browser.post(EXPORT, data={"to": to, "form_id": api.new_work_id(), **fields}, headers=HTMX)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_files_are_listed_with_size_and_digest_and_can_be_taken(browser: TestClient, run: api.TrainedRun) -> None:
    page = browser.get(EXPORT).text
    weights = run.adapter / "adapter_model.safetensors"
    assert checkpoints.sha256(weights) in page
    answer = browser.get("/runs/shop/files/adapter/adapter_model.safetensors")
    assert answer.content == b"weights"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "model: smollm2" in browser.get("/runs/shop/files/config.yaml").text


@pytest.mark.parametrize(
    "name",
    [
        "../secret", "adapter/../../secret", "..%2f..%2fsecret", "/etc/passwd", "log.txt", "run.json", "events.jsonl", "adapter",
        "adapter/", "", ".", "adapter/link", "adapter/unsealed", "run.lock",
    ],
)  # fmt: skip
def test_no_other_file_can_be_asked_for(browser: TestClient, run: api.TrainedRun, name: str) -> None:
    (run.adapter / "unsealed").write_text(SECRET)
    (run.adapter / "link").symlink_to(run.path.parent / "secret")
    for address in (f"/runs/shop/files/{quote(name)}", f"/runs/shop/files/{quote(name, safe='')}"):
        answer = browser.get(address)
        assert answer.status_code == 404, address
        assert SECRET not in answer.text


def test_a_link_in_a_sealed_adapter_is_not_followed_out_of_the_run(browser: TestClient, run: api.TrainedRun) -> None:
    weights = run.adapter / "adapter_model.safetensors"
    weights.unlink()
    weights.symlink_to(run.path.parent / "secret")
    checkpoints.seal(run.adapter, run_id=run.dir.info().id, step=0, identity={})
    assert "files/adapter/adapter_model.safetensors" not in browser.get(EXPORT).text
    assert browser.get("/runs/shop/files/adapter/adapter_model.safetensors").status_code == 404


def test_the_card_is_text_and_not_a_page(browser: TestClient, run: api.TrainedRun) -> None:
    answer = browser.get("/runs/shop/card")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_each_format_has_size_and_time_or_why_not(browser: TestClient, run: api.TrainedRun) -> None:
    page = browser.get(EXPORT).text
    for row in api.export_formats():
        assert row.title in page
    assert "E620" in page  # ONNX of a run that writes
    assert 'value="peft"' in page and 'value="onnx"' not in page and 'value="hub"' not in page
    assert "tunewright export shop --to hub" in page and "tunewright serve shop" in page


def test_work_is_begun_once_and_shown_until_it_ends(
    browser: TestClient, run: api.TrainedRun, held: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"to": "peft", "form_id": api.new_work_id()}
    parts = [browser.post(EXPORT, data=form, headers=HTMX).text for _twice in range(2)]
    assert len(held) == 1
    assert all(f'hx-sse:connect="{EXPORT}/stream"' in part for part in parts)
    assert "under way" in browser.get(EXPORT).text  # another page sees it too
    work = api.works(run)[0]
    work.update(state="done", bytes=7, seconds=1.0, command="llama-server -m x", target="/x/y")
    page = browser.get(EXPORT).text
    assert "llama-server -m x" in page and "hx-sse:connect" not in page


def test_a_plain_form_leads_back_to_the_page(browser: TestClient, run: api.TrainedRun, held: list[int]) -> None:
    for to in ("merged", "script"):
        answer = browser.post(EXPORT, data={"to": to, "form_id": api.new_work_id()}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, EXPORT)
        os.close(held.pop())
    assert [work.record().do for work in api.works(run)] == ["eject", "merge"]


def test_one_thing_at_a_time_is_told_beside_the_work(browser: TestClient, run: api.TrainedRun, held: list[int]) -> None:
    send(browser, "peft")
    refused = browser.post(EXPORT, data={"to": "merged", "form_id": api.new_work_id()}, headers=HTMX)
    assert refused.status_code == 409 and "E542" in refused.text
    assert refused.headers["hx-retarget"] == "#told"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"to": "hub", "form_id": "0" * 16}, 400),
        ({"to": "peft", "form_id": "../../x"}, 400),
        ({"to": "peft"}, 400),
        ({"to": "../peft", "form_id": "0" * 16}, 409),
        ({"to": "gguf", "quant": "<b>", "form_id": "0" * 16}, 409),
    ],
)
def test_what_the_page_does_not_offer_is_not_begun(
    browser: TestClient, run: api.TrainedRun, held: list[int], fields: dict[str, str], status: int
) -> None:
    answer = browser.post(EXPORT, data=fields)
    assert answer.status_code == status and "<b>" not in answer.text
    assert not held


def test_work_is_stopped_by_the_page_of_its_run_alone(
    browser: TestClient, run: api.TrainedRun, held: list[int], tmp_path: Path, facts: Callable[..., InspectedFacts]
) -> None:
    finished_run(tmp_path / "other", facts())
    send(browser, "peft")
    work = api.works(run)[0]
    assert browser.post("/runs/other/export/stop", data={"work": work.id}).status_code == 404
    assert browser.post("/machine/stop", data={"work": work.id}).status_code == 404
    assert browser.post(f"{EXPORT}/stop", data={"work": "../" + work.id}).status_code == 404
    assert not work.is_asked_to_stop()
    assert browser.post(f"{EXPORT}/stop", data={"work": work.id}).status_code == 200
    assert work.is_asked_to_stop()


def test_what_failed_and_what_was_compared_is_shown(browser: TestClient, run: api.TrainedRun, held: list[int]) -> None:
    send(browser, "merged")
    work = api.works(run)[0]
    work.update(state="failed", problems=[Problem("E403", values={"needed": "9 GiB", "free": "1", "path": "<i>"})])
    page = browser.get(EXPORT).text
    assert "E403" in page and "<i>" not in page
    check = ProofCheck(name="answers", outcome="failed", held=3, total=4, reason="<u>other</u>")
    proof = Proof.model_validate({
        "schema": 1, "run": "r", "name": "shop", "what": "gguf q8_0", "created": 0.0, "engine": "llama.cpp", "precision": "q8_0",
        "compared_rows": 4, "is_held_out": True, "checks": [check],
    })  # fmt: skip
    work.update(
        state="done", problems=[], proof=proof, bytes=1, seconds=2.0,
        figures={"equal": 7.0, "prompts": 8.0, "max_logit_difference": 0.001},
    )  # fmt: skip
    page = browser.get(EXPORT).text
    assert "DOES NOT HOLD" in page and "7 of 8 answers" in page
    assert "<u>" not in page


def test_a_run_without_an_adapter_has_nothing_to_export(browser: TestClient, run: api.TrainedRun) -> None:
    run.adapter.rename(run.path / "gone")
    page = browser.get(EXPORT).text
    assert "no adapter" in page and 'name="to"' not in page
    assert browser.post(EXPORT, data={"to": "merged", "form_id": api.new_work_id()}).status_code == 409


@pytest.mark.parametrize("language", ["en", "zh"])
def test_both_languages_and_no_key(
    language: str, browsing: Browsing, run: api.TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_keykeykeykey")
    page = browsing(language).get(EXPORT).text
    assert "keykey" not in page
    assert ("Write the script" in page) == (language == "en")
