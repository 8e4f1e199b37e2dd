"""The base model with training rows in its prompt: what it is given, what is measured, where that cannot be."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tunewright.api.run_handle import TrainedRun
from tunewright.config.load_config import patch
from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.engine.session_server import SessionServer
from tunewright.engine.system.oom import BatchSizeBackoff
from tunewright.engine.training.build_trainer import make_evaluator
from tunewright.engine.training.loss_backends import plain_backend
from tunewright.errors import DataError
from tunewright.extras.few_shot.few_shot_prompts import with_examples

from .test_causal_lm import run_for


@pytest.fixture(scope="module")
def run(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path_factory: pytest.TempPathFactory
) -> TrainedRun:  # fmt: skip
    return run_for(tiny_model(), shop_rows, tmp_path_factory.mktemp("prompted") / "run")


@pytest.fixture(scope="module")
def session(run: TrainedRun) -> SessionServer:
    return SessionServer(run.dir, lambda message: None)


def learned(row: TokenizedExample) -> list[float]:
    return [label for label in row.labels if label != IGNORED]


def test_the_examples_stand_before_each_question_and_only_its_answer_is_measured(session: SessionServer) -> None:
    data = session.data()
    rows, num_shown = with_examples(session.plan, data, session.tokenizer, 2)
    assert num_shown == 2
    assert [row.number for row in rows] == [row.number for row in data.held_out]
    for row, alone in zip(rows, data.held_out, strict=True):
        assert learned(row) == learned(alone)
        assert all(label == IGNORED for label in row.labels[: row.prompt_length])
        assert len(row.input_ids) > len(alone.input_ids)
        assert row.input_ids[-len(learned(row)) :] == learned(row)
    texts = [session.tokenizer.decode(row.input_ids) for row in rows]
    beginning = texts[0][: texts[0].index(data.held_out_examples[rows[0].number].messages[-2].content)]
    assert all(text.startswith(beginning) for text in texts), "the same examples for all"
    assert not {row.number for row in data.train} & {row.number for row in rows}


def test_the_loss_is_that_of_the_answers_behind_the_examples(session: SessionServer) -> None:
    data = session.data()
    rows, _num_shown = with_examples(session.plan, data, session.tokenizer, 2)
    test = make_evaluator(
        session.plan, data, session.tokenizer, plain_backend(session.plan, data.train), BatchSizeBackoff()
    )
    with session.base() as base:
        assert isinstance(base, nn.Module)
        result = replace(test, rows=rows, num_answers=2).evaluate(base)
        row = rows[0]
        with torch.no_grad():
            logits_TV = base(input_ids=torch.tensor([row.input_ids])).logits[0]
    chances_TV = logits_TV.log_softmax(-1)
    expected_losses = [
        -float(chances_TV[t - 1, row.input_ids[t]]) for t in range(row.prompt_length, len(row.input_ids))
    ]
    assert result.losses[0].loss == pytest.approx(sum(expected_losses), rel=1e-4)
    assert result.losses[0].units == len(expected_losses)


def test_fewer_examples_are_shown_where_the_model_reads_no_more(session: SessionServer) -> None:
    data, plan = session.data(), session.plan
    longest = max(len(row.input_ids) for row in with_examples(plan, data, session.tokenizer, 3)[0])
    room = plan.facts.model.max_position_embeddings

    def shots_within(max_new_tokens: int) -> int:
        short = plan.model_copy(update={"run": patch(plan.run, {"eval.max_new_tokens": max_new_tokens})})
        return with_examples(short, data, session.tokenizer, 3)[1]

    assert shots_within(room - longest) == 3
    assert 0 < shots_within(room - longest + 1) < 3
    with pytest.raises(DataError, match="longer than the model reads"):
        shots_within(room - 2)


def test_of_conversations_and_cut_rows_the_same_is_measured_as_without_examples(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    rows = []
    for i in range(60):
        turns = [("user", f"Count {i}."), ("assistant", f"{i}, {i + 1}.")] * (1 + i % 3)
        messages = [{"role": role, "content": text} for role, text in turns]
        messages[-1]["content"] += " and more" * (30 if i % 5 == 0 else 1)
        rows.append({"messages": messages})
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"data.max_length": 100, "data.max_truncated": 1.0, "data.max_duplicates": 1.0}
    run = run_for(tiny_model(), tmp_path / "chat.jsonl", tmp_path / "run", **settings)
    result = run.prompted(1)
    run.close()
    alone, prompted = run.dir.losses("before"), run.dir.losses("prompted")
    assert any(row.is_truncated for row in SessionServer(run.dir, lambda message: None).data().held_out)
    assert [(row.row, row.units) for row in prompted] == [(row.row, row.units) for row in alone]
    assert [row.row for row in run.dir.samples("prompted")] == [row.row for row in run.dir.samples("before")]
    assert result["shots"] == 1


def test_whole_texts_and_long_talks_are_no_examples(session: SessionServer) -> None:
    data, plan = session.data(), session.plan
    plan_on_all = plan.model_copy(update={"run": patch(plan.run, {"data.train_on": "all"})})
    with pytest.raises(DataError, match="the loss is on whole texts"):
        with_examples(plan_on_all, data, session.tokenizer, 2)
    with pytest.raises(DataError, match="no row is one question"):
        with_examples(plan, replace(data, train=[]), session.tokenizer, 2)


def test_rows_of_several_exchanges_are_not_shown(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    turns = [("user", "Count."), ("assistant", "One, two.")] * 2
    rows = [{"messages": [{"role": r, "content": f"{text} {i}"} for r, text in turns]} for i in range(40)]
    (tmp_path / "talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = run_for(tiny_model(), tmp_path / "talks.jsonl", tmp_path / "run")
    with pytest.raises(DataError, match="no row is one question"):
        run.prompted(2)
    run.close()


def test_what_it_reached_is_kept_and_compared(run: TrainedRun) -> None:
    import tunewright

    result = run.prompted(2)
    run.close()
    assert result["shots"] == 2 and result["rows"] == run.result["rows"]
    comparison: dict[str, Any] = tunewright.compare_runs([run]).to_json()
    assert [row["name"] for row in comparison["rows"]] == ["base", "prompted", run.name]
    assert comparison["rows"][1]["metrics"]["held_out_loss"]["value"] == pytest.approx(
        result["scores"]["held_out_loss"]
    )
    assert comparison["shots"] == 2
    assert json.loads((run.path / "eval" / "prompted.json").read_text())["asked"] == 2


def test_a_run_that_labels_has_no_prompt_for_examples(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:  # fmt: skip
    rows = [{"text": f"word {i}", "label": "ab"[i % 2]} for i in range(40)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    labelled = run_for(tiny_model(), data, tmp_path / "labels", task="seq_cls")
    with pytest.raises(DataError, match="E230"):
        labelled.prompted()
