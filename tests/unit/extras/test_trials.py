"""Sweeps: whatever is killed, every trial is there once and is run once; two processes share them; what is searched."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.matrix.conftest import _settings_are_tried_here
from tests.unit.cli.conftest import model, rows, tw
from tests.unit.launch import fake_trainer
from tunewright.extras.sweep import optuna_search, trials
from tunewright.extras.sweep.optuna_search import STARTUP, OptunaSearch
from tunewright.extras.sweep.sweep_record import read_record
from tunewright.launch import start_run
from tunewright.rundir import atomic_io, run_dir
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.staging_folder import PREFIX

pytestmark = pytest.mark.processes

__all__ = ["_settings_are_tried_here", "model", "rows", "tw"]
WAIT_SECONDS = 120
SPACE = ("--space", "peft.r=4,8,16", "--space", "train.learning_rate=1e-5..1e-3")
SweepJson = dict[str, Any]


@pytest.fixture
def command(tw: Any, model: Path, rows: Path) -> list[str]:
    """A sweep in a folder of its own, as words of the command line."""
    return ["sweep", str(model), "my.jsonl", *SPACE, "-o", "found", "--json"]


def begin(command: list[str], *words: str, pace: float = 0.05) -> "subprocess.Popen[str]":
    argv = [sys.executable, fake_trainer.__file__, *command, *words]
    environment = {**os.environ, fake_trainer.PACE_FILE: str(pace)}
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def end(process: "subprocess.Popen[str]") -> SweepJson:
    out, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0, err
    result: SweepJson = json.loads(out)
    return result


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if result := what():
            return result
        time.sleep(0.02)
    raise AssertionError("it did not come")


def started(folder: str = "found") -> dict[str, list[int]]:
    """By name of the run the step from which each of its starts went on."""
    return {
        path.parent.name: [json.loads(line)["from"] for line in path.read_text().splitlines()]
        for path in sorted(Path(folder).glob("trial-*/starts.jsonl"))
    }


def is_whole(result: SweepJson, count: int) -> bool:
    """Every number once, all of them ended, each with a run of its own."""
    trials = result["trials"]
    return (
        [trial["number"] for trial in trials] == list(range(count))
        and {trial["state"] for trial in trials} <= {"complete", "pruned"}
        and len({trial["run"] for trial in trials}) == count
    )


def test_eight_trials_with_kills_in_between_are_all_there_and_none_is_run_twice(command: list[str]) -> None:
    for seen in (2, 5):
        process = begin(command, "--trials", "8")
        wait_for(lambda seen=seen: len(started()) >= seen)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    result = end(begin(command, "--trials", "8"))
    assert is_whole(result, 8), result
    assert list(started()) == [f"trial-{number:03d}" for number in range(8)]
    assert set(map(tuple, started().values())) == {(0,)}, "the runs went on without the sweep, so none was begun again"
    best = min((trial for trial in result["trials"] if trial["state"] == "complete"), key=lambda trial: trial["value"])
    assert result["best"] == best["number"]


def test_a_run_that_was_killed_with_the_sweep_goes_on_where_it_was(command: list[str]) -> None:
    process = begin(command, "--trials", "2", pace=0.4)
    run = RunDir(Path("found/trial-000").resolve())
    wait_for(lambda: run.path.is_dir() and sum(event.kind == "eval" for event in run.read_events()) >= 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    os.kill(run.info().parent.pid, signal.SIGKILL)
    result = end(begin(command, "--trials", "2"))
    assert is_whole(result, 2)
    first, second = started()["trial-000"], started()["trial-001"]
    assert len(first) == 2 and first[0] == 0 and first[1] >= 2
    assert second == [0]


def test_two_processes_share_one_folder(command: list[str]) -> None:
    both = [begin(command, "--trials", "8", pace=0.15) for _process in range(2)]
    ends = [process.communicate(timeout=WAIT_SECONDS) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert is_whole(json.loads(ends[0][0]), 8) or is_whole(json.loads(ends[1][0]), 8)
    begun = [err.count("/8") for _out, err in ends]
    assert sum(begun) == 8 and min(begun) > 0, begun
    assert set(map(tuple, started().values())) == {(0,)} and len(started()) == 8


def test_two_folders_share_one_storage(command: list[str], tmp_path: Path) -> None:
    """As two machines do: each goes on with its own runs, and the trials of both are one search."""
    words = ["--trials", "6", "--storage", f"sqlite:///{tmp_path}/shared.db"]
    first = end(begin([*command[:-3], "-o", "one", "--json"], "--trials", "2", *words[2:]))
    both = [begin([*command[:-3], "-o", name, "--json"], *words, pace=0.15) for name in ("one", "other")]
    result = [end(process) for process in both]
    assert any(is_whole(each, 6) for each in result)
    names = [set(started(name)) for name in ("one", "other")]
    assert not names[0] & names[1] and len(names[0] | names[1]) == 6 and all(names)
    assert all(trial in result[0]["trials"] for trial in first["trials"])


@pytest.mark.slow
def test_trials_on_several_devices_are_those_of_one_after_another(command: list[str]) -> None:
    """The first ones, which are drawn without the results of others."""
    alone, devices = (
        end(begin([*command[:-3], "-o", name, "--json"], "--trials", "4", *words))
        for name, words in (("alone", ()), ("devices", ("--devices", "all")))
    )
    assert is_whole(alone, 4) and is_whole(devices, 4)
    trials = [[{**trial, "run": None, "seconds": None} for trial in result["trials"]] for result in (alone, devices)]
    assert trials[0] == trials[1]


class Killed(BaseException):
    """Ends the process, as far as a test can without ending itself."""


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Instead of starting processes, a launched run is over at once; the names of those that were launched."""
    launched: list[str] = []

    def start_parent(run: RunDir, lock: int, device: object = None) -> None:
        launched.append(run.name)
        plan = run.plan().run.model_dump(mode="json")
        for step in range(1, fake_trainer.STEPS + 1):
            events = run.events
            events.step = step
            loss = fake_trainer.loss_of(plan["train"], plan["peft"], step)
            events.write("eval", held_out_loss=loss, seconds=0.01, is_best=True)
        run.update_info(started=1.0)
        fake_trainer.finish(run, fake_trainer.loss_of(plan["train"], plan["peft"], fake_trainer.STEPS))

    monkeypatch.setattr(start_run, "start_parent", start_parent)
    monkeypatch.setattr(run_dir, "STARTING_SECONDS", 0)
    return launched


