"""Every finding that there is, in a run made of files: its card, with a button that trains anew, or why there is none."""

import html
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.unit.cli.conftest import RESULT, conclude, tell
from tests.unit.cli.conftest import built_in as built_in
from tests.unit.cli.conftest import model as model
from tests.unit.cli.conftest import rows as rows
from tests.unit.cli.conftest import worked as worked
from tests.unit.diagnose.conftest import STEPS, answers, falling, logged, measured, summary
from tunewright import api
from tunewright.cli.main import app
from tunewright.config import load_config
from tunewright.errors import Problem
from tunewright.errors.catalogue import load_catalogue
from tunewright.launch import start_run, trial_settings
from tunewright.metrics.evaluated_rows import Sample
from tunewright.reporting import SILENT
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.run_dir import RunDir

FOR_A_PERSON = "No button can do this: it is for you to carry out. The command shows where."
NOTHING = "No button: no other setting would help."
MEMORY = {
    "step": 3, "evidence": "killed", "peak": "8 GiB", "total": "8 GiB", "what": "rows at once", "was": 8, "now": 4, "start": 0,
    "batch": 8,
}  # fmt: skip
BROKEN = Problem(
    "E501",
    values={"what": "the loss", "value": "nan", "step": 5, "learning_rate": "0.9", "lower": "0.09", "config": "c"},
)
FLAT, RISING = [2.6 + 0.01 * (i % 3) for i in range(STEPS)], [2.6 + 3 * i / STEPS for i in range(STEPS)]
TEN_ROWS = [3.35, 5.22, 4.5, 3.29, 4.05, 3.8, 3.08, 3.16, 3.39, 2.6, 3.1, 3.55, 3.06, 2.75, 1.69]


@dataclass(frozen=True)
class Sick:
    """What is wrong with a run, and who mends it first: a button, a person, or nobody."""

    by: Literal["button", "person", "nobody"]
    settings: Mapping[str, Any] = field(default_factory=dict)
    losses: Sequence[float | None] = tuple(falling())
    logs: Mapping[str, Any] = field(default_factory=dict)
    held_out: Sequence[float] = (1.2, 0.7, 0.5, 0.42, 0.41)
    kinds: Mapping[str, int] = field(default_factory=dict)
    max_length: int = 128
    answers: Sequence[Sample] = tuple(answers(20))
    problem: Problem | None = None
    alert: Problem | None = None
    state: str = "finished"
    peak_share: float = 0.3
    before: float = 2.7
    burst: int = 0
    """a step whose gradient is a thousand times as long as the others"""
    labels: bool = False


