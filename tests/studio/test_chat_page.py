"""Chat on the page: both answers, labels, an end, a busy model, memory told before; nothing that is said is obeyed."""

import html
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.sessions import finished_run, use_fake_sessions
from tunewright import api
from tunewright.i18n import speaking
from tunewright.planning.run_plan import InspectedFacts
from tunewright.report import formatting
from tunewright.rundir import run_queue
from tunewright.rundir.run_lock import take

Browsing = Callable[..., TestClient]
HTMX = {"hx-request": "true"}
PATIENCE = 20.0
CHAT = "/runs/shop/chat"
HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<p hx-get='/machine' hx-trigger='load'>",
    "</pre></section><form action=//evil.example>", "\u202egnp.exe",
)  # fmt: skip


@pytest.fixture
def run(
    tmp_path: Path, facts: Callable[..., InspectedFacts], monkeypatch: pytest.MonkeyPatch
) -> Iterator[api.TrainedRun]:
    use_fake_sessions(monkeypatch)
    yield finished_run(tmp_path / "shop", facts())


@pytest.fixture
def browser(run: api.TrainedRun, browser: TestClient) -> Iterator[TestClient]:
    """A browser of a server whose model is ended afterwards."""
    yield browser
    chats_of(browser).close()


def chats_of(browser: TestClient) -> api.Chats:
    chats: api.Chats = browser.app.state.studio.chats  # type: ignore[attr-defined]
    return chats


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def ask(browser: TestClient, question: str, **fields: str) -> str:
    """The page after a plain form."""
    answer = browser.post(CHAT, data={"question": question, **fields})
    assert answer.status_code == 200, answer.text
    return answer.text


def spoken(text: str) -> str:
    """The texts of a page, without its marks."""
    return html.unescape(re.sub(r"<[^>]+>", " ", text))


def begun(browser: TestClient, question: str) -> api.Exchange:
    """A question whose answer has begun to come."""
    assert browser.post(CHAT, data={"question": question}, headers=HTMX).status_code == 200
    exchange = chats_of(browser).of(api.open_run("shop")).exchanges[-1]
    until(lambda: bool(exchange.text("tuned")))
    return exchange


def test_memory_and_seconds_are_told_before_anything_is_loaded(browser: TestClient, run: api.TrainedRun) -> None:
    page = browser.get(CHAT).text
    assert formatting.size(run.loading().peak_bytes) in page
    assert f'action="{CHAT}/load"' in page and f'action="{CHAT}/unload"' not in page
    assert not (run.path / "starts").exists()


def test_a_page_without_script_gets_both_whole_answers(browser: TestClient) -> None:
    page = ask(browser, "hello", base="yes")
    assert "base says hello" in page and "tuned says hello" in page
    assert "hx-sse:connect" not in page
    assert f'action="{CHAT}/unload"' in page
    alone = ask(browser, "again")
    assert "tuned says again" in alone and "base says again" not in alone


def test_an_answer_is_streamed_until_it_is_whole(browser: TestClient) -> None:
    part = browser.post(CHAT, data={"question": "hello", "base": "yes"}, headers=HTMX).text
    assert "<html" not in part and f'hx-sse:connect="{CHAT}/stream"' in part
    with browser.stream("GET", f"{CHAT}/stream") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        sent = "".join(stream.iter_text())
    assert "tuned says hello" in sent
    assert sent.rstrip().endswith("data: end")


def test_where_too_many_streams_are_open_the_page_asks_again(browser: TestClient) -> None:
    begun(browser, "slow")
    browser.app.state.studio.live._streams = 3  # type: ignore[attr-defined]
    answer = browser.get(f"{CHAT}/stream")
    assert answer.text.startswith("retry: 2000\n") and "on and" in answer.text and "data: end" not in answer.text


def test_an_answer_is_stopped_and_what_there_is_of_it_stays(browser: TestClient) -> None:
    slow = begun(browser, "slow")
    assert f'action="{CHAT}/stop"' in browser.get(CHAT).text
    browser.post(f"{CHAT}/stop", headers=HTMX)
    slow.wait()
    page = browser.get(CHAT).text
    assert "on and" in page and "stopped" in page
    assert "tuned says hello" in ask(browser, "hello")


def test_of_a_stopped_pair_the_tuned_model_does_not_begin(browser: TestClient) -> None:
    assert browser.post(CHAT, data={"question": "slow", "base": "yes"}, headers=HTMX).status_code == 200
    exchange = chats_of(browser).of(api.open_run("shop")).exchanges[-1]
    until(lambda: bool(exchange.text("base")))
    browser.post(f"{CHAT}/stop", headers=HTMX)
    exchange.wait()
    page = spoken(browser.get(CHAT).text)
    assert re.search(r"base\s+on and.*tuned\s+stopped\s", page, re.DOTALL)
    assert re.search(r" · stopped\s", page)


def test_a_second_question_is_told_that_the_model_is_busy(browser: TestClient) -> None:
    slow = begun(browser, "slow")
    refused = browser.post(CHAT, data={"question": "hello"}, headers=HTMX)
    assert refused.status_code == 409 and "E541" in refused.text
    assert refused.headers["hx-retarget"] == "#told"
    plain = browser.post(CHAT, data={"question": "hello"})
    assert plain.status_code == 409 and "E541" in plain.text and "<html" in plain.text
    assert browser.post(f"{CHAT}/unload").status_code == 409
    assert not slow.is_over


