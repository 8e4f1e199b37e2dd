"""What no browser of a friend sends, and what a folder from elsewhere may hold: refused or shown, never a failed page."""

import asyncio
import html
import json
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from tests.studio.conftest import PORT
from tests.unit.cli.conftest import built_in as built_in
from tests.unit.cli.conftest import model as model
from tests.unit.cli.conftest import rows as rows
from tunewright import api
from tunewright.api.waiting_runs import QueueState
from tunewright.data.row_fixes import rows_of
from tunewright.errors import Problem, error
from tunewright.launch import planner
from tunewright.rundir import file_names
from tunewright.rundir.finding import CONFIDENCES, SEVERITIES, Finding
from tunewright.rundir.run_dir import RunDir
from tunewright.studio import data_store
from tunewright.studio import live as live_module
from tunewright.studio.guard import Keys
from tunewright.studio.live import Live, message
from tunewright.studio.pages import findings, run_rows
from tunewright.studio.rendering import quoted

HTMX = {"hx-request": "true"}
LONG = "9" * 5000  # digits; Python refuses to read more than 4300


@pytest.mark.parametrize("others", ['state={"a": 1}; ', 'a="x; ', "=; ; ", "a=\xff; ", f"tunewright_{PORT}=other; "])
def test_cookies_of_other_servers_lock_nobody_out(others: str, keys: Keys, browser: TestClient) -> None:
    own = f"{keys.cookie_name}={keys.cookie}"
    browser.cookies.clear()
    for cookies in (others + own, f"{own}; {others}"):
        assert browser.get("/", headers={"cookie": cookies.encode("latin-1")}).status_code == 200
    assert browser.get("/", headers={"cookie": others.encode("latin-1")}).status_code == 403


def test_the_cookie_is_no_code(keys: Keys) -> None:
    assert not keys.takes(f"cookie.{keys.cookie}")


@pytest.mark.parametrize("referer", ["http://[::1", "//", "", "nothing", f"http://127.0.0.1:{PORT}"])
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_referer_that_is_no_address_leads_to_the_first_page(
    referer: str, headers: dict[str, str], browser: TestClient
) -> None:
    answer = browser.post("/runs/nobody/resume", headers={"referer": referer, **headers})
    assert answer.status_code == 404
    if not headers and referer != "nothing":
        assert 'name="back" value="/"' in answer.text


def test_a_length_that_is_no_length_is_refused(browser: TestClient) -> None:
    assert browser.post("/language", headers={"content-length": LONG}).status_code == 413


def test_numbers_that_python_does_not_read_are_not_found(browser: TestClient, finished: RunDir) -> None:
    for address in (f"/runs/{finished.name}/answers/{LONG}", f"/data/0123456789abcdef/rows/{LONG}"):
        assert browser.get(address).status_code == 404


def test_a_cut_of_so_many_characters_is_refused(browser: TestClient, built_in: Path) -> None:
    rows = b'{"question": "What is it?", "answer": "It is this."}\n' * 12
    sent = browser.post("/data", files=[("files", ("a.jsonl", rows))], follow_redirects=False)
    asked = {"change": "cut", "row": "2", "column": "answer", "characters": LONG}
    answer = browser.post(f"{sent.headers['location']}/fix", data=asked)
    assert answer.status_code == 409 and "E267" in answer.text


