"""The verb `diagnose` on runs that were never trained."""

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from tunewright import api
from tunewright.errors import Problem
from tunewright.rundir import file_names
from tunewright.rundir.run_dir import RunDir

from .conftest import story

MakeRun = Callable[..., api.TrainedRun]


def overfitted() -> list[dict[str, Any]]:
    """A story whose held-out loss rises at the steps 2 to 4 while its training loss falls."""
    events = [event for event in story() if event["kind"] not in ("eval", "alert")]
    rising = [{"kind": "eval", "step": step, "held_out_loss": 0.4 + 0.2 * step, "seconds": 0.3, "is_best": step == 1}
              for step in range(1, 5)]  # fmt: skip
    place = next(i for i, event in enumerate(events) if event["kind"] == "checkpoint")
    logs = [event for event in events if event["kind"] == "log"]
    both = [event for pair in zip(logs, rising, strict=True) for event in pair]
    return [*(e for e in events[:place] if e["kind"] != "log"), *both, *events[place:]]


def test_nothing_found_is_said_plainly_with_what_was_looked_at(tw, make_run: MakeRun) -> None:
    make_run()
    shown = tw("diagnose")
    assert shown.code == 0
    assert shown.out.startswith("No problems found. Checked: 4 logged steps, 1 held-out measurement, ")


def test_a_finding_comes_with_numbers_cause_and_commands(tw, make_run: MakeRun) -> None:
    run = make_run(events=overfitted())
    shown = tw("diagnose", run.name)
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0].startswith("warning D301  held-out loss has not improved for 3 evaluations")
    assert "cause:" in lines[1] and lines[1].endswith("(certain)")
    commands = [shlex.split(line) for line in lines if line.strip().startswith("tunewright ")]
    assert commands[0][:3] == ["tunewright", "train", f"runs/{run.name}/config.yaml"]
    assert "tunewright explain D301" in shown.err


def test_a_remedy_can_be_pasted(tw, make_run: MakeRun, worked: list[Any]) -> None:
    run = make_run(events=overfitted())
    commands = [r["command"] for f in tw("diagnose", run.name, "--json").json["findings"] for r in f["remedies"]]
    for command in commands:
        assert tw(*shlex.split(command)[1:], "--dry-run").code == 0, command


def test_json_is_one_object_with_evidence_and_patches(tw, make_run: MakeRun) -> None:
    run = make_run(events=overfitted())
    record = tw("diagnose", run.name, "--json").json
    assert (record["schema"], record["name"], record["state"]) == (1, run.name, "finished")
    assert record["looked_at"] == {"steps": 4, "evaluations": 4, "rows": 0, "answers": 0}
    finding = record["findings"][0]
    assert (finding["code"], finding["severity"], finding["confidence"]) == ("D301", "warning", "certain")
    assert finding["evidence"] == {"count": 3, "best": 1, "best_loss": 0.6, "last_loss": 1.2}
    assert finding["remedies"][0]["patch"].keys() == {"train.num_train_epochs"}
    json.dumps(record)


def test_a_run_that_died_of_memory_is_resumed_with_less(tw, make_run: MakeRun) -> None:
    problem = Problem("E404", values={"step": 3, "reason": "cannot allocate", "name": "mita"})
    run = make_run(state="failed", problem=problem)
    record = tw("diagnose", run.name, "--json").json["findings"][0]
    assert record["code"] == "D103"
    assert record["remedies"][0]["command"].startswith(f"tunewright runs resume {run.name} --set ")


def test_an_end_that_no_rule_explains_is_shown_as_it_was(tw, make_run: MakeRun) -> None:
    problem = Problem("E802", values={"reason": "KeyError: x"})
    make_run(state="failed", problem=problem)
    shown = tw("diagnose")
    assert shown.code == 0
    assert "E802" in shown.out and "No problems found." in shown.out


def test_a_run_that_does_not_exist_is_an_error(tw) -> None:
    assert tw("diagnose", "nobody").code == 2


