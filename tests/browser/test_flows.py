"""What people do with a page while a run goes on: close it, kill its server, open many, go back, switch the language, type."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.site import CLASSIFIED, FAILED, FINISHED, RUNNING, Server, fill, serving
from tests.browser.watched import GONE, Watch
from tests.small_disk import namespace
from tests.unit.report.conftest import Story, begin

pytestmark = pytest.mark.browser
MANY = 12  # more than the connections that a browser gives one host
OPENS_SECONDS = 5.0
STOPS_SECONDS = 2.0
TAB_STOPS = 20
FOCUS = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  return [one.outerHTML.slice(0, 80), style.outlineStyle !== "none" || style.boxShadow !== "none"];
}"""


@pytest.fixture
def go_on(running: Story) -> Callable[[], str]:
    """Does one more step of the run that goes on, and says how far it is then, as its page has it."""

    def go_on() -> str:
        step = max(event.step for event in running.run.read_events()) + 1
        running.train(step, step)
        return f"{step} / {running.plan.num_steps}"

    return go_on


def expect_step(page: Page, step: str) -> None:
    expect(page.locator("#status dl.costs dd").first).to_have_text(step)


def test_a_step_is_on_the_page_without_a_reload(visit: Open, go_on: Callable[[], str]) -> None:
    page = visit(f"/runs/{RUNNING}")
    expect_step(page, go_on())
    expect_step(page, go_on())
    expect(page.locator("#live-loss canvas")).to_be_visible()


def test_a_page_that_was_closed_shows_the_run_as_it_is_now(
    visit: Open, server: Server, go_on: Callable[[], str]
) -> None:
    page = visit(f"/runs/{RUNNING}")
    page.close()
    step = go_on()
    page = page.context.new_page()
    page.goto(f"{server.origin}/runs/{RUNNING}")
    expect_step(page, step)


def test_a_server_that_is_killed_is_missed_and_found_again(
    visit: Open, server: Server, watches: list[Watch], go_on: Callable[[], str]
) -> None:
    page = visit(f"/runs/{RUNNING}")
    expect_step(page, go_on())
    with watches[-1].expecting(GONE):
        server.kill()
        expect(page.locator("#lost")).to_be_visible()
        step = go_on()
        server.start()
        expect_step(page, step)
        expect(page.locator("#lost")).to_be_hidden()
    page.reload()
    expect_step(page, step)


def test_a_connection_that_is_cut_goes_on(visit: Open, watches: list[Watch], go_on: Callable[[], str]) -> None:
    page = visit(f"/runs/{RUNNING}")
    expect_step(page, go_on())
    with watches[-1].expecting(GONE):
        page.context.set_offline(True)
        step = go_on()
        page.context.set_offline(False)
        expect_step(page, step)


@pytest.mark.parametrize("count", [2, MANY])
def test_all_tabs_go_on_and_another_opens(count: int, visit: Open, server: Server, go_on: Callable[[], str]) -> None:
    pages = [visit(f"/runs/{RUNNING}")]
    for _ in range(count - 1):
        pages.append(pages[0].context.new_page())
        pages[-1].goto(f"{server.origin}/runs/{RUNNING}")
    step = go_on()
    for page in pages:
        expect_step(page, step)
    begun = time.monotonic()
    pages[0].goto(f"{server.origin}/")
    expect(pages[0].get_by_role("heading", level=1)).to_be_visible()
    assert time.monotonic() - begun < OPENS_SECONDS


def test_back_leads_to_the_list_as_it_was(visit: Open) -> None:
    page = visit("/")
    page.get_by_role("searchbox").fill("intents")
    rows = page.locator("#run-list tbody tr")
    expect(rows).to_have_count(1)
    page.get_by_role("link", name=CLASSIFIED).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(CLASSIFIED)
    page.go_back()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("searchbox")).to_have_value("intents")
    page.go_forward()
    expect(page.get_by_role("heading", level=1)).to_have_text(CLASSIFIED)


def test_the_language_is_switched_in_the_middle_of_a_run(visit: Open, go_on: Callable[[], str]) -> None:
    page = visit(f"/runs/{RUNNING}")
    address = page.url
    for button, language in (("中文", "zh-CN"), ("English", "en")):
        page.get_by_role("button", name=button).click()
        expect(page.locator("html")).to_have_attribute("lang", language)
        assert page.url == address
        expect_step(page, go_on())


def test_keys_alone_lead_everywhere(visit: Open) -> None:
    page = visit("/")
    for _ in range(TAB_STOPS):
        page.keyboard.press("Tab")
        place, is_seen = page.evaluate(FOCUS)
        assert is_seen, f"nobody sees that this has the focus: {place}"
    page.reload()
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("gr mita")
    expect(page.get_by_role("searchbox")).to_have_value("gr mita")
    page.get_by_role("searchbox").fill("intents")
    expect(page.locator("#run-list tbody tr")).to_have_count(1)
    page.locator("#run-list").get_by_role("link", name=CLASSIFIED).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(CLASSIFIED)
    page.wait_for_load_state()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.locator("#run-list")).to_be_visible()


def test_what_has_the_focus_keeps_it_when_the_state_changes(visit: Open, go_on: Callable[[], str]) -> None:
    page = visit(f"/runs/{RUNNING}")
    button = page.locator("#status form button").first
    button.focus()
    expect_step(page, go_on())
    expect(button).to_be_focused()


def test_a_server_with_open_streams_ends_at_once_and_without_a_traceback(
    visit: Open, watches: list[Watch], tmp_path: Path
) -> None:
    fill(tmp_path / "folder" / "runs")
    with serving(Server(tmp_path / "folder", tmp_path / "home")) as server:
        page = visit(f"/runs/{RUNNING}", at=server)
        expect(page.locator("#status dl.costs")).to_be_visible()
        with watches[-1].expecting(GONE):
            begun = time.monotonic()
            code, said = server.end()
            assert time.monotonic() - begun < STOPS_SECONDS
            assert code in (0, 130) and "Traceback" not in said, said
            expect(page.locator("#lost")).to_be_visible()


FILLED = 'mount -t tmpfs -o size=1m tmpfs runs && cp -r "$0"/. runs; cat /dev/zero > runs/ballast; exec "$@"'


def test_a_full_disk_is_told_on_the_page(visit: Open, watches: list[Watch], tmp_path: Path) -> None:
    words = namespace()
    if words is None:
        pytest.skip("neither root nor a user namespace may mount a tmpfs on this system")
    (tmp_path / "folder" / "runs").mkdir(parents=True)
    begin(tmp_path / "made", FAILED, state="failed")
    full = Server(tmp_path / "folder", tmp_path / "home", inside=[*words, "sh", "-c", FILLED, str(tmp_path / "made")])
    with serving(full):
        page = visit(f"/runs/{FAILED}", at=full)
        with watches[-1].expecting("status of 409"):
            page.get_by_role("button", name="Go on").click()
            expect(page.get_by_role("alert")).to_contain_text("E520")
        page.get_by_role("link", name="Runs").first.click()
        expect(page.locator("#run-list tbody tr")).to_have_count(1)


def test_without_javascript_pages_show_the_same(visit: Open) -> None:
    page = visit(f"/runs/{FINISHED}", java_script_enabled=False)
    expect(page.get_by_role("heading", level=1)).to_have_text(FINISHED)
    expect(page.locator("#status")).to_contain_text("135 / 135")
    page.get_by_role("link", name="Runs").first.click()
    expect(page.locator("#run-list tbody tr")).not_to_have_count(0)
