"""Pages that need a model first: its download is seen, stopped, joined, outlived, and the page goes on with what was asked for."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.studio.conftest import ORIGIN
from tests.unit.cli.conftest import model as model
from tests.unit.cli.conftest import rows as rows
from tests.unit.cli.conftest import worked as worked
from tunewright import api
from tunewright.errors import error
from tunewright.inspection import builtin_models
from tunewright.launch import begin_work, quickstart_tasks, resolve_model
from tunewright.rundir.background_work import BackgroundWork
from tunewright.rundir.run_dir import RunDir
from tunewright.studio import app, data_store
from tunewright.studio.guard import Keys

Browsing = Callable[..., TestClient]
HTMX = {"hx-request": "true"}
DEMO_CARD = {**HTMX, "hx-target": "section#demo"}
TOTAL = builtin_models.download_bytes(builtin_models.BUNDLED["smollm2"])


@dataclass
class Downloads:
    """Downloads of smollm2 without a process: what that would do is done by the test, and its lock is held until it ends."""

    model: Path
    home: Path
    locks: list[int] = field(default_factory=list)
    begun: int = 0

    def spawn(self, argv: list[str], *, stdin: int, **_options: object) -> None:
        self.locks.append(os.dup(stdin))
        self.begun += 1

    @property
    def work(self) -> BackgroundWork:
        work = api.last_fetch("smollm2")
        assert work is not None
        return work

    def comes(self, num_bytes: int) -> None:
        self.work.update(done=num_bytes, total=TOTAL, note="Fetching")

    def ends(self, **outcome: Any) -> None:
        """Its process writes this and is gone; without anything it is gone without a word."""
        if outcome:
            self.work.update(**outcome)
        os.close(self.locks.pop())

    def arrives(self) -> None:
        bundle = builtin_models.BUNDLED["smollm2"]
        (self.home / "models").mkdir()
        (self.home / "models" / f"smollm2-{bundle.weights_sha256[:12]}").symlink_to(self.model)
        self.ends(state="done", bytes=5)


@pytest.fixture
def downloads(model: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Downloads]:
    downloads = Downloads(model, home)
    monkeypatch.setattr(begin_work, "spawn", downloads.spawn)
    monkeypatch.setattr(resolve_model, "download_wheel", lambda *_: pytest.fail("downloaded in a request"))
    monkeypatch.setitem(
        quickstart_tasks.RECIPES["causal_lm"].settings,  # type: ignore[arg-type]
        "peft.layers_to_transform",
        [0],  # the small model has fewer than the demo's settings are for
    )
    yield downloads
    for lock in downloads.locks:
        os.close(lock)


@pytest.fixture
def data(browser: TestClient, rows: Path) -> str:
    """The address of data that were brought before the model was here."""
    return f"/data/{data_store.add(str(rows), 'my.jsonl').id}"


def demo_form(page: str) -> dict[str, str]:
    """The fields of the demo's form on a page."""
    form = page.split('id="demo-form"', 1)[1].split("</form>", 1)[0]
    return dict(re.findall(r'<input type="hidden"[^>]*name="(\w+)" value="([^"]*)"', form))


