"""The first start: no run and no model; one click leads to a run, whatever happens to server and tabs on the way."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from transformers import AutoConfig, AutoModelForCausalLM

from tests import wheel_index
from tests.browser.conftest import Open
from tests.browser.site import SOURCE, Server, serving
from tests.browser.test_every_page import PHONE, RULES, faults_on_a_phone
from tests.browser.watched import GONE, Watch
from tests.matrix.conftest import CHATML, GROUPED, tiny_tokenizer
from tests.wheel_index import WheelIndex
from tunewright.inspection.builtin_models import Wheel
from tunewright.inspection.machine_info import SpeedProbe, probe_path
from tunewright.rundir import atomic_io

pytestmark = pytest.mark.browser
STARTS_MS, ENDS_MS = 90_000, 90_000
LAYERS = 30  # as many as the settings of the demo are for
# Each Python of the server and of its processes takes this wheel for the model of the demo.
STAND_IN = """
from dataclasses import replace
from tunewright.inspection import builtin_models
pinned = builtin_models.Wheel(**{wheel!r})
builtin_models.BUNDLED["smollm2"] = replace(builtin_models.BUNDLED["smollm2"], source=pinned)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Wheel]:
    """A random model of a few megabytes in a wheel."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", **{**GROUPED, "num_hidden_layers": LAYERS})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tiny_tokenizer(folder, CHATML)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return wheel_index.wheel_of(tmp_path_factory.mktemp("wheel"), "a-tiny-model", files)


@pytest.fixture
def index(wheel: tuple[Path, Wheel]) -> Iterator[WheelIndex]:
    with wheel_index.serving(wheel[0]) as index:
        yield index


@pytest.fixture
def fresh(
    wheel: tuple[Path, Wheel], index: WheelIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """A studio in an empty folder with an empty home, whose package index is ours."""
    stand_in, folder = tmp_path / "stand-in", tmp_path / "folder"
    stand_in.mkdir()
    folder.mkdir()
    (tmp_path / "home" / "tunewright").mkdir(parents=True)
    (stand_in / "sitecustomize.py").write_text(STAND_IN.format(wheel=asdict(wheel[1])))
    more = {"PYTHONPATH": f"{stand_in}:{SOURCE}", "PIP_INDEX_URL": index.url, "PIP_NO_CACHE_DIR": "1"}
    server = Server(folder, tmp_path / "home", more=more)
    monkeypatch.setenv("TUNEWRIGHT_HOME", server.environment["TUNEWRIGHT_HOME"])
    probe = SpeedProbe(device="cpu", device_name="CPU", memory_bytes=0, flops={"fp32": 2e11, "bf16": 1e11})
    atomic_io.write_text(probe_path(), probe.model_dump_json())  # else the plan measures it
    with serving(server):
        yield server


def expect_bytes(page: Page) -> None:
    """Some of the model is here, and not all of it."""
    expect(page.locator("#demo progress")).to_have_attribute("value", re.compile(r"[1-9]\d*"), timeout=STARTS_MS)
    expect(page.locator("#demo [role=status]")).to_contain_text(" of ")


def test_one_click_leads_to_a_run_once(visit: Open, fresh: Server, index: WheelIndex, watches: list[Watch]) -> None:
    page = visit("/", at=fresh)
    page.get_by_role("button", name="Download and try it").dblclick()
    expect_bytes(page)
    other = page.context.new_page()
    other.goto(fresh.origin)
    other.get_by_role("button", name="Try it as soon as it is here").click()
    expect_bytes(other)
    with watches[-1].expecting(f"{GONE}|Failed to fetch|htmx:error"):
        fresh.kill()
        expect(page.locator("#lost")).to_be_visible()
        fresh.start()
        expect(page.locator("#lost")).to_be_hidden()
    expect_bytes(page)
    index.released.set()
    for tab in (page, other):
        tab.wait_for_url("**/runs/*", timeout=STARTS_MS)
        expect(tab.locator("#status")).to_be_visible()
    assert page.url == other.url
    assert len(list((fresh.folder / "runs").iterdir())) == 1
    page.get_by_role("button", name="End now").click()
    expect(page.locator("#status [data-state=stopped]")).to_be_visible(timeout=ENDS_MS)


def test_a_stopped_download_is_begun_again_on_a_phone(visit: Open, fresh: Server) -> None:
    page = visit("/", at=fresh, width=PHONE)
    page.get_by_role("button", name="Download and try it").click()
    expect_bytes(page)
    faults = Axe().run(page, options=RULES)
    assert not faults.violations_count, faults.generate_report()
    assert not faults_on_a_phone(page)
    page.locator("#demo").get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Download it again").click(timeout=STARTS_MS)
    expect_bytes(page)
    page.locator("#demo").get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Download it again")).to_be_visible(timeout=STARTS_MS)
    assert not (fresh.folder / "runs").exists()
