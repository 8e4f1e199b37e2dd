"""Classifiers and taggers behind the front: the labels of the run itself, with the probability of each."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

import tunewright as tw
from tunewright.engine.session_server import SessionServer
from tunewright.extras.session_answers import label
from tunewright.extras.session_requests import LabelRequest
from tunewright.rundir.session_protocol import AnswerRequest, TextInput, WordsInput

from .test_causal_lm import run_for

TEXTS = ("cancel my order 12", "where is my parcel")
SUM = 1e-5  # of probabilities in fp32


@pytest.mark.parametrize("task", ["seq_cls", "token_cls"])
def test_labels_are_those_of_the_run_itself(
    task: str, tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    run = run_for(tiny_model("bert"), task_rows[task], tmp_path / "run", task=task)
    session = SessionServer(run.dir, lambda _reply: None)
    texts: list[TextInput | WordsInput] = [{"text": text, "pair": ""} for text in TEXTS]
    words: list[TextInput | WordsInput] = [{"words": text.split()} for text in TEXTS]
    inputs = words if task == "token_cls" else texts
    result = label(session, LabelRequest(inputs))
    answers = session.answer(AnswerRequest(inputs, max_new_tokens=1, with_base=False))
    assert {tag for tags in result.assigned for tag in tags} <= set(result.labels) and result.tokens > 0
    if task == "token_cls":
        assert [len(tags) for tags in result.assigned] == [len(text.split()) for text in TEXTS]
        assert result.probabilities == [[], []]
        return
    assert [labels[0] for labels in result.assigned] == answers.tuned
    for labels, probabilities in zip(result.assigned, result.probabilities, strict=True):
        assert sum(probabilities) == pytest.approx(1, abs=SUM)
        assert result.labels[max(range(len(probabilities)), key=probabilities.__getitem__)] == labels[0]


@pytest.mark.processes
def test_a_classifier_is_served_by_its_own_session(
    tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    run = run_for(tiny_model("bert"), task_rows["seq_cls"], tmp_path / "run", task="seq_cls")
    with tw.serve(run) as served:
        assert served.engine == "transformers" and served.problem and not served.writes
        ask = {"model": run.name, "input": list(TEXTS)}
        answer = httpx2.post(served.url + "/v1/classify", json=ask, timeout=600)
        chat = {"model": run.name, "messages": [{"role": "user", "content": "x"}]}
        refused = httpx2.post(served.url + "/v1/chat/completions", json=chat, timeout=600)
        pair = httpx2.post(served.url + "/v1/classify", json={**ask, "input": [["a", "b"]]}, timeout=600)
        wrong = httpx2.post(served.url + "/v1/classify", json={**ask, "input": [["a", "b", "c"]]}, timeout=600)
    given = run.answers([{"text": text, "pair": ""} for text in TEXTS])
    run.close()
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [row["label"] for row in data] == [row["tuned"] for row in given]
    assert [row["num_classes"] for row in data] == [len(answer.json()["labels"])] * 2
    assert answer.json()["usage"]["prompt_tokens"] > 0
    assert (refused.status_code, pair.status_code, wrong.status_code) == (400, 200, 400)