def test_a_remedy_of_such_a_number_is_not_there(
    browser: TestClient, finished: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Finding(Problem("D201"), SEVERITIES[0], CONFIDENCES[0], remedies=())
    monkeypatch.setattr(findings.api, "diagnose", lambda _run: SimpleNamespace(findings=(found,)))
    answer = browser.post(f"/runs/{finished.name}/apply", data={"code": "D201", "remedy": LONG})
    assert answer.status_code == 409 and "E111" in answer.text


@pytest.mark.parametrize("name", ["测试", "a?b#c", "a&b=c", "two\nlines", "\u202ex", "50 %"])
def test_a_form_leads_to_the_run_whatever_its_name(name: str, browser: TestClient, finished: RunDir) -> None:
    finished.path.rename(finished.path.with_name(name))
    plain = browser.post(f"/runs/{quoted(name)}/stop", follow_redirects=False)
    assert (plain.status_code, plain.headers["location"]) == (303, f"/runs/{quoted(name)}")
    partial = browser.post(f"/runs/{quoted(name)}/stop", headers=HTMX)
    assert partial.headers["hx-redirect"] == f"/runs/{quoted(name)}"


def test_a_folder_whose_name_is_no_text_hides_no_other_run(browser: TestClient, finished: RunDir) -> None:
    root = finished.path.parent
    shutil.copytree(finished.path, root / os.fsdecode(b"\xff\xfe"))
    shutil.copytree(finished.path, root / os.fsdecode(b"\xfegroup") / "one")
    for address in ("/", "/compare", "/machine", f"/runs/{finished.name}", f"/plan?run={finished.name}"):
        answer = browser.get(address)
        assert answer.status_code == 200, address
        assert finished.name in answer.text or address == "/machine"
    page = html.unescape(browser.get("/").text)
    assert "2 folders have names that are no text and are left out here: b'\\xfegroup', b'\\xff\\xfe'" in page


def test_a_folder_that_is_left_out_is_told_where_there_is_no_other_run(browser: TestClient, finished: RunDir) -> None:
    finished.path.rename(finished.path.parent / os.fsdecode(b"<b>\xff"))
    page = browser.get("/").text
    assert "1 folder has a name that is no text and is left out here: b&#39;&lt;b&gt;\\xff&#39;" in page


def test_a_run_that_is_removed_while_the_list_is_made_is_left_out(
    browser: TestClient, finished: RunDir, classified: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = run_rows.every()
    monkeypatch.setattr(run_rows, "every", lambda: listed)
    shutil.rmtree(classified.path)
    rows = run_rows.rows({})
    assert [row.name for row in rows] == [finished.name]


def _frames(live: Live, look: Callable[[], tuple[str, str]]) -> Any:
    return live.stream(look).body_iterator  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", [error("E113", name="x"), FileNotFoundError(2, "gone")])
def test_what_is_removed_while_it_is_watched_ends_the_stream(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "LOOK_SECONDS", 0.01)
    left = [("a", "<p>a</p>")]

    def look() -> tuple[str, str]:
        if not left:
            raise fault
        return left.pop()

    async def read() -> list[str]:
        return [frame async for frame in _frames(Live(), look)]

    assert asyncio.run(read()) == [message("<p>a</p>"), message("end", event="end")]


def test_streams_that_are_asked_for_at_once_are_counted() -> None:
    async def read() -> list[str]:
        live = Live()
        streams = [_frames(live, lambda: ("a", "<p>a</p>")) for _one in range(live_module.MOST_STREAMS + 2)]
        return [await anext(stream) for stream in streams]

    frames = asyncio.run(read())
    assert [frame.startswith("retry") for frame in frames] == [False] * live_module.MOST_STREAMS + [True] * 2


def test_an_upload_that_is_in_use_stays(
    browser: TestClient, built_in: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = b'{"question": "What is it?", "answer": "It is this."}\n' * 12

    def send() -> int:
        return browser.post("/data", files=[("files", ("a.jsonl", rows))], follow_redirects=False).status_code

    assert send() == 303
    (kept,) = (home / "uploads").glob("*/a.jsonl")
    inode = kept.stat().st_ino
    assert send() == 303 and kept.stat().st_ino == inode

    def refuse(*_: object, **__: object) -> None:
        raise error("E517", path="x", reason="no space")

    monkeypatch.setattr("tunewright.api.first_rows", refuse)
    assert send() == 409 and kept.read_bytes() == rows
    assert [path.name for path in (home / "uploads").iterdir()] == [kept.parent.name]


def test_changes_that_are_sent_at_once_are_all_made(browser: TestClient, built_in: Path, rows: Path) -> None:
    sent = browser.post("/data", files=[("files", ("a.jsonl", rows.read_bytes()))], follow_redirects=False)
    address = sent.headers["location"]
    browser.get(address)

    async def change() -> list[int]:
        server = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(browser.app),
            base_url=browser.base_url,
            headers=browser.headers,
            cookies=browser.cookies,
        )
        forms = [{"change": "leave_out", "row": str(row)} for row in (1, 2, 3, 4, 4, 4)]
        async with server:
            answers = await asyncio.gather(*(server.post(f"{address}/fix", data=form) for form in forms))
        return [answer.status_code for answer in answers]

    assert asyncio.run(change()) == [303] * 6
    fixes = data_store.entry(address.removeprefix("/data/")).row_fixes
    assert sorted(row for fix in fixes for row in rows_of(fix)) == [1, 2, 3, 4]


def test_settings_that_are_tried_at_once_look_at_the_rows_once(
    built_in: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    inspect = planner.inspect

    def counted(*values: Any, **options: Any) -> Any:
        looks.append(1)
        time.sleep(0.2)
        return inspect(*values, **options)

    monkeypatch.setattr(planner, "inspect", counted)
    one, loaded = api.Planner(), api.load(named={"model.name": "smollm2", "data.train": str(rows)})
    with ThreadPoolExecutor(4) as threads:
        plans = list(threads.map(lambda _: one.plan(loaded), range(4)))
    assert len(looks) == 1 and len({plan.memory.peak_bytes for plan in plans}) == 1


def test_a_run_that_begins_while_it_is_moved_is_no_failure(
    browser: TestClient, finished: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = api.TrainedRun(finished)
    queues = [QueueState([], [run], is_paused=False, has_runner=True)]
    monkeypatch.setattr(
        "tunewright.api.queue",
        lambda: queues.pop() if queues else QueueState([], [], is_paused=False, has_runner=True),
    )
    answer = browser.post("/queue/down", data={"run": str(run.path)}, headers=HTMX)
    assert answer.status_code == 409 and "E116" in answer.text


def test_a_folder_of_somebody_else_hides_no_sweep(
    browser: TestClient, finished: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = finished.path.parent
    (runs / "private").mkdir()
    shutil.copytree(finished.path, runs / "sweep" / "one")
    listed = api.runs

    def refused(root: Path) -> list[api.TrainedRun]:
        if root.name == "private":
            raise error("E521", path=str(root), quoted=str(root), reason="Permission denied")
        return listed(root)

    monkeypatch.setattr("tunewright.api.runs", refused)
    answer = browser.get("/compare")
    assert answer.status_code == 200 and "in=sweep" in answer.text


@pytest.mark.parametrize(("query", "what"), [("data=gone", "rows"), ("data=demo-causal_lm&model=gone", "model")])
def test_rows_and_models_that_are_not_there_are_called_so(query: str, what: str, browser: TestClient) -> None:
    answer = browser.get(f"/plan?{query}")
    assert answer.status_code == 404
    assert "E134" in answer.text and f"this page knows no {what} called" in answer.text and "no run" not in answer.text


def test_a_plan_with_numbers_that_are_none_is_damaged(browser: TestClient, finished: RunDir) -> None:
    plan = finished.file(file_names.PLAN)
    known = json.loads(plan.read_text())
    known["time"]["parts"]["prepare"] = 1e300
    plan.write_text(json.dumps(known).replace("1e+300", "1e999"))
    for address in ("", "/report", "/export"):
        answer = browser.get(f"/runs/{finished.name}{address}")
        assert answer.status_code < 500 and "E525" in answer.text, address


def test_a_model_without_parameters_has_a_page(browser: TestClient, finished: RunDir) -> None:
    plan = finished.file(file_names.PLAN)
    known = json.loads(plan.read_text())
    known["facts"]["model"]["num_parameters"] = 0
    plan.write_text(json.dumps(known))
    assert browser.get(f"/runs/{finished.name}").status_code == 200
