"""What stands behind `Next`: all that was flags, in words that a shell reads back, by the name the program was called by."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunewright import api
from tunewright.cli import options, paste_commands
from tunewright.rundir.run_dir import RunDir

from .conftest import RESULT, SCORES, story

MakeRun = Callable[..., api.TrainedRun]
NAMES = ["my rows (1).jsonl", "Ünïcödé 文件.jsonl", "it's.jsonl", "a\x1b[31mred\x07.jsonl", "two\nlines.jsonl", "b\u202ec.jsonl",
         "$HOME `x` \\.jsonl", "-dash.jsonl"]  # fmt: skip


def next_lines(text: str) -> list[str]:
    """The commands under `Next`, without what is said behind them."""
    lines = text[text.index("Next      ") :].splitlines()
    return [re.split(r" {3,}", line[10:])[0] for line in lines if line[:10].strip() in ("", "Next")]


def read_by_a_shell(command: str) -> list[str]:
    """The words that a shell makes of a command."""
    ended = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True, timeout=60)
    return os.fsdecode(ended.stdout).split("\0")[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_named_so_that_a_shell_reads_it_back(tw, model: Path, rows: Path, name: str) -> None:
    rows.rename(name)
    shown = tw("data", "check", "-m", str(model), "--", name)
    (command,) = next_lines(shown.err)
    assert read_by_a_shell(command) == ["tunewright", "train", str(model), f"./{name}" if name[0] == "-" else name]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown.out + shown.err)


def test_data_check_hands_on_what_it_took_to_read_the_rows(tw, model: Path) -> None:
    Path("chats.jsonl").write_text("\n".join(json.dumps(
        {"items": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "a" * (i % 7)}]}
    ) for i in range(1, 40)))  # fmt: skip
    flags = ["--task", "causal_lm", "--map", "messages=items", "--skip-bad", "--set", "data.holdout=0.2",
             "--set", "model.chat_template=chatml"]  # fmt: skip
    shown = tw("data", "check", "chats.jsonl", "--model", str(model), *flags)
    assert next_lines(shown.err) == [shlex.join(["tunewright", "train", str(model), "chats.jsonl", *flags])]
    show = [word for word in flags if word != "--skip-bad"]
    shown = tw("data", "show", "chats.jsonl", "-m", str(model), *show, "-n", "1")
    assert next_lines(shown.err) == [shlex.join(["tunewright", "train", str(model), "chats.jsonl", *show])]


def test_a_plan_hands_on_all_that_trains_and_nothing_else(tw, model: Path, rows: Path) -> None:
    flags = ["--method", "lora", "--rank", "4", "--lr", "0.001", "--seed", "0", "--map", "prompt=question",
             "--skip-bad", "--set", "peft.lora_dropout=0.1"]  # fmt: skip
    shown = tw("plan", str(model), "my.jsonl", *flags, "--price", "2")
    assert next_lines(shown.err) == [shlex.join(["tunewright", "train", str(model), "my.jsonl", *flags])]
    shown = tw("train", "-m", str(model), "-d", "my.jsonl", "--dry-run", "--epochs", "2")
    assert next_lines(shown.err) == [f"tunewright train --model {model} --data my.jsonl --epochs 2.0"]
    Path("my run.yaml").write_text(f"model: {model}\ndata: my.jsonl\n")
    shown = tw("plan", "my run.yaml", "--preset", "simple")
    assert next_lines(shown.err) == ["tunewright train 'my run.yaml' --preset simple"]


def test_a_run_that_lies_elsewhere_is_named_by_its_path(tw, model: Path, rows: Path, worked: list[RunDir]) -> None:
    shown = tw("train", str(model), "my.jsonl", "-o", "out put/x")
    assert next_lines(shown.err)[0] == "tunewright chat 'out put/x' --with base"


@pytest.mark.parametrize("name", ["a\x1b[31mb", "two\nlines", "bell\x07", "-dash", "\u202eover", "no text\udcff"])
def test_names_of_runs_never_reach_the_terminal_as_they_are(tw, make_run: MakeRun, name: str) -> None:
    run = make_run()
    run.path.rename(run.path.with_name(name))
    listed = tw("runs", "list").out
    assert len(listed.splitlines()) == 2
    removed = tw("runs", "rm", "--dry-run", f"runs/{name}")
    stopped = tw("runs", "stop", f"runs/{name}")
    merged = next_lines(tw("runs", "watch", f"runs/{name}").err)[0]
    assert read_by_a_shell(merged)[2] == (f"runs/{name}" if name == "-dash" else name)
    for text in (listed, removed.err, stopped.out):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", text), text
        assert len(text.splitlines()) <= 2


def test_the_name_is_that_by_which_the_program_was_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    called = tmp_path / ".venv" / "bin" / "tunewright"
    called.parent.mkdir(parents=True)
    called.write_text("#!/bin/sh\n")
    called.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [".venv/bin/tunewright"])
    assert paste_commands.command("chat", "last") == ".venv/bin/tunewright chat last"
    assert paste_commands.named(
        "other data: tunewright train my.jsonl; the folder tunewright/x, pip install tunewright"
    ) == ("other data: .venv/bin/tunewright train my.jsonl; the folder tunewright/x, pip install tunewright")
    monkeypatch.setattr(sys, "argv", [str(called)])
    assert paste_commands.program() == ".venv/bin/tunewright"
    monkeypatch.setenv("PATH", str(called.parent))
    assert paste_commands.program() == "tunewright"
    monkeypatch.setattr(sys, "argv", [str(Path(api.__file__).parent.with_name("__main__.py"))])
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "tunewright"])
    assert paste_commands.program() == "python3 -m tunewright"


def test_zero_is_a_value(tw, model: Path, rows: Path) -> None:
    plan = tw("plan", str(model), "my.jsonl", "--seed", "0", "--json").json
    assert plan["run"]["train"]["seed"] == 0
    for flag, key in (("--rank", "peft.r"), ("--lr", "train.learning_rate"), ("--epochs", "train.num_train_epochs")):
        shown = tw("plan", str(model), "my.jsonl", flag, "0")
        assert (shown.code == 2 and f"{key} must be above 0" in shown.err) or f"{key} must be at least 1" in shown.err
    flags: dict[str, Any] = {"a": 0, "b": 0.0, "c": False, "d": None, "e": ""}
    assert options.inputs_of((), flags) == (None, {"a": 0, "b": 0.0, "e": ""})


def test_what_was_not_shown_to_be_better_is_not_offered_for_merging(tw, make_run: MakeRun) -> None:
    better = make_run("better")
    assert [line.split()[1] for line in next_lines(tw("runs", "watch", better.name).err)] == ["chat", "merge"]
    same = [{**event, "scores": SCORES} if event["kind"] == "score" else event for event in story()]
    for name, events in (("same", same), ("unmeasured", [e for e in story() if e["kind"] != "score"])):
        run = make_run(name, events=events)
        run.dir.update_info(result={**RESULT, "after": SCORES if name == "same" else None})
        assert next_lines(tw("runs", "watch", run.name).err)[0] == f"tunewright diagnose {run.name}"
        assert "merge" not in tw("runs", "watch", run.name).err


def test_the_next_command_of_a_run_that_ended_too_soon_is_its_remedy(tw, make_run: MakeRun) -> None:
    log = next(event for event in story() if event["kind"] == "log")
    curve: list[dict[str, Any]] = [
        {**log, "step": step, "loss": 2.2 - 0.1 * step, "epoch": step / 2, "max_steps": 10} for step in range(1, 11)
    ]
    curve += [
        {"kind": "eval", "step": 2 * i, "held_out_loss": 2 - 0.02 * i, "seconds": 0.1, "is_best": True}
        for i in range(1, 6)
    ]
    curve.sort(key=lambda event: int(event["step"]))
    after = {**SCORES, "held_out_loss": 1.9}
    events = [event for event in story() if event["kind"] not in ("log", "eval", "alert")]
    run = make_run(
        events=[*events[:7], *curve, *({**e, "scores": after} if e["kind"] == "score" else e for e in events[7:])]
    )
    run.dir.update_info(result={**RESULT, "after": after})
    commands = next_lines(tw("runs", "watch", run.name).err)
    assert [command.split()[1] for command in commands] == ["diagnose", "train", "chat"]
    assert commands[1] == f"tunewright train runs/{run.name}/config.yaml --epochs 20"