CASES: dict[str, Sick] = {
    "D101": Sick("nobody", alert=Problem("D101", values=MEMORY)),
    "D102": Sick("nobody", alert=Problem("D102", values={"reason": "killed", "rows": 2})),
    "D103": Sick("button", {"train.per_device_train_batch_size": 4}, state="failed",
                 problem=Problem("E404", values={"step": 7, "reason": "cannot allocate", "name": "sick"})),
    "D104": Sick("button", peak_share=0.97),
    "D201": Sick("button", {"train.learning_rate": 1e-7}, FLAT, held_out=[2.6, 2.6]),
    "D202": Sick("button", {"train.learning_rate": 0.9, "peft.r": 4, "peft.lora_alpha": 1000}, RISING, held_out=[4.0, 5.0]),
    "D203": Sick("button", {"peft.target_modules": ["q_proj"]}, FLAT, {"norm": 0.0}, [2.6, 2.6]),
    "D203 without layers": Sick("nobody", {"method": "prompt_tuning"}, FLAT, {"norm": 0.0}, [2.6, 2.6]),
    "D204": Sick("button", kinds={"masked_out": 100}, max_length=16),
    "D205": Sick("person", kinds={"control_tokens": 400}),
    "D206": Sick("button", {"peft.r": 1}, falling(start=2.6, end=2.0), {"epochs": 5.0}, [2.2, 2.1]),
    "D207": Sick("person", kinds={"conflict": 200}),
    "D208": Sick("person", kinds={"duplicate": 200}),
    "D209": Sick("person", labels=True),
    "D210": Sick("button", losses=TEN_ROWS, held_out=[3.58, 3.346, 3.305, 3.291, 3.285], before=3.9),
    "D301": Sick("button", logs={"epochs": 10.0}, held_out=[1.0, 0.8, 0.9, 1.0, 1.2]),
    "D302": Sick("button", losses=[*falling(40), *[0.02] * 20], logs={"epochs": 12.0}, held_out=[1.2, 1.1, 1.1, 1.1]),
    "D401": Sick("button", {"train.learning_rate": 0.9}, [2.6] * 4, held_out=[], state="failed", problem=BROKEN),
    "D402": Sick("person", losses=[*falling(20, end=0.2), *[1e-5] * 40], held_out=[1e-5, 1e-5]),
    "D403": Sick("button", losses=[*falling(40), *[3.0] * 20], held_out=[1.2, 0.7, 2.9], burst=41),
    "D501": Sick("button", {"fast_paths.packing": False}, logs={"padding_share": 0.7}),
    "D502": Sick("button", {"train.activation_checkpointing": True}),
    "D503": Sick("button", {"model.precision": "bf16"}),
    "D504": Sick("person", logs={"core_wait_share": 0.5}),
    "D505": Sick("button", {"train.dataloader_num_workers": 2}, logs={"row_wait_share": 0.4}),
    "D505 without workers": Sick("nobody", logs={"row_wait_share": 0.4}),
    "D601": Sick("button", kinds={"truncated": 300}, answers=answers(20, "order order order order", is_cut=True)),
    "D602": Sick("person", answers=answers(20, "[INST] hello [/INST]")),
}  # fmt: skip
NAMED = [name for name in CASES if CASES[name].by == "button"]
UNNAMED = [name for name in CASES if CASES[name].by != "button"]


@pytest.fixture(autouse=True)
def _settings_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """To try what is passed on to transformers takes a process with torch and five seconds."""
    monkeypatch.setattr(trial_settings, "tried", lambda _module, _request, **_options: {"problems": []})


@pytest.fixture
def make(built_in: Path, rows: Path) -> Callable[[str], api.TrainedRun]:
    """Writes the run of a case, under the name `sick`."""

    def make(name: str) -> api.TrainedRun:
        sick = CASES[name]
        if sick.labels:
            lines = (json.dumps({"text": f"number {i}", "label": "even" if i % 2 else "odd"}) for i in range(40))
            rows.write_text("".join(f"{line}\n" for line in lines))
        named = {"model.name": "smollm2", "data.train": str(rows), "run.output_dir": "runs/sick", **sick.settings}
        loaded = api.load(named=named)
        run = start_run.create(loaded, api.plan(loaded), force=True, reporter=SILENT)
        tell(run, list(events(sick)))
        conclude(run, sick.state, sick.problem)
        run.update_info(result=result(sick, run))
        record = {"key": "k", **summary(**sick.kinds).model_dump(mode="json"), "max_length": sick.max_length}
        atomic_io.write_json(run.file(file_names.PREPARED), record)
        run.file(file_names.EVAL).mkdir()
        samples = [sample.model_dump(mode="json") for sample in sick.answers]
        atomic_io.write_jsonl(run.path / file_names.EVAL / "after.jsonl", samples)
        return api.TrainedRun(run)

    return make


def events(sick: Sick) -> list[dict[str, Any]]:
    """Scores before, logs and measurements by step, an alert, scores after."""
    logs = [log.model_dump(mode="json", exclude={"seq", "t"}) for log in logged(sick.losses, **sick.logs)]
    for log in logs:
        log["grad_norm"] *= 1000 if log["step"] == sick.burst else 1
        log["learning_rate"] = 5e-4 * (1 - log["step"] / (len(logs) + 1))
    evals = measured(sick.held_out, steps=len(logs)) if sick.held_out else []
    both = [*logs, *(one.model_dump(mode="json", exclude={"seq", "t"}) for one in evals)]
    last = sick.held_out[-1] if sick.held_out else sick.before
    after = {"held_out_loss": last, **({"accuracy": 0.5, "macro_f1": 0.4} if sick.labels else {})}
    shared = {"kind": "score", "rows": 48, "held_out_rows": 48, "seconds": 1.0}
    alerts = [{"kind": "alert", "step": 3, "problem": sick.alert.to_record()}] if sick.alert else []
    return [
        {**shared, "which": "before", "scores": {"held_out_loss": sick.before}},
        *sorted(both, key=lambda one: one["step"]),
        *alerts,
        *([{**shared, "which": "after", "scores": after}] if sick.state == "finished" else []),
    ]


