"""One server and one browser for all tests; each test has contexts of its own, and fails by what their consoles say."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason='needs the extra "dev"')
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium
from tests.browser.site import Server, fill, serving
from tests.browser.watched import Watch
from tests.unit.report.conftest import Story

REQUIRED = "TUNEWRIGHT_BROWSER"  # set where a browser that is missing is a fault, as in .ci/run
Open = Callable[..., Page]
expect.set_options(timeout=10_000)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ended with these tests: until then it keeps a loop of events in this thread, which tests of servers would run into."""
    if chromium.executable() is None:
        tell = pytest.fail if os.environ.get(REQUIRED) else pytest.skip
        tell(f"no browser here: {chromium.INSTALL}")
    with chromium.launched() as launched:
        yield launched


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server of all tests is started in."""
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="package")
def running(folder: Path) -> Story:
    """The run among those made of files that goes on; tests write its events."""
    return fill(folder / "runs")


@pytest.fixture(scope="package")
def server(folder: Path, running: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Server(folder, tmp_path_factory.mktemp("home"))) as serving_here:
        yield serving_here


@pytest.fixture
def watches() -> Iterator[list[Watch]]:
    """Those of the contexts of a test."""
    watches: list[Watch] = []
    yield watches
    faults = [fault for watch in watches for fault in watch.faults]
    for watch in watches:
        watch.context.close()
    assert not faults, faults


@pytest.fixture
def visit(browser: Browser, server: Server, watches: list[Watch]) -> Open:
    """Opens a page in a browser of its own: `visit("/", locale="zh-CN", color_scheme="dark", width=360)`."""

    def visit(path: str = "/", *, width: int = 1280, at: Server = server, **settings: Any) -> Page:
        viewport = {"width": width, "height": 800}
        context = browser.new_context(**{"locale": "en-GB", "viewport": viewport, **settings})
        watches.append(Watch(context, f"127.0.0.1:{at.port}"))
        page = context.new_page()
        page.goto(at.visit(path))
        return page

    return visit