KILLS = [
    (optuna_search.OptunaSearch, "share", "before"),
    (optuna_search.OptunaSearch, "share", "after"),
    (OptunaSearch, "add", "after"),
    (optuna_search, "_suggest", "after"),
    (OptunaSearch, "propose", "after"),
    (start_run, "create", "before"),
    (start_run, "create", "after"),
    (RunDir, "update_info", "after"),
    (start_run, "start_parent", "after"),
    (OptunaSearch, "report", "after"),
    (OptunaSearch, "tell", "before"),
    (OptunaSearch, "tell", "after"),
]


# The moments after which something is written for the first time; those beside them go to `make test-slow`.
TELLING = ("before share", "after _suggest", "before create", "after create", "after report", "after tell")


def _kill(where: Any, name: str, when: str) -> Any:
    moment = f"{when} {name}"
    return pytest.param(where, name, when, id=moment, marks=[] if moment in TELLING else pytest.mark.slow)


@pytest.mark.parametrize(("where", "name", "when"), [_kill(*kill) for kill in KILLS])
def test_a_kill_at_any_point_loses_nothing(
    tw: Any, command: list[str], trained: list[str], monkeypatch: pytest.MonkeyPatch, where: Any, name: str, when: str
) -> None:
    real = getattr(where, name)

    def killed(*arguments: Any, **options: Any) -> Any:
        if when == "after":
            real(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(where, name, killed)
        with pytest.raises((Killed, AssertionError)):
            tw(*command, "--trials", "2")
    gc.collect()  # the system would have taken the locks back
    result = tw(*command, "--trials", "2").json
    assert is_whole(result, 2), result
    assert sorted(trained) == ["trial-000", "trial-001"]


def test_a_folder_that_was_cut_off_in_the_making_is_made_anew(tw: Any, command: list[str], trained: list[str]) -> None:
    tw(*command, "--trials", "1")
    cut = Path(f"found/{PREFIX}0123456789ab")
    cut.mkdir()
    (cut / "run.json").write_text("{")
    assert is_whole(tw(*command, "--trials", "2").json, 2)
    assert not cut.exists()


def test_the_first_trial_is_what_the_plan_would_take(tw: Any, model: Path, rows: Path, trained: list[str]) -> None:
    result = tw("sweep", str(model), "my.jsonl", "--trials", "1", "-o", "found", "--json").json
    planned = tw("plan", str(model), "my.jsonl", "--json").json["run"]
    params = result["trials"][0]["params"]
    assert {path.partition(".")[2] for path in params} == {
        "r", "lora_alpha", "lora_dropout", "learning_rate", "warmup_steps",
    }  # fmt: skip
    for path, value in params.items():
        section, _dot, key = path.partition(".")
        assert value == pytest.approx(planned[section][key]), path


def test_what_somebody_has_set_is_not_searched(tw: Any, model: Path, rows: Path, trained: list[str]) -> None:
    words = ("--set", "peft.r=8", "--set", "train.learning_rate=1e-4", "--space", "train.num_train_epochs=1..3")
    result = tw("sweep", str(model), "my.jsonl", *words, "--trials", "6", "-o", "found", "--json").json
    for trial in result["trials"]:
        run = RunDir(Path(trial["run"])).plan().run.model_dump(mode="json")
        assert (run["peft"]["r"], run["train"]["learning_rate"]) == (8, 1e-4)
        assert "peft.r" not in trial["params"] and run["peft"]["lora_alpha"] in (8, 16, 32)
        assert run["train"]["num_train_epochs"] == trial["params"]["train.num_train_epochs"] in (1, 2, 3)


@pytest.mark.parametrize("method", ["ia3", "prompt_tuning", "adalora", "vera"])
def test_only_fields_of_the_method_are_searched(
    tw: Any, model: Path, rows: Path, trained: list[str], method: str
) -> None:
    words = ("--method", method, "--trials", "2", "-o", "found", "--json")
    result = tw("sweep", str(model), "my.jsonl", *words).json
    fields = {"ia3": set(), "prompt_tuning": {"num_virtual_tokens"}, "vera": {"r"},
              "adalora": {"target_r", "lora_alpha", "lora_dropout"}}  # fmt: skip
    searched = {path.partition(".")[2] for path in result["trials"][1]["params"] if path.startswith("peft.")}
    assert searched == fields[method]


def test_methods_can_be_searched_each_with_its_own_fields(tw: Any, command: list[str], trained: list[str]) -> None:
    result = tw(*command, "--space", "method=lora,ia3", "--trials", "8").json
    by_method = {trial["params"]["method"]: trial["params"] for trial in result["trials"]}
    assert set(by_method) == {"lora", "ia3"}
    assert (
        "peft.r" in by_method["lora"] and "peft.r" not in by_method["ia3"] and "train.learning_rate" in by_method["ia3"]
    )


def test_all_trials_are_trained_on_the_same_tokens(tw: Any, command: list[str], trained: list[str]) -> None:
    result = tw(*command, "--trials", "3").json
    plans = [RunDir(Path(trial["run"])).plan().run.model_dump(mode="json") for trial in result["trials"]]
    for key in ("num_train_epochs", "per_device_train_batch_size", "eval_steps", "early_stopping_patience"):
        assert len({plan["train"][key] for plan in plans}) == 1, key
    assert plans[0]["train"]["early_stopping_patience"] == 0


def test_the_best_config_trains_the_best_trial_again(tw: Any, command: list[str], trained: list[str]) -> None:
    result = tw(*command, "--trials", "3").json
    assert result["config"] == str(Path("found/best.yaml").resolve())
    best = RunDir(Path(result["trials"][result["best"]]["run"])).plan().run.model_dump(mode="json")
    again = tw("plan", result["config"], "--json").json["run"]
    assert {key: again[key] for key in ("model", "data", "method", "peft", "train", "eval")} == {
        key: best[key] for key in ("model", "data", "method", "peft", "train", "eval")
    }
    assert again["run"]["name"] is None and again["run"]["output_dir"] is None


def test_hopeless_trials_are_stopped_and_said_to_be_pruned(command: list[str]) -> None:
    end(begin(command, "--trials", "6", pace=0.01))
    result = end(begin(command, "--trials", "10", pace=0.4))
    pruned = [trial for trial in result["trials"] if trial["state"] == "pruned"]
    assert pruned and all(trial["value"] is None and trial["number"] >= STARTUP for trial in pruned), result
    for trial in pruned:
        run = RunDir(Path(trial["run"]))
        assert run.state() == "stopped" and run.read_events()[-1].text.startswith("pruned at step ")
    assert result["trials"][result["best"]]["state"] == "complete"
    assert end(begin(command, "--trials", "10"))["trials"] == result["trials"], "what was pruned stays so"


def test_every_trial_that_ends_is_written_down_for_those_who_look_without_the_search(
    tw: Any, command: list[str], trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[int] = []
    real = trials.Sweep.claim

    def claim(sweep: trials.Sweep, limit: int | None) -> Any:
        record = read_record(sweep.folder)
        known.append(len([trial for trial in record.trials if trial.value is not None]) if record else 0)
        return real(sweep, limit)

    monkeypatch.setattr(trials.Sweep, "claim", claim)
    result = tw(*command, "--trials", "5").json
    assert known == [0, 1, 2, 3, 4, 5], "a face that looks while it goes on sees the trials so far"
    record = read_record(Path("found"))
    assert record is not None and record.model_dump(mode="json")["trials"] == result["trials"]
    assert record.importance == result["importance"] and sum(record.importance.values()) == pytest.approx(1.0)
    assert all(trial["trainable_parameters"] == 1000 for trial in result["trials"])


def test_a_record_that_a_kill_kept_from_being_written_is_written_when_the_sweep_goes_on(
    tw: Any, command: list[str], trained: list[str]
) -> None:
    tw(*command, "--trials", "2")
    Path("found/trials.json").unlink()
    tw(*command, "--trials", "2")
    record = read_record(Path("found"))
    assert record is not None and len(record.trials) == 2


def test_a_trial_whose_run_fails_is_marked_and_the_others_go_on(
    tw: Any, command: list[str], trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = start_run.start_parent

    def start_parent(run: RunDir, lock: int, device: object = None) -> None:
        if run.name == "trial-000":
            run.events.write("failed", problems=[], exit_code=10)
            run.update_info(state="failed", exit_code=10, problems=[], ended=2.0, started=1.0)
        else:
            real(run, lock)

    monkeypatch.setattr(start_run, "start_parent", start_parent)
    result = tw(*command, "--trials", "3").json
    assert [trial["state"] for trial in result["trials"]] == ["failed", "complete", "complete"]
    again = tw(*command, "--trials", "3").json
    assert again["trials"] == result["trials"], "a trial that came to its end is not tried again"


def test_a_run_whose_score_is_not_a_number_is_a_failed_trial(
    tw: Any, command: list[str], trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fake_trainer.loss_of
    monkeypatch.setattr(fake_trainer, "loss_of", lambda *result: real(*result) if len(trained) > 1 else float("nan"))
    result = tw(*command, "--trials", "2").json
    assert [(trial["state"], trial["reason"]) for trial in result["trials"]] == [
        ("failed", "held_out_loss is not a number"),
        ("complete", None),
    ]


def test_runs_whose_storage_was_lost_are_not_trained_again(tw: Any, command: list[str], trained: list[str]) -> None:
    result = tw(*command, "--trials", "4").json
    Path("found/sweep.db").unlink()
    trained.clear()
    assert tw(*command, "--trials", "4").json["trials"] == result["trials"]
    assert not trained


def test_a_run_of_another_setting_in_the_place_of_a_trial_is_not_taken_for_it(
    tw: Any, command: list[str], trained: list[str]
) -> None:
    tw(*command, "--trials", "2")
    Path("found/sweep.db").unlink()
    Path("found/trial-000").rename("elsewhere")
    Path("found/trial-001").rename("found/trial-000")
    assert "E126" in tw(*command, "--trials", "1").err


def test_a_setting_that_cannot_be_trained_is_a_failed_trial_with_its_reason(
    tw: Any, model: Path, rows: Path, trained: list[str]
) -> None:
    words = ("--method", "adalora", "--set", "peft.init_r=20", "--space", "peft.target_r=4,32", "--trials", "6")
    result = tw("sweep", str(model), "my.jsonl", *words, "-o", "found", "--json").json
    by_rank = {trial["params"]["peft.target_r"]: (trial["state"], trial["reason"]) for trial in result["trials"]}
    assert by_rank[4] == ("complete", None)
    assert by_rank[32][0] == "failed" and "E109" in by_rank[32][1]


def test_a_stop_leaves_the_trial_open_and_says_how_to_go_on(
    tw: Any, command: list[str], trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_parent(run: RunDir, lock: int, device: object = None) -> None:
        run.events.write("failed", problems=[], exit_code=143)
        run.update_info(state="stopped", exit_code=143, problems=[], ended=2.0, started=1.0)

    with monkeypatch.context() as patched:
        patched.setattr(start_run, "start_parent", start_parent)
        shown = tw(*command, "--trials", "2")
    assert shown.code == 143 and "Stopped at trial-000. The same command goes on from here." in shown.err
    assert is_whole(tw(*command, "--trials", "2").json, 2)


def test_the_report_tells_what_made_a_difference(tw: Any, command: list[str], trained: list[str]) -> None:
    result = tw(*command, "--trials", "8").json
    assert sum(result["importance"].values()) == pytest.approx(1)
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert 'id="importance"' in page and "What made a difference" in page
    assert all(f"<code>{name}</code>" in page for name in result["importance"])


def test_few_trials_tell_no_importance(tw: Any, command: list[str], trained: list[str]) -> None:
    result = tw(*command, "--trials", "2").json
    assert result["importance"] == {} and 'id="importance"' not in Path(result["report"]).read_text(encoding="utf-8")


def test_the_table_has_the_best_first_and_the_next_command(tw: Any, command: list[str], trained: list[str]) -> None:
    result = tw(*command, "--trials", "4").json
    shown = tw(*command[:-1], "--trials", "4")
    lines = [line for line in shown.out.splitlines() if line.startswith("trial-")]
    assert len(lines) == 4 and lines[0].startswith(f"trial-{result['best']:03d}")
    assert "tunewright train found/best.yaml" in shown.err
    assert tw(*command[:-1], "--trials", "4", "-q").out.strip() == result["config"]


def test_more_trials_go_on_in_the_same_folder(tw: Any, model: Path, rows: Path, trained: list[str]) -> None:
    words = ("sweep", str(model), "my.jsonl", "--json")
    first = tw(*words, "--trials", "2").json
    trained.clear()
    result = tw(*words, "--trials", "3").json
    assert result["trials"][:2] == first["trials"] and trained == ["trial-002"]
    (folder,) = Path("runs").glob("sweep-my-*")
    assert result["config"] == str(folder.resolve() / "best.yaml")


def test_minutes_that_are_over_begin_nothing(tw: Any, command: list[str], trained: list[str]) -> None:
    shown = tw(*command, "--minutes", "0")
    assert shown.code == 1 and shown.json["trials"] == [] and not trained
    said = tw(*command[:-1], "--minutes", "0")
    assert said.code == 1 and "No trial was started" in said.err


def test_a_score_that_is_better_when_higher_is_searched_upwards(
    tw: Any, command: list[str], trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = tw(*command, "--metric", "exact_match", "--trials", "1")
    assert shown.code == 2 and "held_out_loss, perplexity" in shown.err, "the run has no such score"
    shares = iter((0.2, 0.9, 0.4))
    monkeypatch.setattr(trials.run_record, "read", _with_share(trials.run_record.read, shares))
    result = tw(*command[:-3], "-o", "other", "--json", "--metric", "exact_match", "--trials", "3").json
    assert result["best"] == 1 and [trial["value"] for trial in result["trials"]] == [0.2, 0.9, 0.4]


def _with_share(real: Callable[[RunDir], Any], shares: Iterator[float]) -> Callable[[RunDir], Any]:
    def read(run: RunDir) -> Any:
        record = real(run)
        record.after.scores["exact_match"] = next(shares, 0.0)
        return record

    return read


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--space", "peft.r"), "E119"),
        (("--space", "train.learning_rate=1e-3..1e-5"), "E119"),
        (("--space", "peft.rr=4,8"), "peft.rr"),
        (("--space", "train.learning_rate=1e-4..7"), "E103"),
        (("--space", "peft.r=2,4", "--space", "peft.r=8,16"), "--space names peft.r twice"),
        (("--metric", "beauty"), "E133"),
        (("--metric", "accuracy"), "exact_match, field_f1, valid, held_out_loss, perplexity, got accuracy"),
        (("--metric", "rougeL"), "E133"),
        (("--metric", "exact_match", "--set", "eval.rows=0"), "held_out_loss, perplexity, got exact_match"),
        (("--set", "data.holdout=0"), "E109"),
    ],
)
def test_mistakes_are_told_before_anything_starts(
    tw: Any, model: Path, rows: Path, trained: list[str], words: tuple[str, ...], message: str
) -> None:
    shown = tw("sweep", str(model), "my.jsonl", "-o", "found", *words)
    assert shown.code == 2 and message in shown.err
    assert not trained and not Path("found").exists()


@pytest.mark.parametrize("name", ["{a}", "{", "}", "{0}", "{SCHEMA_VERSION}", "a b"])
def test_a_storage_lies_where_it_is_named_whatever_its_name_holds(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    url = f"sqlite:///{tmp_path / name}/sweep.db"
    assert optuna_search.open_search(url, "search", is_higher_better=False).trials() == []
    assert [file.name for file in (tmp_path / name).iterdir()] == ["sweep.db"]


@pytest.mark.parametrize("url", ["peft.rank_pattern={'(': 4}", "{", "}", "{0}", "sqlite:///nowhere/{a}.db"])
def test_a_storage_that_is_none_is_told(tw: Any, command: list[str], trained: list[str], url: str) -> None:
    shown = tw(*command, "--storage", url)
    assert shown.code == 2 and "E128" in shown.err


def test_a_storage_that_cannot_be_opened_is_told_without_its_password(
    tw: Any, command: list[str], trained: list[str]
) -> None:
    shown = tw(*command, "--storage", "nodatabase://me:secret@nowhere/sweeps")
    assert shown.code == 2 and "E128" in shown.err and "secret" not in shown.out + shown.err


def test_another_ask_does_not_go_into_the_folder(tw: Any, command: list[str], trained: list[str]) -> None:
    tw(*command, "--trials", "1")
    assert "E126" in tw(*command, "--trials", "1", "--set", "train.weight_decay=0.1").err
    assert "E126" in tw(*command, "--trials", "1", "--space", "train.weight_decay=0.0,0.1").err
    assert trained == ["trial-000"]


@pytest.mark.parametrize("name", ["sweep.db", "compare.html", "best.yaml", "notes.txt", ".git"])
def test_a_folder_of_somebody_else_is_left_as_it_was(
    tw: Any, command: list[str], trained: list[str], name: str
) -> None:
    """A database of that name would get our tables, and a page would be in the way after the last trial."""
    theirs = Path("found")
    theirs.mkdir()
    (theirs / name).write_text("mine\n")
    result = tw(*command, "--trials", "1")
    assert result.code == 2 and "E115" in result.err
    assert [path.name for path in theirs.iterdir()] == [name] and (theirs / name).read_text() == "mine\n"
    assert not trained


def test_a_sweep_goes_into_no_run(tw: Any, command: list[str], trained: list[str], model: Path, rows: Path) -> None:
    """With the run it would be removed."""
    tw(*command, "--trials", "1")
    inside = [word if word != "found" else "found/trial-000" for word in command]
    before = sorted(Path("found/trial-000").iterdir())
    result = tw(*inside, "--trials", "1")
    assert result.code == 2 and "E126" in result.err
    assert sorted(Path("found/trial-000").iterdir()) == before


def test_rows_that_changed_stop_the_sweep_and_lose_nothing(
    tw: Any, command: list[str], rows: Path, trained: list[str]
) -> None:
    tw(*command, "--trials", "1")
    before = rows.read_text()
    rows.write_text(before.replace("How much is 3 and 3", "How many are 3 and 3"))
    assert "E127" in tw(*command, "--trials", "2").err
    atomic_io.write_text(rows, before)
    assert is_whole(tw(*command, "--trials", "2").json, 2)


def test_without_optuna_the_extra_is_named(
    tw: Any, command: list[str], trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    shown = tw(*command)
    assert shown.code == 5 and "E601" in shown.err and ".[sweep]" in shown.err
    assert not Path("found").exists()