def result(sick: Sick, run: RunDir) -> dict[str, Any] | None:
    if sick.state != "finished":
        return None
    constant = {"name": "majority class", "scores": {"accuracy": 0.5, "macro_f1": 0.3}} if sick.labels else None
    peak = round(sick.peak_share * run.plan().room_bytes)
    return {**RESULT, "rows": 48, "held_out_rows": 48, "peak_rss_bytes": peak, "baseline": constant}


def card(browser: TestClient, code: str) -> str:
    """The card of a finding on the run's page of findings, and that page leads to it."""
    text = browser.get("/runs/sick/findings").text
    cards = [piece for piece in text.split('<li class="finding')[1:] if f"<code>{code}</code>" in piece]
    assert len(cards) == 1, text
    return cards[0]


def send(browser: TestClient, code: str, number: int = 0, how: str = "again") -> Any:
    chosen = {"code": code, "remedy": str(number), "how": how, "form_id": f"{code}-{number}"}
    return browser.post("/runs/sick/apply", data=chosen, follow_redirects=False)


def test_every_diagnosis_of_the_catalogue_is_here() -> None:
    assert {name.split()[0] for name in CASES} == {code for code in load_catalogue() if code.startswith("D")}


@pytest.mark.parametrize("name", NAMED)
def test_a_button_trains_anew_with_the_settings_that_the_card_and_its_command_name(
    name: str, make: Callable[[str], api.TrainedRun], browser: TestClient, worked: list[RunDir]
) -> None:
    run, code = make(name), name.split()[0]
    finding = next(one for one in api.diagnose(run.dir).findings if one.code == code)
    shown = card(browser, code)
    assert NOTHING not in shown
    for number, remedy in enumerate(finding.remedies):
        form = f'name="remedy" value="{number}"'
        assert (form in shown) == bool(remedy.patch), remedy
        assert remedy.command in html.unescape(shown)
    answer = send(browser, code)
    assert (answer.status_code, len(worked)) == (303, 1), answer.text
    config, remedy = api.load(config=run.dir.file(file_names.CONFIG)).run, finding.remedies[0]
    again = api.load(config=worked[0].file(file_names.CONFIG)).run
    assert again == load_config.patch(config, remedy.patch) != config
    for path, (was, _now) in api.changes_by(run, remedy).items():
        assert dict(api.changes_by(api.TrainedRun(worked[0]), remedy))[path][0] != was, path
    if remedy.command.startswith("tunewright train "):
        words = [*shlex.split(remedy.command)[1:], "--dry-run", "--json"]
        planned = json.loads(CliRunner().invoke(app, words).stdout)["run"]
        assert planned == worked[0].plan().run.model_dump(mode="json")
    else:
        assert "Apply and continue" in shown and remedy.command.startswith("tunewright runs resume sick ")


@pytest.mark.parametrize("name", UNNAMED)
def test_where_there_is_no_button_the_card_says_why(
    name: str, make: Callable[[str], api.TrainedRun], browser: TestClient, worked: list[RunDir]
) -> None:
    run, code, by = make(name), name.split()[0], CASES[name].by
    finding = next(one for one in api.diagnose(run.dir).findings if one.code == code)
    shown = card(browser, code)
    assert ('name="remedy" value="0"' in shown, NOTHING in shown) == (False, by == "nobody")
    assert (FOR_A_PERSON in shown) == (by == "person") == bool(finding.remedies)
    answer = send(browser, code)
    assert answer.status_code == 409 and not worked
    told = CliRunner().invoke(app, ["diagnose", "sick", "--apply"])
    assert (told.exit_code, told.stdout) == (2, "") and not worked
    assert ("E147" if by == "person" else "E148") in told.stderr
    if finding.remedies:
        assert finding.remedies[0].command in told.stderr and "E147" in answer.text