def test_two_browsers_do_not_mix(browser: TestClient) -> None:
    codes: list[int] = []

    def asking(number: int) -> None:
        codes.append(browser.post(CHAT, data={"question": f"number {number}"}, follow_redirects=False).status_code)

    threads = [threading.Thread(target=asking, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {303, 409} and 303 in codes
    answered = chats_of(browser).of(api.open_run("shop")).exchanges
    assert [e.text("tuned") for e in answered] == [f"tuned says {e.question}" for e in answered]
    assert len(answered) == codes.count(303)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_said_stays_text(browser: TestClient, text: str) -> None:
    for page in (ask(browser, text, base="yes"), browser.get(CHAT, params={"prompt": text}).text):
        assert text not in page
        assert html.escape(text.replace("\u202e", "\\u202e"), quote=False) in page.replace("&#39;", "'")


def test_a_template_in_what_is_said_is_not_filled(browser: TestClient) -> None:
    page = ask(browser, "{{ 7 * 7 }}", base="yes")
    assert page.count("{{ 7 * 7 }}") == 3


def test_an_address_brings_a_question(browser: TestClient) -> None:
    page = browser.get(CHAT, params={"prompt": "two mugs & a <b>lamp</b>"}).text
    assert "two mugs &amp; a &lt;b&gt;lamp&lt;/b&gt;</textarea>" in page


def test_why_the_model_cannot_be_loaded_is_a_message(browser: TestClient, run: api.TrainedRun) -> None:
    (run.path / "no-load").touch()
    assert "E404" in ask(browser, "hello")
    browser.post(f"{CHAT}/load")
    until(lambda: not chats_of(browser).of(run).is_working)
    assert "E404" in browser.get(CHAT).text
    (run.path / "no-load").unlink()
    assert "tuned says hello" in ask(browser, "hello")


def test_a_model_that_died_is_a_message(browser: TestClient) -> None:
    assert "E506" in ask(browser, "die")


def test_it_is_loaded_and_unloaded_by_buttons(browser: TestClient, run: api.TrainedRun) -> None:
    part = browser.post(f"{CHAT}/load", headers=HTMX).text
    assert f'hx-sse:connect="{CHAT}/stream"' in part
    until(lambda: chats_of(browser).of(run).state == "ready")
    page = browser.get(CHAT).text
    assert formatting.size(640 * 2**20) in page and "After 10 minutes" in page
    assert f'action="{CHAT}/load"' in browser.post(f"{CHAT}/unload").text


def test_a_conversation_is_begun_anew(browser: TestClient) -> None:
    ask(browser, "hello")
    assert "tuned says hello" not in browser.post(f"{CHAT}/new").text


def test_a_run_on_the_same_cores_is_named(
    browser: TestClient, tmp_path: Path, facts: Callable[..., InspectedFacts]
) -> None:
    assert "same cores" not in browser.get(CHAT).text
    other = finished_run(tmp_path / "trains", facts())
    with run_queue.registered(other.dir):
        lock = take(other.path)
        assert lock is not None
        page = browser.get(CHAT).text
        os.close(lock)
    assert "same cores: trains" in page


def test_the_system_turn_of_the_rows_is_shown(
    tmp_path: Path, facts: Callable[..., InspectedFacts], browser: TestClient
) -> None:
    turns = '{"messages": [{"role": "system", "content": "Be <b>brief</b>."}, {"role": "user", "content": "a"}, '
    rows = tmp_path.parent / "rows.jsonl"
    rows.write_text((turns + '{"role": "assistant", "content": "b"}]}\n') * 3)
    finished_run(tmp_path / "brief", facts(), data=str(rows))
    page = browser.get("/runs/brief/chat").text
    assert "Be &lt;b&gt;brief&lt;/b&gt;." in page


@pytest.mark.parametrize("task", ["seq_cls", "token_cls"])
def test_labels_come_with_probabilities(
    task: str, tmp_path: Path, facts: Callable[..., InspectedFacts], browser: TestClient
) -> None:
    finished_run(tmp_path / "labels", facts(), task=task)
    page = browser.post("/runs/labels/chat", data={"question": "two mugs to Oslo"}).text
    assert 'name="base"' not in page
    if task == "seq_cls":
        assert re.search(r"refund.*70.*track.*20.*order.*10", spoken(page), re.DOTALL)
    else:
        assert [word for word in ("two", "mugs", "to", "Oslo") if f'<th scope="row">{word}</th><td>O</td>' in page] == [
            "two", "mugs", "to", "Oslo",
        ]  # fmt: skip


@pytest.mark.parametrize("state", ["failed", "waiting"])
def test_a_run_without_an_adapter_says_so(browser: TestClient, run: api.TrainedRun, state: str) -> None:
    (run.adapter / "adapter_config.json").unlink()
    run.dir.update_info(state=state)
    answer = browser.get(CHAT)
    assert answer.status_code == 409 and "E116" in answer.text


def test_both_languages(browsing: Browsing, run: api.TrainedRun) -> None:
    english, chinese = (browsing(language).get(CHAT).text for language in ("en", "zh"))
    assert "Load the model" in english and "Load the model" not in chinese
    with speaking("zh"):
        assert formatting.size(run.loading().peak_bytes) in chinese


def test_no_key_of_the_environment_is_in_the_page(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_keykeykeykey")
    assert "keykey" not in browser.get(CHAT).text + ask(browser, "hello")
