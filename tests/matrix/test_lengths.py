"""Long rows: data check, plan and training see the same rows cut in the same way, and advice leads on when it is pasted."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from typer.testing import CliRunner

from tunewright import api
from tunewright.cli.main import app
from tunewright.errors import DataError, TunewrightError

from .test_causal_lm import run_for

Rows = list[dict[str, Any]]
TINY = {"gpt2": {"n_positions": 64}, "bert": {"max_position_embeddings": 64}}


@pytest.fixture
def short(tiny_model: Callable[..., Path], tmp_path: Path) -> Callable[[str], Path]:
    """A tiny model with 64 positions."""

    def build(family: str) -> Path:
        source, folder = tiny_model(family), tmp_path / family
        folder.mkdir()
        for path in source.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        path = folder / "config.json"
        config = json.loads(path.read_text()) | TINY[family]
        path.write_text(json.dumps(config))
        auto = AutoModelForCausalLM if family == "gpt2" else AutoModel
        auto.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
        return folder

    return build


def write_rows(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reviews(count: int) -> Rows:
    """Texts of which every third is longer than 64 tokens."""
    return [{"text": f"review {n} " + "word " * (40 if n % 3 == 0 else 3), "label": "ab"[n % 2]} for n in range(count)]


def chats(count: int) -> Rows:
    """Answers of which every second is longer than 64 tokens."""
    return [{"prompt": f"ask {n}", "completion": f"say {n} " + "word " * (40 if n % 2 else 3)} for n in range(count)]


def verdict(
    data: Path, folder: Path, *sets: str, **settings: Any
) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    """Codes that stop, and codes of warnings with their values, by data check."""
    check = api.data_check(data, str(folder), sets=sets, **settings)
    return [p.code for p in check.stopping], [(p.code, dict(p.values)) for p in check.warnings]


def planned(data: Path, folder: Path, *sets: str, **settings: Any) -> Any:
    return api.plan(api.load(named={"model.name": str(folder), "data.train": str(data), **settings}, sets=sets))


def test_texts_to_be_labelled_are_cut_with_a_word(short: Callable[[str], Path], tmp_path: Path) -> None:
    folder, data = short("bert"), write_rows(tmp_path / "r.jsonl", reviews(30))
    stops, warnings = verdict(data, folder, task="seq_cls")
    assert stops == []
    assert warnings == [("W201", {"count": 10, "max_length": 64})]
    plan = planned(data, folder, task="seq_cls")
    (warning,) = plan.warnings()
    assert (warning.code, dict(warning.values)) == warnings[0]
    assert (plan.run.data.max_length, plan.run.data.max_truncated) == (64, 1.0)
    assert "10 rows are longer, up to" in next(
        choice.why() for choice in plan.choices if choice.path == "data.max_length"
    )
    plan_text = planned(data, folder, "data.max_length=64", task="seq_cls")  # the very value that was chosen
    assert plan_text.time is not None and plan_text.time.tokens == plan.time.tokens
    run = run_for(folder, data, tmp_path / "run", task="seq_cls", **{"data.holdout": 0.1})
    assert run.dir.data_summary().counts["truncated"] == 10


def test_tokens_of_the_plan_are_those_of_cut_rows(short: Callable[[str], Path], tmp_path: Path) -> None:
    folder, data = short("bert"), write_rows(tmp_path / "r.jsonl", reviews(30))
    plan = planned(data, folder, task="seq_cls")
    summary = api.data_check(data, str(folder), task="seq_cls").validated.summary
    assert plan.facts.data.mean_length == summary.tokens / summary.used < 64
    assert summary.lengths["longest"] > 64


def test_answers_that_are_cut_stop_all_three_alike_and_the_pasted_fix_leads_on(
    short: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, data = short("gpt2"), write_rows(tmp_path / "c.jsonl", chats(24))
    stops, _warnings = verdict(data, folder)
    assert stops == ["E215"]
    with pytest.raises(DataError) as caught:
        planned(data, folder)
    (problem,) = caught.value.problems
    assert problem.fixes() == ["--set data.max_truncated=1"]
    sets = shlex.split(problem.fixes()[0])[1:]
    assert verdict(data, folder, *sets)[0] == []
    assert planned(data, folder, *sets).run.data.max_length == 64
    named = {"data.max_truncated": 1.0, "data.holdout": 0.1}
    assert run_for(folder, data, tmp_path / "run", **named).dir.data_summary().counts["truncated"] == 12


def test_where_the_model_has_room_the_fix_is_a_longer_row(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    folder, data = tiny_model("gpt2"), write_rows(tmp_path / "c.jsonl", chats(24))
    with pytest.raises(DataError) as caught:
        planned(data, folder, "data.max_length=32")
    (fix,) = caught.value.problems[0].fixes()
    assert fix.startswith("--set data.max_length=")
    plan = planned(data, folder, *shlex.split(fix)[1:])
    assert (plan.facts.data.num_truncated, plan.warnings()) == (0, [])


def test_a_length_that_the_model_has_not_is_refused_by_data_check_and_plan_without_a_circle(
    short: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, data = short("bert"), write_rows(tmp_path / "r.jsonl", reviews(30))
    for look in (
        lambda s: verdict(data, folder, s, task="seq_cls"),
        lambda s: planned(data, folder, s, task="seq_cls"),
    ):
        with pytest.raises(TunewrightError) as caught:
            look("data.max_length=99")
        assert [p.code for p in caught.value.problems] == ["E109"]
        (fix,) = caught.value.problems[0].fixes()
        assert look(shlex.split(fix)[1])


def test_a_prompt_that_fills_all_positions_gets_no_advice_that_the_model_has_not(
    short: Callable[[str], Path], tmp_path: Path
) -> None:
    rows = [{"prompt": "ask " * 90, "completion": "x"}, *chats(24)]
    check = api.data_check(write_rows(tmp_path / "c.jsonl", rows), str(short("gpt2")))
    (problem,) = [p for p in check.stopping if p.code == "E209"]
    assert problem.fixes() == ["leave such rows out, counted: --skip-bad"]


@pytest.mark.parametrize("name", ["book.txt", "book.jsonl"])
def test_a_long_text_goes_on_in_the_next_block_and_is_learned_whole(
    short: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    folder, words = short("gpt2"), "once upon a time " * 60
    path = tmp_path / name
    path.write_text(words if name.endswith("txt") else json.dumps({"text": words}) + "\n")
    check = api.data_check(path, str(folder))
    assert check.stopping == ()
    assert [warning.code for warning in check.warnings] == (["W237"] if name.endswith("txt") else [])
    summary, rows = check.validated.summary, check.validated.train
    assert (summary.rows, summary.used, summary.blocks.train) == (1, 1, len(rows))
    assert len(rows) > 10 and max(len(row.input_ids) for row in rows) == 64
    learned = [label for row in rows for label in row.labels if label != -100]
    assert check.tokenizer.decode(learned).strip() == words.strip()
    plan = planned(path, folder, **{"data.holdout": 0})
    assert plan.facts.data.num_sequences == len(rows)
    assert plan.num_steps == -(-len(rows) // plan.effective_batch) * plan.run.train.num_train_epochs
    output = CliRunner().invoke(app, ["data", "check", str(path), "-m", str(folder)])
    assert f"1 row -> {len(rows)} blocks of up to 64 tokens" in output.output


def test_a_run_on_long_texts_counts_rows_and_tests_all_of_them(short: Callable[[str], Path], tmp_path: Path) -> None:
    rows = [{"text": f"story {n} " + "once upon a time " * (30 if n % 2 else 2)} for n in range(20)]
    folder, data = short("gpt2"), write_rows(tmp_path / "t.jsonl", rows)
    run = run_for(folder, data, tmp_path / "run", **{"train.max_steps": 2})
    account = run.dir.data_summary()
    assert account.used + account.held_out + account.dropped == account.rows == 20
    assert account.blocks.held_out > account.held_out == 4
    assert run.result["held_out_rows"] == 4
    losses = run.dir.losses("after")
    assert len({row.row for row in losses}) == len(losses) == 4
    again = run.evaluate()
    assert again["held_out_rows"] == 4
    assert again["after"]["held_out_loss"] == pytest.approx(run.result["after"]["held_out_loss"], rel=1e-5)
    run.close()


def test_a_short_text_is_one_block_as_before(short: Callable[[str], Path], tmp_path: Path) -> None:
    rows = [{"text": f"story {n}"} for n in range(12)]
    summary = api.data_check(write_rows(tmp_path / "t.jsonl", rows), str(short("gpt2"))).validated.summary
    assert summary.blocks.train == summary.used
