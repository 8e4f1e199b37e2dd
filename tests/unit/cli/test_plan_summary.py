"""Scores in a few lines, by task."""

import io
from typing import Any

import pytest

from tests.records import as_event
from tunewright.cli import plan_summary
from tunewright.cli.console import Channel
from tunewright.rundir.records import BaselineRecord


def text_of(scores: dict[str, Any], **options: Any) -> list[str]:
    channel = Channel(io.StringIO(), False, False, None)
    plan_summary.score_table(scores, scores, channel, **options)
    assert isinstance(channel.stream, io.StringIO)
    return channel.stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("task", "scores", "line"),
    [
        ("causal_lm", {"held_out_loss": 2.0, "exact_match": 0.5}, "20 of 40 held-out answers exactly right"),
        ("causal_lm", {"held_out_loss": 2.0, "perplexity": 7.389}, "Held-out loss 2.000, Perplexity 7.389"),
        ("seq2seq", {"held_out_loss": 2.0, "exact_match": 0.25, "rougeL": 0.6}, "10 of 40 held-out answers exactly right"),
        ("seq_cls", {"held_out_loss": 0.1, "accuracy": 0.95, "macro_f1": 0.9}, "38 of 40 held-out rows right"),
        ("seq_cls", {"held_out_loss": 0.1, "mae": 0.3, "rmse": 0.42}, "Typical error (RMSE) 0.420, Mean error (MAE) 0.300"),
        ("token_cls", {"held_out_loss": 0.1, "accuracy": 0.98, "entity_f1": 0.9},
         "Entities right (F1) 90.0 %, Right (accuracy) 98.0 %"),
    ],
)  # fmt: skip
def test_a_score_is_said_as_its_task_counts(task: Any, scores: dict[str, float], line: str) -> None:
    assert (
        plan_summary.score_line(task, as_event({"kind": "score", "scores": scores, "rows": 40})).replace("\u00a0", " ")
        == line
    )


def test_scores_from_the_cache_say_so_and_when_they_were_computed() -> None:
    event = {"kind": "score", "which": "before", "scores": {"exact_match": 0.5}, "rows": 40}
    plain = plan_summary.score_line("causal_lm", as_event(event))
    cached = plan_summary.score_line("causal_lm", as_event({**event, "computed": 1.7e9}))
    assert cached.startswith(plain) and "from the cache, computed on 2023-11-1" in cached
    assert "cache" not in plain


def test_the_baseline_stands_between_base_and_tuned() -> None:
    baseline = BaselineRecord(name="majority class", scores={"accuracy": 0.12})
    lines = text_of({"held_out_loss": 0.5, "accuracy": 0.97}, base="untrained head", baseline=baseline)
    assert " ".join(lines[0].split()) == "untrained head most frequent class tuned"
    assert lines[1].split() == ["Right", "(accuracy)", "97.0", "%", "12.0", "%", "97.0", "%"]
    assert lines[2].split() == ["Held-out", "loss", "0.500", "–", "0.500"]


def test_without_a_baseline_two_columns_do() -> None:
    assert text_of({"exact_match": 1.0}, base="base")[0].split() == ["base", "tuned"]