def ask_for_the_demo(browser: TestClient) -> str:
    """Download and try it; the page that is led to."""
    answer = browser.post("/demo", data=demo_form(browser.get("/").text), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?try=yes")
    return browser.get("/?try=yes").text


def restarted(keys: Keys) -> TestClient:
    """A browser of a server that knows nothing of the last one."""
    client = TestClient(app.build(keys), base_url=ORIGIN, headers={"origin": ORIGIN})
    client.cookies.set(keys.cookie_name, keys.cookie, domain="127.0.0.1")
    return client


def test_the_demo_shows_its_download_and_begins_after_it(
    browser: TestClient, downloads: Downloads, worked: list[RunDir]
) -> None:
    page = ask_for_the_demo(browser)
    assert downloads.begun == 1 and "<progress" in page and 'name="stop"' in page
    downloads.comes(30 * 2**20)
    part = browser.get("/?try=yes", headers=DEMO_CARD).text
    assert "<html" not in part and "30.0\u00a0MiB of 88.6\u00a0MiB" in part
    assert 'hx-get="/?try=yes"' in part and 'hx-trigger="every 1s"' in part and 'hx-trigger="load"' not in part
    downloads.arrives()
    part = browser.get("/?try=yes", headers=DEMO_CARD).text
    assert 'hx-trigger="load"' in part and "every 1s" not in part and not worked
    answer = browser.post("/demo", data=demo_form(part), headers=HTMX)
    assert len(worked) == 1 and answer.headers["hx-redirect"] == f"/runs/{worked[0].name}"


def test_the_demo_begins_once_from_two_pages_and_by_two_clicks(
    browsing: Browsing, downloads: Downloads, worked: list[RunDir]
) -> None:
    one, other = browsing(), browsing()
    form = demo_form(other.get("/").text)
    ask_for_the_demo(one)
    for _click in range(2):
        other.post("/demo", data=form, follow_redirects=False)
    assert downloads.begun == 1
    downloads.arrives()
    forms = [demo_form(page.get("/?try=yes", headers=DEMO_CARD).text) for page in (one, other)]
    with ThreadPoolExecutor(4) as threads:
        sent = [threads.submit(one.post, "/demo", data=form, headers=HTMX) for form in (*forms, *forms)]
    assert len(worked) == 1
    assert {answer.result().headers["hx-redirect"] for answer in sent} == {f"/runs/{worked[0].name}"}
    late = browsing().get("/?try=yes", headers=DEMO_CARD).text
    assert 'hx-trigger="load"' in late and demo_form(late) == forms[0]


def test_a_server_that_was_killed_shows_the_same_download_and_begins_the_demo_once(
    browser: TestClient, keys: Keys, downloads: Downloads, worked: list[RunDir]
) -> None:
    ask_for_the_demo(browser)
    downloads.comes(2**20)
    after = restarted(keys)
    assert "1.0\u00a0MiB of" in after.get("/?try=yes").text and "1.0\u00a0MiB of" in after.get("/").text
    downloads.arrives()
    form = demo_form(after.get("/?try=yes").text)
    after.post("/demo", data=form, follow_redirects=False)
    answer = restarted(keys).post("/demo", data=form, follow_redirects=False)
    assert len(worked) == 1 and answer.headers["location"] == f"/runs/{worked[0].name}"


def test_a_demo_that_could_not_begin_is_begun_by_the_next_who_asks(
    browser: TestClient, downloads: Downloads, worked: list[RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for_the_demo(browser)
    downloads.arrives()
    form = demo_form(browser.get("/?try=yes").text)
    with monkeypatch.context() as full:
        full.setattr(
            api, "plan", lambda *_: (_ for _ in ()).throw(error("E403", needed="9 GiB", free="1 GiB", path="x"))
        )
        assert "E403" in browser.post("/demo", data=form, headers=HTMX).text
    browser.post("/demo", data=form, headers=HTMX)
    assert len(worked) == 1


def test_who_only_looks_at_the_first_page_starts_nothing(
    browsing: Browsing, downloads: Downloads, worked: list[RunDir]
) -> None:
    ask_for_the_demo(browsing())
    assert "as soon as it is here" in browsing().get("/").text
    downloads.arrives()
    assert 'hx-trigger="load"' not in browsing().get("/").text and not worked


def test_a_stopped_demo_does_not_begin(browser: TestClient, downloads: Downloads, worked: list[RunDir]) -> None:
    ask_for_the_demo(browser)
    answer = browser.post("/demo", data={"stop": downloads.work.id}, follow_redirects=False)
    assert answer.headers["location"] == "/" and downloads.work.is_asked_to_stop()
    page = browser.get("/").text
    assert "Stopping" in page and 'name="stop"' not in page
    downloads.arrives()  # it was quicker
    assert 'hx-trigger="load"' not in browser.get("/").text and not worked


OUTCOMES = {
    "failed": (
        {"state": "failed", "problems": list(error("E705", package="p==1", reason="<b>no route</b>").problems)},
        "E705",
    ),
    "stopped": ({"state": "stopped"}, "stopped"),
    "lost": ({}, "gone without a word"),
}


@pytest.mark.parametrize("how", OUTCOMES)
def test_a_download_that_ended_without_the_model_says_why_and_is_begun_again(
    how: str, browser: TestClient, downloads: Downloads, data: str
) -> None:
    outcome, told = OUTCOMES[how]
    plan = f"/plan?data={data.removeprefix('/data/')}&typed=yes"
    ask_for_the_demo(browser)
    downloads.ends(**outcome)
    for address in ("/?try=yes", data, plan):
        page = browser.get(address).text
        assert told in page and "Download it again" in page and "every 1s" not in page and "<b>no" not in page
    if how == "failed":
        assert "pip download --no-deps p==1" in page
    ask_for_the_demo(browser)
    assert downloads.begun == 2 and "<progress" in browser.get(data).text


def test_data_are_looked_at_when_their_model_has_come(browser: TestClient, downloads: Downloads, data: str) -> None:
    assert "40 rows" not in browser.get(data).text and not downloads.begun
    answer = browser.post(f"{data}/fetch", data={"form_id": api.new_work_id()}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, data)
    downloads.comes(2**20)
    page = browser.get(data).text
    assert "1.0\u00a0MiB of" in page and f'hx-get="{data}/look"' in page and 'http-equiv="refresh"' in page
    assert f'<noscript><a class="button" href="{data}">' in page
    part = browser.get(f"{data}/look", headers=HTMX).text
    assert "1.0\u00a0MiB of" in part and "<html" not in part
    downloads.arrives()
    assert "40 rows = " in browser.get(data).text
    assert "40 rows = " in browser.get(f"{data}/look", headers=HTMX).text


def test_a_plan_is_made_when_its_model_has_come(browser: TestClient, downloads: Downloads, data: str) -> None:
    form = {"data": data.removeprefix("/data/"), "typed": "yes", "peft.r": "4"}
    answer = browser.post("/plan/fetch", data=form, follow_redirects=False)
    address = answer.headers["location"]
    assert answer.status_code == 303 and "peft.r=4" in address and downloads.begun == 1
    downloads.comes(2**20)
    page = browser.get(address).text
    assert "1.0\u00a0MiB of" in page and 'hx-post="/plan/try?waiting=yes"' in page and 'name="stop"' in page
    waiting = browser.post("/plan/try?waiting=yes", data=form, headers=HTMX).text
    assert "1.0\u00a0MiB of" in waiting and "hx-swap-oob" not in waiting and "/plan/alternatives" not in waiting
    downloads.arrives()
    planned = browser.post("/plan/try?waiting=yes", data=form, headers=HTMX).text
    assert 'formaction="/plan/start"' in planned and "every 1s" not in planned and "/plan/alternatives" in planned


def test_nothing_of_a_page_downloads_a_model_that_was_not_asked_for(
    browser: TestClient, downloads: Downloads, data: str, worked: list[RunDir]
) -> None:
    form = {"data": data.removeprefix("/data/"), "typed": "yes", "peft.r": "4"}
    for address in ("/plan/try", "/plan/alternatives"):
        assert browser.post(address, data=form, headers=HTMX).status_code == 200
    for address in ("/plan/start", f"{data}/map", f"{data}/fix", f"{data}/undo"):
        assert browser.post(address, data={**form, "form_id": "a"}, follow_redirects=False).status_code == 303
    for address in (data, f"{data}/rows", f"{data}/lengths", f"{data}/rows/1", "/plan", "/", "/?try=yes"):
        assert browser.get(address).status_code == 200
    assert not downloads.begun and not worked


def test_a_download_that_goes_on_is_joined_and_another_model_waits(
    browser: TestClient, downloads: Downloads, data: str
) -> None:
    browser.post(f"{data}/fetch", data={"form_id": api.new_work_id()}, follow_redirects=False)
    ask_for_the_demo(browser)
    browser.post("/plan/fetch", data={"data": "demo-causal_lm", "typed": "yes"}, follow_redirects=False)
    browser.post("/machine/fetch", data={"model": "smollm2", "form_id": api.new_work_id()})
    assert downloads.begun == 1 and len(api.works()) == 1
    answer = browser.post("/plan/fetch", data={"data": "demo-seq_cls", "typed": "yes"})
    assert answer.status_code == 409 and "E542" in answer.text


@pytest.mark.parametrize("work", ["0" * 16, "../x", "<b>"])
def test_only_downloads_are_stopped(work: str, browser: TestClient, downloads: Downloads, data: str) -> None:
    ask_for_the_demo(browser)
    for address in ("/demo", f"{data}/fetch", "/plan/fetch"):
        answer = browser.post(address, data={"stop": work, "data": data.removeprefix("/data/"), "typed": "yes"})
        assert answer.status_code == 404 and not downloads.work.is_asked_to_stop()


def test_the_download_speaks_chinese(browsing: Browsing, downloads: Downloads, data: str) -> None:
    browser = browsing("zh")
    ask_for_the_demo(browser)
    downloads.comes(2**20)
    for address in ("/?try=yes", data, "/plan"):
        page = browser.get(address).text
        assert not [word for word in ("Stop<", "Go on", "as soon as", " of 88") if word in page]
    downloads.ends()
    assert "Download it again" not in browser.get("/").text
