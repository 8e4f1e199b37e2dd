"""What people do where a sweep goes on, and where a row turns out to be wrong: they watch the front grow, and leave the row out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.site import ROWS, SWEEP, Server
from tests.studio.test_answer_fixes import answered_run
from tests.unit.cli.conftest import built_in as built_in
from tests.unit.cli.conftest import model as model
from tests.unit.extras.test_sweep_sections import sweep_in, trial
from tunewright import api

pytestmark = pytest.mark.browser


def test_the_front_of_a_sweep_grows_while_it_goes_on_and_is_read_by_keys(visit: Open, server: Server) -> None:
    page = visit(f"/compare?in={SWEEP}", width=360)
    found = page.locator("#search")
    expect(found).to_contain_text("From the 4 trials that have finished so far")
    points = found.locator("#search-charts svg").first.locator("circle")
    expect(points).to_have_count(4)
    table = page.get_by_role("region", name="Trials by score")
    table.focus()
    expect(table).to_be_focused()
    folder = server.folder / "runs" / SWEEP
    try:
        sweep_in(folder, trial(4, 0.5, 60.0, 4000), best=4)
        expect(points).to_have_count(5)
        expect(found).to_contain_text("From the 5 trials that have finished so far")
        expect(table.get_by_role("row").nth(1)).to_contain_text("trial-004")
        expect(table).to_be_focused()
    finally:
        sweep_in(folder)


@pytest.fixture
def home(server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's own, so that its data and models are those of this test."""
    monkeypatch.setenv("TUNEWRIGHT_HOME", server.environment["TUNEWRIGHT_HOME"])
    monkeypatch.chdir(server.folder)
    return server.home / "tunewright"


@pytest.fixture
def answered(server: Server, built_in: Path) -> Iterator[api.TrainedRun]:
    """A run on a file of the server's folder, for a model that is here until the test ends."""
    rows = server.folder / "asked.jsonl"
    rows.write_text(ROWS)
    yield answered_run("asked", {"data.train": str(rows)})
    built_in.unlink()
    built_in.parent.rmdir()


def test_a_wrong_row_is_left_out_from_its_answer_and_brought_back(visit: Open, answered: api.TrainedRun) -> None:
    page = visit(f"/runs/{answered.name}/answers")
    page.get_by_role("link", name="leave out").first.click()
    expect(page.get_by_role("heading", name="Is the row itself wrong?")).to_be_in_viewport()
    page.get_by_role("button", name="Leave this row out").click()
    told = page.get_by_text(f"left out by hand from the answers of {answered.name}")
    expect(told).to_be_visible()
    page.get_by_role("button", name="Undo").first.click()
    expect(told).to_have_count(0)