@pytest.mark.parametrize("code", ["D103", "D201", "D302", "D401", "D501", "D601"])
def test_codes_are_explained(tw, code: str) -> None:
    assert tw("explain", code).out.startswith(f"{code}  ")


def test_findings_speak_chinese_without_a_crash(tw, make_run: MakeRun, monkeypatch: Any) -> None:
    make_run(events=overfitted())
    monkeypatch.setenv("TUNEWRIGHT_LANG", "zh")
    assert "D301" in tw("diagnose").out


def contradictory(make_run: MakeRun) -> api.TrainedRun:
    """A run of which nothing is known but that its rows contradict each other: what helps is for a person to do."""
    run = make_run()
    counts = {**dict.fromkeys(("masked_out", "truncated", "duplicate", "control_tokens", "leaked"), 0), "conflict": 30}
    summary = {
        "key": "k", "format": "messages", "rows": 40, "used": 36, "held_out": 4, "dropped": 0, "counts": counts, "numbers": {},
        "lengths": {}, "max_length": 128, "tokens": 2000, "label_tokens": 800, "labels": {}, "problem_type": None,
    }  # fmt: skip
    run.dir.file(file_names.PREPARED).write_text(json.dumps(summary))
    return run


def test_apply_shows_what_changes_and_trains_again(tw, make_run: MakeRun, worked: list[RunDir]) -> None:
    sick = make_run(events=overfitted())
    remedy = api.diagnose(sick.dir).findings[0].remedies[0]
    shown = tw("diagnose", sick.name, "--apply")
    assert shown.code == 0, shown.err
    (healed,) = worked
    assert healed.path != sick.path
    config = api.load(config=healed.file(file_names.CONFIG)).run
    assert config.train.num_train_epochs == remedy.patch["train.num_train_epochs"]
    assert sick.plan.run.train.num_train_epochs != config.train.num_train_epochs
    lines = shown.err.splitlines()
    assert lines[0].startswith("warning D301  held-out loss has not improved for 3 evaluations")
    assert lines[1].strip() == f"remedy: {remedy.message()}"
    was, now = (api.as_text(run.train.num_train_epochs) for run in (sick.plan.run, config))
    assert lines[3].split() == ["train.num_train_epochs", was, now]
    assert "Plan" in shown.err and "Verdict" in shown.out


def test_apply_for_programs_is_as_train(tw, make_run: MakeRun, worked: list[RunDir]) -> None:
    sick = make_run(events=overfitted())
    ended = tw("diagnose", sick.name, "--apply", "--json")
    assert ended.json["run"] == str(worked[0].path.resolve()) and ended.json["state"] == "finished"
    detached = tw("diagnose", sick.name, "--apply", "--json", "--detach")
    assert (detached.json["name"], detached.json["schema"]) == (worked[1].name, 1)


def test_apply_refuses_where_there_is_nothing_to_apply(tw, make_run: MakeRun, worked: list[RunDir]) -> None:
    make_run()
    refused = tw("diagnose", "last", "--apply")
    assert (refused.code, refused.out) == (2, "") and "error E148" in refused.err and not worked
    told = tw("diagnose", "last", "--apply", "--json")
    assert (told.out, json.loads(told.err)["error"]["code"]) == ("", "E148")


def test_apply_leaves_to_a_person_what_is_in_the_rows(tw, make_run: MakeRun, worked: list[RunDir]) -> None:
    run = contradictory(make_run)
    refused = tw("diagnose", run.name, "--apply")
    assert (refused.code, refused.out) == (2, "") and not worked
    assert "E147" in refused.err and "keep one answer to each question" in refused.err
    assert "tunewright data check" in refused.err


@pytest.mark.parametrize("option", ["--force", "--detach"])
def test_options_of_a_start_need_one(tw, make_run: MakeRun, option: str) -> None:
    make_run()
    assert tw("diagnose", "last", option).code == 2
