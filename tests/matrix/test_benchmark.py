"""`eval --benchmark` with a fake harness in a real worker: both models are asked, and no code of a task is run.

The real lm-evaluation-harness is no dependency of the tests: docs/decisions/0005 tells what it answered.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.collecting_reporter import CollectingReporter
from tunewright import api
from tunewright.engine.session_server import SessionServer
from tunewright.errors import TunewrightError
from tunewright.extras.lm_eval import harness_client

from .test_causal_lm import run_for

FAKE = Path(__file__).parent / "fake_harness"


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake harness is found by fresh processes."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ["PYTHONPATH"], str(FAKE)]))
    monkeypatch.setattr(harness_client, "find_spec", lambda name: True)


def mean_logit(session: SessionServer, **more: Any) -> tuple[float, float]:
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad(), session.base() as base:
        before = float(base(input_ids=ids, **more).logits[..., 7].mean())
    with torch.no_grad():
        return before, float(session.model(input_ids=ids, **more).logits[..., 7].mean())


def values(result: dict[str, Any], task: str = "counts") -> dict[str, tuple[float | None, float | None]]:
    metrics = result["tasks"][task]["metrics"]
    return {row["metric"]: (row["before"]["value"], row["after"]["value"]) for row in metrics}


@pytest.mark.usefixtures("harness")
@pytest.mark.parametrize(
    ("task", "family", "settings"),
    [
        ("causal_lm", "llama", {}),
        ("causal_lm", "llama", {"method": "prefix_tuning", "peft.num_virtual_tokens": 4}),
        ("seq2seq", "t5", {}),
    ],
)
def test_base_and_tuned_model_are_asked_the_same(
    task: str, family: str, settings: dict[str, Any], tiny_model: Callable[..., Path], task_rows: dict[str, Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    settings_of_run = {"task": task, "train.learning_rate": 2e-2, **settings}
    run = run_for(tiny_model(family), task_rows[task], tmp_path / "run", **settings_of_run)
    reporter = CollectingReporter()
    result = run.benchmark(["counts"], rows=3, reporter=reporter)
    assert reporter.steps == [(0, 2), (1, 2), (2, 2)]
    output = values(result)
    session = SessionServer(run.dir, lambda message: None)
    more = {"decoder_input_ids": torch.tensor([[5, 6, 7]])} if task == "seq2seq" else {}
    expected = mean_logit(session, **more)
    assert output["acc"] == pytest.approx(expected, abs=1e-4)
    assert abs(expected[1] - expected[0]) > 1e-3, "training changed nothing"
    assert output["ppl"] == (None, None), "infinity is no number of JSON"
    assert (output["scripts"], output["sandboxed"]) == ((0.0, 0.0), (1.0, 1.0))
    assert output["positions"] == (session.positions(), session.positions())
    counts = result["tasks"]["counts"]
    assert (result["harness"], counts["rows"], counts["num_fewshot"], counts["version"]) == ("0.0-fake", 3, 0, 1.0)
    assert counts["metrics"][0]["before"]["stderr"] == 0.5
    stored = run.dir.benchmark()
    assert stored and stored.model_dump(mode="json")["tasks"] == result["tasks"]
    json.dumps(result, allow_nan=False)


@pytest.mark.usefixtures("harness")
def test_tasks_that_are_not_there_or_fail_are_named(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = run_for(tiny_model(), shop_rows, tmp_path / "run")
    assert refusal(run, "counts", "gone", "lost") == ("E610", {"names": "gone, lost"})
    code, output = refusal(run, "fails")
    assert (code, output["reason"]) == ("E611", "ConnectionError: cannot reach")
    assert "the Hub" in run.dir.file("log.txt").read_text(), "the traceback is in the log"
    assert run.dir.benchmark() is None


def refusal(run: api.TrainedRun, *tasks: str) -> tuple[str, dict[str, Any]]:
    with pytest.raises(TunewrightError) as caught:
        run.benchmark(tasks)
    problem = caught.value.problems[0]
    return problem.code, dict(problem.values)
