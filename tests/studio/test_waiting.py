"""Who waits for a look holds nothing: many wait and another page answers; a look is stopped, and begun again when asked."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.studio.conftest import ORIGIN
from tests.unit.cli.conftest import built_in as built_in
from tests.unit.cli.conftest import model as model
from tests.unit.cli.conftest import rows as rows
from tunewright import api
from tunewright.errors import TunewrightError, error
from tunewright.launch import data_looks, planner
from tunewright.reporting import Reporter
from tunewright.studio import app, data_store
from tunewright.studio.background_looks import BackgroundLooks, PendingLook
from tunewright.studio.guard import Keys

HTMX = {"hx-request": "true"}
MANY = 60  # more than the threads of a server
ANSWERS_SECONDS = 1.0
PATIENCE = 30.0


class Gate:
    """Rows are looked at for as long as it is closed; a look that is stopped ends."""

    def __init__(self) -> None:
        self.opened, self.entered = threading.Event(), threading.Event()

    def wait(self, reporter: Reporter) -> None:
        self.entered.set()
        while not self.opened.wait(0.01):
            reporter.progress(3, 40)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Closed before each look at rows, those of the Data page and those of the Plan page."""
    gate = Gate()

    def gated(look: Callable[..., Any]) -> Callable[..., Any]:
        def first_wait(run: Any, *, reporter: Reporter, **options: Any) -> Any:
            gate.wait(reporter)
            return look(run, reporter=reporter, **options)

        return first_wait

    monkeypatch.setattr(data_looks, "look_at_data", gated(data_looks.look_at_data))
    monkeypatch.setattr(planner, "inspect", gated(planner.inspect))
    yield gate
    gate.opened.set()


@pytest.fixture
def data(browser: TestClient, built_in: Path, rows: Path) -> str:
    return f"/data/{data_store.add(str(rows), 'my.jsonl').id}"


def form(data: str) -> dict[str, str]:
    return {"data": data.removeprefix("/data/"), "typed": "yes"}


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


async def many_wait(application: Starlette, keys: Keys, gate: Gate, data: str, ask: str) -> tuple[float, list[int]]:
    """How long another page takes while many wait for a look, and the answers of these when it has ended."""
    transport = httpx2.ASGITransport(app=application)
    cookies = {keys.cookie_name: keys.cookie}
    async with httpx2.AsyncClient(
        transport=transport, base_url=ORIGIN, headers={"origin": ORIGIN}, cookies=cookies
    ) as client:

        def one() -> Any:
            if ask == "map":
                return client.post(f"{data}/map", data={"role-prompt": ""})
            return client.get(data) if ask == "data" else client.post("/plan/try", data=form(data), headers=HTMX)

        waiting = [asyncio.create_task(one()) for _ in range(MANY)]
        while not gate.entered.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # until all that can be in a thread are
        begun = time.monotonic()
        other = await client.get("/explain/peft.r")
        seconds = time.monotonic() - begun
        assert other.status_code == 200
        gate.opened.set()
        return seconds, [answer.status_code for answer in await asyncio.gather(*waiting)]


