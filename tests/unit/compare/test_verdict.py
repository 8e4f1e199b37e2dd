"""The verdict: which metric decides, and what it takes to say better or worse."""

from typing import Any

import pytest

from tunewright.compare.verdict import Score, difference, judge, pair
from tunewright.data.score import interval


def event(rows: int = 100, held_out: int = 100, **scores: float) -> dict[str, Any]:
    return {"scores": scores, "rows": rows, "held_out_rows": held_out}


LOSS = "held_out_loss"
SAME, LOW, HIGH = {"held_out_loss": 1.0}, {"held_out_loss": 0.5}, {"held_out_loss": 2.0}


@pytest.mark.parametrize(
    ("before", "after", "kind", "metric"),
    [
        (event(exact_match=0.1, **SAME), event(exact_match=0.6, **LOW), "better", "exact_match"),
        (event(exact_match=0.50, **SAME), event(exact_match=0.55, **LOW), "unclear", "exact_match"),
        (event(exact_match=0.6, **SAME), event(exact_match=0.1, **LOW), "worse", "exact_match"),
        (event(exact_match=1.0, **SAME), event(exact_match=1.0, **LOW), "unclear", "exact_match"),
        (event(5, exact_match=0.2, **SAME), event(5, exact_match=0.6, **LOW), "unclear", "exact_match"),
        (event(exact_match=0.0, valid=0.1), event(exact_match=0.0, valid=0.9), "better", "valid"),
        (event(exact_match=0.0, valid=0.9), event(exact_match=0.0, valid=0.1), "worse", "valid"),
        (event(exact_match=0.0, valid=1.0, **SAME), event(exact_match=0.0, valid=1.0, **HIGH), "worse", LOSS),
        (event(6, exact_match=0.0, **SAME), event(6, exact_match=0.0, **LOW), "better", "held_out_loss"),
        (event(0, **SAME), event(0, **LOW), "better", "held_out_loss"),
        (event(0, **SAME), event(0, held_out_loss=0.995), "unclear", "held_out_loss"),
        (event(0, **SAME), event(0, **HIGH), "worse", "held_out_loss"),
        (event(0, 5, **SAME), event(0, 5, **LOW), "unclear", "held_out_loss"),
        (event(100, **SAME), event(90, **LOW), "unknown", None),
        (event(**SAME), None, "unknown", None),
        (event(held_out_loss=None), event(**LOW), "unknown", None),  # type: ignore[arg-type]
    ],
)
def test_the_first_metric_with_something_to_say_decides(
    before: dict[str, Any], after: dict[str, Any] | None, kind: str, metric: str | None
) -> None:
    verdict = judge(before, after, num_held_out=100)
    assert (verdict.kind, verdict.metric) == (kind, metric)
    assert "{" not in verdict.sentence()
    assert verdict.to_json()["sentence"] == verdict.sentence()


def test_only_an_interval_makes_a_verdict_clear() -> None:
    by_answers = judge(event(exact_match=0.1), event(exact_match=0.6), num_held_out=100)
    by_loss = judge(event(0, **SAME), event(0, **LOW), num_held_out=100)
    assert by_answers.title() == "Yes, clearly better"
    assert by_loss.title() == "Yes, as far as the loss can tell"


def test_without_held_out_rows_nothing_is_claimed() -> None:
    verdict = judge(None, None, num_held_out=0)
    assert verdict.kind == "unknown"
    assert "No rows were held out" in verdict.sentence()


def test_interval_of_the_difference_is_newcombes() -> None:
    # Newcombe (1998), table II, case a with method 10: 56/70 - 48/80.
    assert [round(end, 4) for end in difference((48, 80), (56, 70))] == [0.0524, 0.3339]


def test_the_intervals_of_a_score_are_wilsons_and_of_its_rows() -> None:
    score = Score("exact_match", before=0.0, after=1.0, rows=10)
    assert score.interval_before == interval(0, 10) and score.interval_after == interval(10, 10)
    assert score.difference == difference((0, 10), (10, 10))


def test_a_loss_and_an_f1_have_no_interval() -> None:
    both = pair(event(field_f1=0.2, held_out_loss=3.0), event(field_f1=0.9, held_out_loss=0.5))
    assert [(score.metric, score.difference) for score in both] == [("field_f1", None), ("held_out_loss", None)]


def test_scores_stand_in_reading_order_with_unknown_ones_last() -> None:
    names = {"perplexity": 2.0, "rouge": 0.1, "valid": 0.5, "held_out_loss": 0.7, "exact_match": 0.5}
    assert [score.metric for score in pair(event(**names), None)] == [
        "exact_match", "valid", "held_out_loss", "perplexity", "rouge",
    ]  # fmt: skip


def test_an_answer_score_counts_answers_and_a_loss_counts_all_held_out_rows() -> None:
    both = pair(None, event(20, 150, exact_match=0.5, held_out_loss=1.0))
    assert [score.rows for score in both] == [20, 150]
