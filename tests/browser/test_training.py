"""Real trainings of a tiny model, started by the command line and seen, stopped and continued on a page."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.site import Server
from tests.browser.watched import GONE, Watch
from tests.matrix.conftest import shop_rows, tiny_model
from tunewright.inspection.machine_info import SpeedProbe, probe_path
from tunewright.rundir import atomic_io
from tunewright.rundir.run_dir import RunDir

__all__ = ["shop_rows", "tiny_model"]
pytestmark = pytest.mark.browser
STARTS_MS, ENDS_MS = 60_000, 90_000
SETTINGS = {
    "data.holdout": 0.2, "train.per_device_train_batch_size": 4, "train.gradient_accumulation_steps": 1, "train.eval_steps": 2,
    "train.early_stopping_patience": 0, "eval.rows": 2, "eval.max_new_tokens": 4,
}  # fmt: skip
FEW, MANY = 4, 5000


@pytest.fixture
def trained(server: Server, tiny_model: Any, shop_rows: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Starts a training in the server's folder as somebody in a terminal does: `trained("tiny", steps=4)`."""
    monkeypatch.setenv("TUNEWRIGHT_HOME", server.environment["TUNEWRIGHT_HOME"])
    probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 2e11, "bf16": 1e11})
    atomic_io.write_text(probe_path(), probe.model_dump_json())  # else the first plan measures it

    def trained(name: str, steps: int) -> Any:
        words = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
        words += ["--set", f"train.max_steps={steps}", "-o", f"runs/{name}", "--json", "-q"]
        return server.command("train", str(tiny_model()), str(shop_rows), *words)

    return trained


def expect_state(page: Page, state: str, within: int) -> None:
    expect(page.locator(f"#status [data-state={state}]")).to_be_visible(timeout=within)


def test_a_run_of_the_command_line_appears_and_comes_to_its_end_on_the_page(trained: Any, visit: Open) -> None:
    page = visit("/")
    command = trained("few", FEW)
    page.locator("#now").get_by_role("link", name="few").click(timeout=STARTS_MS)
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect_state(page, "finished", ENDS_MS)
    expect(page.locator("#status")).to_contain_text(f"{FEW} / {FEW}")
    out, err = command.communicate(timeout=ENDS_MS / 1000)
    assert command.returncode == 0 and json.loads(out)["state"] == "finished", err


def test_a_run_is_stopped_and_one_double_click_goes_on_once(
    trained: Any, visit: Open, server: Server, folder: Path, watches: list[Watch]
) -> None:
    command = trained("many", MANY)
    page = visit("/")
    page.locator("#now").get_by_role("link", name="many").click(timeout=STARTS_MS)
    expect(page.locator("#status dl.costs")).to_contain_text(f"/ {MANY}", timeout=STARTS_MS)
    page.get_by_role("button", name="Stop and save").click()
    expect_state(page, "stopped", ENDS_MS)
    command.communicate(timeout=ENDS_MS / 1000)

    run = RunDir(folder / "runs" / "many")
    stopped_at = run.read_events()[-1].step
    page.get_by_role("button", name="Go on from the last checkpoint").dblclick()
    expect_state(page, "running", STARTS_MS)
    expect(page.locator("#live-loss canvas")).to_be_visible(timeout=STARTS_MS)
    with watches[-1].expecting(GONE):
        server.kill()
        server.start()
        page.goto(server.visit(f"/runs/{run.name}"))
    page.get_by_role("button", name="End now").click()
    expect_state(page, "stopped", ENDS_MS)
    events = run.read_events()
    begun = [
        event.seq for event in events if event.kind == "phase" and event.phase == "train" and event.state == "begin"
    ]
    assert len(begun) == 2, "two clicks, one start"
    assert all(event.step > stopped_at for event in events if event.kind == "log" and event.seq > begun[1])
