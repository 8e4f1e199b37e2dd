"""What a model lacks for the task is told by `plan` and `data check`, before anything starts."""

import json
from pathlib import Path

import pytest

from .conftest import Run


@pytest.mark.parametrize("verb", [("plan",), ("data", "check")])
def test_an_output_of_its_own_that_is_not_in_the_file_is_told(
    tw: Run, model: Path, rows: Path, verb: tuple[str, ...]
) -> None:
    words = (str(rows), "-m", str(model)) if verb[0] == "data" else (str(model), str(rows))
    assert tw(*verb, *words).code == 0
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": False}))
    ended = tw(*verb, *words)
    assert ended.code == 2
    assert "E316" in ended.err and "lm_head.weight" in ended.err


def test_a_model_that_labels_is_not_asked_for_an_output(tw: Run, model: Path, tmp_path: Path) -> None:
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": False}))
    rows = tmp_path / "labels.jsonl"
    rows.write_text("".join(json.dumps({"text": f"text {i}", "label": "ab"[i % 2]}) + "\n" for i in range(40)))
    assert tw("plan", str(model), str(rows), "--task", "seq_cls").code == 0


@pytest.mark.parametrize("task", ["seq2seq"])
def test_a_task_that_the_model_cannot_do_is_answered_with_one_that_it_can(
    tw: Run, model: Path, rows: Path, task: str
) -> None:
    ended = tw("plan", str(model), str(rows), "--task", task, "--json")
    (problem,) = json.loads(ended.err)["problems"]
    assert (ended.code, problem["code"]) == (2, "E306")
    assert problem["fixes"] == ["--task causal_lm", "a built-in model that can: --model bert2bert"]
    assert tw("plan", str(model), str(rows), "--task", "causal_lm").code == 0
