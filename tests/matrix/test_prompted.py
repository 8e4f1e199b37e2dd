"""The base model with training rows in its prompt: what it is given, what is measured, where that cannot be."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tunewright.data.encode import IGNORED, Encoded
from tunewright.engine.build import examiner
from tunewright.engine.evaluate import Examiner
from tunewright.engine.memory import Portions
from tunewright.engine.prompted import with_examples
from tunewright.engine.session import Session
from tunewright.engine.ways import plain_way
from tunewright.errors import DataError
from tunewright.trained import TrainedRun

from .test_causal_lm import run_for


@pytest.fixture(scope="module")
def run(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path_factory: pytest.TempPathFactory
) -> TrainedRun:  # fmt: skip
    return run_for(tiny_model(), shop_rows, tmp_path_factory.mktemp("prompted") / "run")


@pytest.fixture(scope="module")
def session(run: TrainedRun) -> Session:
    return Session(run.dir, lambda message: None)


def test_of(session: Session) -> Examiner:
    data = session.data()
    return examiner(session.plan, data, session.tokenizer, plain_way(session.plan, data.train), Portions())


test_of.__test__ = False  # type: ignore[attr-defined]


def asked(session: Session, shots: int, test: Examiner | None = None) -> tuple[Sequence[Encoded], int]:
    data = session.data()
    made, shown = with_examples(test or test_of(session), session.plan, data, session.tokenizer, shots)
    return made.rows, shown


def test_the_examples_stand_before_each_question_and_only_its_answer_is_measured(session: Session) -> None:
    plain, (rows, shown) = test_of(session), asked(session, 2)
    assert shown == 2
    assert [row.number for row in rows] == [row.number for row in plain.rows]
    for row, alone in zip(rows, plain.rows, strict=True):
        answer = [label for label in row.labels if label != IGNORED]
        assert answer == [label for label in alone.labels if label != IGNORED]
        assert all(label == IGNORED for label in row.labels[: row.prompt_length])
        assert len(row.ids) > len(alone.ids)
        assert row.ids[-len(answer) :] == answer
    texts = [session.tokenizer.decode(row.ids) for row in rows]
    beginning = texts[0][: texts[0].index(plain.examples[rows[0].number].messages[-2].content)]
    assert all(text.startswith(beginning) for text in texts), "the same examples for all"
    trained = {row.number for row in session.data().train}
    assert not trained & {row.number for row in rows}


def test_the_loss_is_that_of_the_answers_behind_the_examples(session: Session) -> None:
    rows, _shown = asked(session, 2)
    made = replace(test_of(session), rows=rows, answers=2)
    with session.base() as base:
        assert isinstance(base, nn.Module)
        found = made.evaluate(base)
        row = rows[0]
        with torch.no_grad():
            logits_TV = base(input_ids=torch.tensor([row.ids])).logits[0]
    chances_TV = logits_TV.log_softmax(-1)
    right = [-float(chances_TV[t - 1, row.ids[t]]) for t in range(row.prompt_length, len(row.ids))]
    assert found.losses[0]["loss"] == pytest.approx(sum(right), rel=1e-4)
    assert found.losses[0]["units"] == len(right)


def test_fewer_examples_are_shown_where_the_model_reads_no_more(session: Session) -> None:
    longest = max(len(row.ids) for row in asked(session, 3)[0])
    room = session.plan.facts.model.max_position_embeddings
    test = replace(test_of(session), max_new_tokens=room - longest + 1)
    assert asked(session, 3, test)[1] < 3
    with pytest.raises(DataError, match="E230"):
        asked(session, 3, replace(test, max_new_tokens=room - 2))


def test_what_it_reached_is_kept_and_compared(run: TrainedRun) -> None:
    import tunewright

    found = run.prompted(2)
    run.close()
    assert found["shots"] == 2 and found["rows"] == run.result["rows"]
    told: dict[str, Any] = tunewright.compare_runs([run]).to_json()
    assert [row["name"] for row in told["rows"]] == ["base", "prompted", run.name]
    assert told["rows"][1]["metrics"]["held_out_loss"]["value"] == pytest.approx(found["scores"]["held_out_loss"])
    assert told["shots"] == 2
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
