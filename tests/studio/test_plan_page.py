"""The Plan page: its figures and its command are those of the command line, what is wrong stands at its field, one start is one."""

import html
import json
import random
import re
import shlex
import shutil
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.unit.cli.conftest import built_in as built_in
from tests.unit.cli.conftest import model as model
from tests.unit.cli.conftest import rows as rows
from tests.unit.cli.conftest import worked as worked
from tunewright import api
from tunewright.cli import run_and_follow
from tunewright.cli.main import app
from tunewright.config.load_config import LoadedConfig
from tunewright.inspection import machine_info
from tunewright.launch import start_run
from tunewright.reporting import SILENT
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.run_dir import RunDir
from tunewright.studio import data_store
from tunewright.studio.pages.plan import FIGURES

PART = {"hx-request": "true"}
Memory = namedtuple("Memory", "total available")
TYPED: dict[str, list[str]] = {
    "method": ["lora", "ia3", "vera", "prompt_tuning"],
    "preset": ["simple", "complex"],
    "train.num_train_epochs": ["1", "2.5"],
    "train.learning_rate": ["1e-5", "0.0003"],
    "train.per_device_train_batch_size": ["1", "3", "16"],
    "train.activation_checkpointing": ["true", "false"],
    "train.warmup_steps": ["0.1"],
    "data.max_length": ["64", "512"],
    "data.holdout": ["0.25"],
    "data.system": ["Be brief: 'yes' or \"no\"", "简短"],
    "model.quantization": ["8bit", "none"],
    "eval.rows": ["0", "2"],
}


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A machine whose free memory and disk do not move; called with bytes, it has so many."""
    usage = shutil.disk_usage("/")

    def have(free: int) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(2**34, free))

    have(2**33)
    monkeypatch.setattr(machine_info, "_cgroup_limit", lambda: 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    return have


@pytest.fixture
def base(built_in: Path, rows: Path) -> api.TrainedRun:
    """A run of a small model, whose settings the page begins with."""
    loaded = api.load(named={"model.name": "smollm2", "data.train": str(rows), "run.output_dir": "runs/mita"})
    return api.TrainedRun(start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT))


def sent(typed: dict[str, str], **more: str) -> dict[str, str]:
    return {"run": "mita", "typed": "yes", **typed, **more}


def loaded_by(base: api.TrainedRun, typed: dict[str, str]) -> LoadedConfig:
    """The config that the command line makes of what was typed."""
    named = {path: value for path, value in api.settings_of(base).items() if path in ("model.name", "data.train")}
    return api.load(named=named, sets=[f"{path}={text}" for path, text in typed.items()])


def figures_in(text: str) -> list[str]:
    found = re.search(r'name="was" value="([^"]*)"', text)
    assert found, text
    return found[1].split()


def pre(text: str, id: str) -> str:
    found = re.search(rf'<span id="{id}">(.*?)</span>', text, re.DOTALL)
    assert found, text
    return html.unescape(found[1])


def said(text: str, path: str) -> str:
    """What stands at a field."""
    found = re.search(rf'<div id="said-{path.replace(".", "-")}" class="said"[^>]*>(.*?)</div>', text, re.DOTALL)
    assert found, text
    return html.unescape(found[1])


def figures_of(plan: Any) -> list[str]:
    now = [plan.time.seconds, plan.memory.peak_bytes, plan.trainable_parameters, plan.adapter_bytes, plan.disk_bytes]
    return [str(figure) for figure in now]


def test_the_figures_of_the_page_are_those_of_the_plan(browser: TestClient, base: api.TrainedRun) -> None:
    rng = random.Random(3)
    for _try in range(25):
        typed = {path: rng.choice(TYPED[path]) for path in rng.sample(sorted(TYPED), rng.randrange(1, 5))}
        answer = browser.post("/plan/try", data=sent(typed), headers=PART)
        assert answer.status_code == 200
        assert figures_in(answer.text) == figures_of(api.plan(loaded_by(base, typed))), typed
    assert len(FIGURES) == len(figures_in(answer.text))


def test_the_copied_command_and_the_start_give_the_same_plan(
    browser: TestClient, base: api.TrainedRun, worked: list[RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[LoadedConfig] = []
    monkeypatch.setattr(run_and_follow, "run", lambda loaded, **options: taken.append(loaded))
    typed = {
        "train.learning_rate": "0.0003",
        "peft.lora_dropout": "0.1",
        "data.system": 'it\'s: "a" 数据',
        "peft.r": "4",
    }
    page = browser.post("/plan/try", data=sent(typed), headers=PART).text
    answer = browser.post("/plan/start", data=sent(typed, form_id="a"), follow_redirects=False)
    assert answer.status_code == 303 and len(worked) == 1
    assert answer.headers["location"] == f"/runs/{worked[0].name}"
    words = shlex.split(pre(page, "as-line"))
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    plan = json.loads(worked[0].file(file_names.PLAN).read_text())
    by_command = api.plan(taken[0]).model_dump(mode="json")
    plan["facts"]["model"].pop("contents"), by_command["facts"]["model"].pop("contents")
    assert plan == by_command


def test_a_change_is_told_against_the_last_plan(browser: TestClient, base: api.TrainedRun) -> None:
    first = browser.post("/plan/try", data=sent({"peft.r": "4"}), headers=PART).text
    was = " ".join(figures_in(first))
    second = browser.post("/plan/try", data=sent({"peft.r": "64"}, was=was), headers=PART).text
    grown = re.search(r'data-figure="trainable">.*?</div>', second, re.DOTALL)
    assert grown and "▲ was" in grown[0]
    same = browser.post("/plan/try", data=sent({"peft.r": "4"}, was=was), headers=PART).text
    assert "▲" not in same and "▼" not in same
    assert browser.post("/plan/try", data=sent({"peft.r": "4"}, was="nan x 1e999"), headers=PART).status_code == 200


@pytest.mark.parametrize(("language", "word"), [("en", "must be"), ("zh", "必须")])
def test_every_error_stands_at_its_field_and_all_at_once(
    browsing: Callable[..., TestClient], base: api.TrainedRun, language: str, word: str
) -> None:
    browser = browsing(language)
    typed = {"train.learning_rate": "fast", "peft.r": "0", "train.warmup": "3", "peft.lora_dropout": "2"}
    answers = [
        browser.post("/plan/try", data=sent(typed), headers=PART).text,
        browser.get("/plan", params=sent(typed)).text,
    ]
    for text in answers:
        for path in ("train.learning_rate", "peft.r", "peft.lora_dropout"):
            assert "E103" in said(text, path) and word in said(text, path)
        assert "E102" in said(text, "train.warmup") or "E104" in said(text, "train.warmup")
        assert "E103" not in said(text, "data.max_length")
        assert 'formaction="/plan/start"' not in text


def test_a_fix_is_a_button_where_it_is_settings(browser: TestClient, base: api.TrainedRun) -> None:
    text = browser.post("/plan/try", data=sent({"data.max_length": "100000"}), headers=PART).text
    assert "E109" in said(text, "data.max_length")
    fix = re.search(r'name="take" value="([^"]*)"', said(text, "data.max_length"))
    assert fix
    answer = browser.post("/plan/open", data=sent({"data.max_length": "100000"}, take=fix[1]), follow_redirects=False)
    assert "data.max_length=2048" in answer.headers["location"]
    assert 'formaction="/plan/start"' in browser.get(answer.headers["location"]).text


def test_an_alternative_is_taken_by_its_button(browser: TestClient, base: api.TrainedRun) -> None:
    text = browser.post("/plan/alternatives", data=sent({}), headers=PART).text
    plan = api.plan(loaded_by(base, {}))
    flags = [html.unescape(value) for value in re.findall(r'name="take" value="([^"]*)"', text)]
    assert flags == [other.flags() for other in plan.alternatives]
    for other in plan.alternatives:
        address = browser.post("/plan/open", data=sent({"peft.lora_dropout": "0.1"}, take=other.flags())).url
        taken = browser.get(str(address)).text
        if "method" in other.changes:
            assert f'<option value="{other.changes["method"]}" selected>' in taken
        assert 'formaction="/plan/start"' in taken
    assert text.index("full fine-tuning") > text.index("rank")


def test_a_start_sent_twice_starts_once(browser: TestClient, base: api.TrainedRun, worked: list[RunDir]) -> None:
    for _click in range(2):
        browser.post("/plan/start", data=sent({}, form_id="twice"), follow_redirects=False)
    assert len(worked) == 1
    browser.post("/plan/start", data=sent({}, form_id="another"), follow_redirects=False)
    assert len(worked) == 2


@pytest.mark.parametrize(("language", "words"), [("en", "start anyway"), ("zh", "仍要开始")])
def test_what_does_not_fit_is_started_only_where_that_was_typed(
    browsing: Callable[..., TestClient],
    base: api.TrainedRun,
    worked: list[RunDir],
    still: Callable[[int], None],
    language: str,
    words: str,
) -> None:
    browser = browsing(language)
    still(2**20)
    text = browser.post("/plan/try", data=sent({}), headers=PART).text
    assert words in text and 'name="sure"' in text
    refused = browser.post("/plan/start", data=sent({}, form_id="a", sure="yes"))
    assert refused.status_code == 409 and "E401" in refused.text and not worked
    browser.post("/plan/start", data=sent({}, form_id="a", sure=f" {words} "), follow_redirects=False)
    assert len(worked) == 1


def test_of_many_damaged_rows_the_first_are_told(browser: TestClient, base: api.TrainedRun) -> None:
    text = browser.post("/plan/try", data=sent({"data.max_length": "16"}), headers=PART).text
    assert text.count("<code>E209</code>") == 3 and "E216" in text and "40 of 40" in text


def test_what_cannot_be_planned_is_not_started(browser: TestClient, base: api.TrainedRun, worked: list[RunDir]) -> None:
    answer = browser.post("/plan/start", data=sent({"peft.r": "0"}, form_id="a"))
    assert answer.status_code == 409 and "E103" in said(answer.text, "peft.r") and not worked


def test_without_javascript_a_form_leads_to_an_address_that_shows_the_same(
    browser: TestClient, base: api.TrainedRun
) -> None:
    typed = {"peft.r": "4", "data.system": 'a & b = "c" <d>'}
    for action in ("/plan/try", "/plan/open", "/plan/alternatives"):
        answer = browser.post(action, data=sent(typed, **{"train.seed": ""}), follow_redirects=False)
        assert answer.status_code == 303
        page = browser.get(answer.headers["location"]).text
        assert figures_in(page) == figures_of(api.plan(loaded_by(base, typed)))
        assert 'name="data.system" value="a &amp; b = &#34;c&#34; &lt;d&gt;"' in page
        assert "full fine-tuning" in page


def test_the_page_of_a_run_begins_with_its_settings(browser: TestClient, built_in: Path, rows: Path) -> None:
    named = {"model.name": "smollm2", "data.train": str(rows), "peft.r": 4}
    loaded = api.load(named=named | {"run.output_dir": "runs/own"})
    start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT)
    text = browser.get("/plan", params={"run": "own", "take": "--set train.learning_rate=0.001"}).text
    assert 'name="peft.r" value="4"' in text and 'name="train.learning_rate" value="0.001"' in text
    assert figures_in(text) == figures_of(api.plan(api.load(named=named | {"train.learning_rate": 0.001})))


def test_data_that_were_brought_are_planned_and_started_by_their_id(
    browser: TestClient, built_in: Path, rows: Path, worked: list[RunDir]
) -> None:
    brought = data_store.add(str(rows), "my.jsonl").changed(max_length=64)
    planned = api.plan(api.load(named=data_store.settings(brought.id)))
    first, named = browser.get("/plan").text, browser.get("/plan", params={"data": brought.id, "model": "smollm2"}).text
    assert figures_in(first) == figures_in(named) == figures_of(planned)
    assert 'name="data.max_length" value="64"' in named and f'value="{brought.id}" selected' in named
    assert str(rows) not in re.sub(r"<pre.*?</pre>", "", named, flags=re.DOTALL)
    browser.post("/plan/start", data={"data": brought.id, "typed": "yes", "form_id": "a"}, follow_redirects=False)
    assert worked[0].plan().run.data.train == str(rows.resolve())
    assert browser.get("/plan", params={"data": "0" * 16}).status_code == 404


def test_another_device_is_planned_for_and_not_started_on(browser: TestClient, base: api.TrainedRun) -> None:
    text = browser.post("/plan/try", data=sent({}, device="24GB GPU"), headers=PART).text
    assert figures_in(text) == figures_of(api.plan(loaded_by(base, {}), device="24GB GPU"))
    assert 'formaction="/plan/start"' not in text
    unknown = browser.post("/plan/try", data=sent({}, device="abacus"), headers=PART).text
    assert "E124" in said(unknown, "device")


def test_a_page_names_no_path_of_this_machine(
    browser: TestClient, base: api.TrainedRun, model: Path, rows: Path
) -> None:
    assert browser.get("/plan", params=sent({}, model=str(model.parent / "other"))).status_code == 404
    assert browser.get("/plan", params={"data": str(rows)}).status_code == 404
    text = browser.post("/plan/try", data=sent({"data.holdout": str(rows)}), headers=PART).text
    assert "E103" in said(text, "data.holdout")
    secret = "/etc/passwd"
    elsewhere = dict.fromkeys(("data.train", "run.output_dir", "model.chat_template", "launch.main"), secret)
    text = browser.post("/plan/try", data=sent(elsewhere), headers=PART).text
    assert figures_in(text) == figures_of(api.plan(loaded_by(base, {})))
    assert secret not in text


def test_what_was_typed_is_text_and_nothing_else(browser: TestClient, base: api.TrainedRun) -> None:
    hostile = '"><script>alert(1)</script>{{ 7 * 7 }}\u202e'
    for path in ("data.system", "peft.r", "train.x"):
        for text in (
            browser.get("/plan", params=sent({path: hostile}, device=hostile)).text,
            browser.post("/plan/try", data=sent({path: hostile}, device=hostile), headers=PART).text,
        ):
            assert "<script>alert" not in text and "49" not in said(text, path) and "\u202e" not in text


def test_a_changed_setting_is_planned_in_less_than_150_ms(browser: TestClient, base: api.TrainedRun) -> None:
    browser.post("/plan/try", data=sent({"peft.r": "4"}), headers=PART)
    seconds = []
    for rank in range(5, 12):
        begun = time.process_time()
        browser.post("/plan/try", data=sent({"peft.r": str(rank)}), headers=PART)
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 0.15, seconds


def sick(rows: Path, name: str = "sick", state: str = "finished") -> api.TrainedRun:
    """A run whose loss is flat, as its learning rate is far too low."""
    named = {
        "model.name": "smollm2",
        "data.train": str(rows),
        "train.learning_rate": 1e-7,
        "run.output_dir": f"runs/{name}",
    }
    loaded = api.load(named=named)
    run = start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT)
    for step in range(1, 41):
        event = {
            "schema": 1, "seq": step, "t": 1_790_000_000.0 + step, "step": step, "kind": "log", "loss": 2.5 + 0.001 * (step % 3),
            "learning_rate": 1e-7, "grad_norm": 0.8, "epoch": step / 40, "tokens": 100 * step, "train_seconds": 1.0 * step,
            "tokens_per_second": 400.0, "eta_seconds": 1.0, "rss_bytes": 2**30, "max_steps": 40,
        }  # fmt: skip
        atomic_io.append_line(run.file(file_names.EVENTS), json.dumps(event))
    run.update_info(state=state, worker=None, exit_code=0, problems=[], started=1.0, ended=2.0)
    return api.TrainedRun(run)


def test_a_finding_is_a_card_whose_button_trains_with_the_remedy(
    browser: TestClient, built_in: Path, rows: Path, worked: list[RunDir]
) -> None:
    run = sick(rows)
    remedy = next(one for one in api.diagnose(run.dir).findings if one.code == "D201").remedies[0]
    cards = browser.get("/runs/sick/findings").text
    assert "D201" in cards and "Apply and run again" in cards and "Apply and continue" not in cards
    chosen = {"code": "D201", "remedy": "0", "how": "again", "form_id": "a"}
    for _click in range(2):
        answer = browser.post("/runs/sick/apply", data=chosen, follow_redirects=False)
        assert answer.status_code == 303
    assert len(worked) == 1
    config = api.load(config=worked[0].file(file_names.CONFIG)).run
    assert config.train.learning_rate == remedy.patch["train.learning_rate"] != 1e-7
    in_plan = html.unescape(re.search(r'href="(/plan\?run=[^"]*)"', cards)[1])  # type: ignore[index]
    assert f'name="train.learning_rate" value="{api.as_text(config.train.learning_rate)}"' in browser.get(in_plan).text


def test_a_run_that_stopped_may_go_on_with_a_remedy(
    browser: TestClient, built_in: Path, rows: Path, worked: list[RunDir]
) -> None:
    run = sick(rows, state="stopped")
    assert "Apply and continue" in browser.get("/runs/sick/findings").text
    chosen = {"code": "D201", "remedy": "0", "how": "continue", "form_id": "a"}
    answer = browser.post("/runs/sick/apply", data=chosen, follow_redirects=False)
    assert answer.headers["location"] == "/runs/sick" and [one.path.resolve() for one in worked] == [run.path.resolve()]
    assert run.plan.run.train.learning_rate != 1e-7


def test_a_remedy_that_is_not_there_is_not_applied(
    browser: TestClient, built_in: Path, rows: Path, worked: list[RunDir]
) -> None:
    sick(rows)
    for code, number in (("D999", "0"), ("D201", "9"), ("D201", "-1"), ("D201", "x"), ("", "")):
        answer = browser.post("/runs/sick/apply", data={"code": code, "remedy": number, "how": "again"})
        assert answer.status_code == 409 and not worked
