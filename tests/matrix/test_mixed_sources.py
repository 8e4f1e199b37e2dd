"""A run on three sources of different forms, from the command line to report, card and a second run from its own config."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tunewright import api
from tunewright.cli.main import app
from tunewright.config.load_config import load
from tunewright.data import demo_data
from tunewright.launch import in_process, start_run
from tunewright.reporting import SILENT
from tunewright.rundir import file_names
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_end import end_problems

from .test_causal_lm import run_for

SMALL = ("train.max_steps=4", "train.eval_steps=2", "train.learning_rate=5e-3", "train.per_device_train_batch_size=4",
         "train.gradient_accumulation_steps=1", "eval.rows=3", "eval.max_new_tokens=4", "data.max_length=128",
         "data.max_truncated=1")  # fmt: skip


@pytest.fixture
def sources(tmp_path: Path, shop_rows: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Conversations, a table of questions and answers, and a document that is longer than a block."""
    monkeypatch.chdir(tmp_path)  # where runs without a folder of their own go
    table, book = tmp_path / "facts.csv", tmp_path / "book.md"
    table.write_text("question,answer\n" + "".join(f"What is {n} and {n}?,{2 * n}\n" for n in range(30)))
    book.write_text("# Lamps\n\n" + "\n".join(f"The lamp {n} is of brass, and {n} of glass." for n in range(60)))
    return [shop_rows, table, book]


def mixed(sources: Sequence[Path]) -> str:
    chats, table, book = map(str, sources)
    return json.dumps([{"path": chats, "rows": 20}, {"path": table, "weight": 2}, book])


def command(*words: object, ends: int = 0) -> str:
    outcome = CliRunner().invoke(app, list(map(str, words)))
    assert outcome.exit_code == ends, outcome.output
    return outcome.output


def flags(sets: Sequence[str]) -> list[str]:
    return [word for text in sets for word in ("--set", text)]


def test_three_sources_train_and_are_accounted_for_everywhere(
    tiny_model: Callable[..., Path], sources: list[Path], tmp_path: Path
) -> None:
    model, train = tiny_model(), f"data.train={mixed(sources)}"
    checked = json.loads(command("data", "check", *sources, "-m", model, "--json", *flags([train, *SMALL[-2:]])))
    account = checked["account"]
    assert account["rows"] == 71 == account["used"] + account["held_out"] + account["dropped"] + account["not_drawn"]
    assert [(s["format"], s["rows"], s["not_drawn"]) for s in account["sources"]] == [
        ("messages", 40, 20), ("question_answer", 30, 0), ("text", 1, 0),
    ]  # fmt: skip
    shown = command("data", "check", *sources, "-m", model, *flags([train, *SMALL[-2:]]))
    assert "not drawn" in shown and "41 to 70" in shown and "several formats" in shown
    planned = command("plan", model, *flags([train, *SMALL]))
    assert "3 sources" in planned and "weight 2" in planned and "rows 20" in planned

    command("train", model, "-q", "-o", tmp_path / "run", *flags([train, *SMALL]))
    run = RunDir(tmp_path / "run")
    assert run.state() == "finished"
    summary = run.data_summary()
    assert summary and summary.sources[1].sequences == 2 * summary.sources[1].used
    assert summary.sources[2].used == 1 and summary.sources[2].sequences > 1, "a document goes on in further blocks"
    assert run.plan().facts.data.num_sequences == summary.blocks.train
    figures: Any = api.summary(run)
    assert [source["mix"] for source in figures["sources"]] == ["rows 20", "weight 2", ""]
    measured = [s for s in figures["sources"] if s["held_out"]]
    assert measured and all(s["loss_before"] > 0 and s["loss_after"] > 0 for s in measured)
    report = run.file(file_names.REPORT).read_text()
    assert all(path.name in report for path in sources)
    card = (run.adapter_dir / "README.md").read_text()
    assert "`facts.csv`" in card and "weight 2" in card and "20 rows were drawn" in card
    assert "data.train=" in card

    config = load(config=run.file(file_names.CONFIG))
    assert config.run.data.paths == tuple(str(path.resolve()) for path in sources)
    again = start_run.create(config, api.plan(config), force=False, reporter=SILENT)
    assert in_process.work(again) == 0
    logged = [[event.loss for event in one.read_events() if event.kind == "log"] for one in (run, again)]
    assert logged[0] == logged[1] and len(logged[0]) == 4


def test_a_changed_source_is_noticed_before_anything_is_computed(
    tiny_model: Callable[..., Path], sources: list[Path], tmp_path: Path
) -> None:
    loaded = api.load(named={"model.name": str(tiny_model())}, sets=[f"data.train={mixed(sources)}", *SMALL])
    run = start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT)
    with sources[1].open("a") as file:
        file.write("What is new?,this\n")
    assert in_process.work(run) != 0
    assert [problem.code for problem in end_problems(run)] == ["E502"]


def test_several_files_follow_one_another_on_the_command_line(
    tiny_model: Callable[..., Path], sources: list[Path]
) -> None:
    planned = json.loads(command("plan", tiny_model(), *sources, "--json", *flags(SMALL)))
    assert [source["path"] for source in planned["sources"]] == list(map(str, sources))
    missing = command("plan", tiny_model(), sources[0], "nothing.jsonl", "nor.csv", ends=4)
    assert missing.count("E201") >= 2


@pytest.mark.parametrize("task", ["seq_cls", "token_cls", "seq2seq"])
def test_the_other_tasks_are_mixed_too(
    task: str, tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    views = {"seq_cls": demo_data.as_label, "token_cls": demo_data.as_tags, "seq2seq": demo_data.as_pair}
    more = tmp_path / "more.jsonl"
    rows = (views[task](row) for row in demo_data.generate("held_out", 16, 1))
    more.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train = [{"path": str(task_rows[task]), "weight": 0.5}, {"path": str(more), "weight": 1.5}]
    model = tiny_model("t5" if task == "seq2seq" else "bert")
    run = run_for(model, task_rows[task], tmp_path / "run", **{"data.train": train, "task": task, "train.max_steps": 3})
    summary = run.dir.data_summary()
    assert summary and summary.rows == summary.used + summary.held_out + summary.dropped + summary.not_drawn == 40
    assert summary.blocks.train > summary.used