@pytest.mark.parametrize("ask", ["data", "map", "plan"])
def test_another_page_answers_while_many_wait_for_a_look(
    ask: str, keys: Keys, data: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunewright.studio.pages.data.PAGE_SECONDS", PATIENCE)
    monkeypatch.setattr("tunewright.studio.pages.plan.PAGE_SECONDS", PATIENCE)
    seconds, answers = asyncio.run(many_wait(app.build(keys), keys, gate, data, ask))
    assert seconds < ANSWERS_SECONDS
    assert set(answers) <= {200, 303}


def test_a_plan_shows_the_first_look_at_its_rows_and_is_made_after_it(
    browser: TestClient, data: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunewright.studio.pages.plan.PAGE_SECONDS", 0.2)
    address = f"/plan?data={form(data)['data']}"
    page = browser.get(address).text
    assert "Looking at every row" in page and '<progress max="40" value="3"' in page
    assert 'hx-post="/plan/try?waiting=yes"' in page and 'formaction="/plan/look"' in page and "Go on" in page
    waiting = browser.post("/plan/try?waiting=yes", data=form(data), headers=HTMX).text
    assert "3 rows so far" in waiting and "hx-swap-oob" not in waiting
    assert "Nothing to compare" in browser.post("/plan/alternatives", data=form(data), headers=HTMX).text
    monkeypatch.setattr("tunewright.studio.pages.plan.AGAIN_SECONDS", PATIENCE)
    gate.opened.set()
    planned = browser.post("/plan/try?waiting=yes", data=form(data), headers=HTMX).text
    assert 'formaction="/plan/start"' in planned and "every 1s" not in planned
    assert 'formaction="/plan/start"' in browser.get(address).text


@pytest.mark.parametrize("page", ["data", "plan"])
def test_a_stopped_look_stays_stopped_until_it_is_asked_for_again(
    page: str, browser: TestClient, data: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data", "plan"):
        monkeypatch.setattr(f"tunewright.studio.pages.{name}.PAGE_SECONDS", 0.2)
    address, stop, again, fields = {
        "data": (data, f"{data}/stop", f"{data}/settings", {}),
        "plan": (f"/plan?data={form(data)['data']}&typed=yes", "/plan/look", "/plan/look", form(data)),
    }[page]  # fmt: skip
    assert "so far" in browser.get(address).text
    assert browser.post(stop, data={**fields, "look": "stop"}, follow_redirects=False).status_code == 303
    until(lambda: "E268" in browser.get(address).text)
    assert "E268" in browser.get(address).text and "so far" not in browser.get(address).text
    assert browser.post(again, data={**fields, "look": "again"}, follow_redirects=False).status_code == 303
    assert "E268" not in browser.get(address).text
    gate.opened.set()
    until(lambda: "so far" not in browser.get(address).text)
    assert "E268" not in browser.get(address).text


def test_a_row_is_not_waited_for(browser: TestClient, data: str, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunewright.studio.pages.data.PAGE_SECONDS", 0.1)
    assert browser.get(f"{data}/rows/1", follow_redirects=False).headers["location"] == data
    assert browser.get(f"{data}/rows/1", headers=HTMX).headers["hx-redirect"] == data


def ended(pending: PendingLook[str], seconds: float | None = PATIENCE) -> bool:
    return asyncio.run(pending.ended(seconds))


def test_a_look_at_the_same_is_joined_and_the_next_begins_anew() -> None:
    looks: BackgroundLooks[str] = BackgroundLooks()
    gate, numbers = threading.Event(), count(1)

    def look(_reporter: Reporter) -> str:
        gate.wait(PATIENCE)
        return f"look {next(numbers)}"

    one, other = looks.at("x", look), looks.at("x", look)
    assert one is other and not ended(one, 0.01)
    gate.set()
    assert ended(one) and one.result() == "look 1"
    until(lambda: looks.at("x", look) is not one)
    again = looks.at("x", look)
    assert ended(again, None) and again is not one


def test_what_is_wrong_is_told_to_all_who_wait() -> None:
    looks: BackgroundLooks[str] = BackgroundLooks()

    def look(_reporter: Reporter) -> str:
        raise error("E269", count=0, limit=1)

    def fail(_reporter: Reporter) -> str:
        raise ValueError("a fault of ours")

    for key, code, at in (("x", "E269", look), ("y", "E802", fail)):
        pending = looks.at(key, at)
        assert ended(pending)
        for _asking in range(2):
            with pytest.raises(TunewrightError, match=code):
                pending.result()


def test_a_look_that_takes_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunewright.studio.background_looks.MOST_SECONDS", 0.0)
    looks: BackgroundLooks[str] = BackgroundLooks()

    def look(reporter: Reporter) -> str:
        while True:
            reporter.progress(1, 2)

    pending = looks.at("x", look)
    assert ended(pending) and pending.is_stopped
    with pytest.raises(TunewrightError, match="E268"):
        pending.result()


def test_a_plan_on_what_was_seen_does_not_wait_for_a_look(data: str, gate: Gate, rows: Path) -> None:
    one = api.Planner()
    seen = api.load(named={"model.name": "smollm2", "data.train": str(rows)})
    gate.opened.set()
    one.look(seen)
    assert one.unseen(seen) is None
    gate.opened.clear()
    gate.entered.clear()
    other = api.load(named={"model.name": "smollm2", "data.train": str(rows), "data.max_length": 64})
    assert one.unseen(other) is not None
    looking = threading.Thread(target=one.look, args=(other,), daemon=True)
    looking.start()
    assert gate.entered.wait(PATIENCE)
    assert one.plan(seen).fits and looking.is_alive()
    gate.opened.set()
    looking.join(PATIENCE)
    assert one.unseen(other) is None
