"""The verdict: which metric decides, what the tuned model is held against, and what it takes to say better or worse."""

from typing import Any

import pytest

from tests.records import as_event
from tunewright.config.tasks import TASKS, Task
from tunewright.metrics.confidence_intervals import wilson
from tunewright.metrics.metric_table import DECIDING, METRICS
from tunewright.report.verdict import Verdict, judge, pair
from tunewright.rundir.events import ScoreEvent

Scores = dict[str, float]


def event(rows: int = 100, held_out: int = 100, **scores: float) -> ScoreEvent:
    return as_event({"kind": "score", "scores": scores, "rows": rows, "held_out_rows": held_out})  # type: ignore[return-value]


def verdict_of(
    before: ScoreEvent | None,
    after: ScoreEvent | None,
    task: Task = "causal_lm",
    *,
    baseline: Scores | None = None,
    intervals: Any = None,
    references: tuple[str, str] = ("base", ""),
    num_held_out: int = 100,
) -> Verdict:
    scores = pair(task, before, after, baseline=baseline, intervals=intervals)
    return judge(task, before, after, scores, num_held_out=num_held_out, references=references)


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
        (event(exact_match=0.5, valid=0.5), event(exact_match=0.5, valid=0.9), "unclear", "exact_match"),
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
    before: ScoreEvent, after: ScoreEvent | None, kind: str, metric: str | None
) -> None:
    verdict = verdict_of(before, after)
    assert (verdict.kind, verdict.metric) == (kind, metric)
    assert "{" not in verdict.sentence()
    assert verdict.to_json()["sentence"] == verdict.sentence()


@pytest.mark.parametrize(
    ("before", "after", "kind", "metric"),
    [
        (event(exact_match=0.0, rougeL=0.1), event(exact_match=0.6, rougeL=0.7), "better", "exact_match"),
        (event(exact_match=0.0, rougeL=0.1), event(exact_match=0.02, rougeL=0.5), "better", "rougeL"),
        (event(exact_match=0.0, rougeL=0.50), event(exact_match=0.02, rougeL=0.53), "unclear", "exact_match"),
        (event(exact_match=0.0, rougeL=0.5), event(exact_match=0.0, rougeL=0.1), "worse", "rougeL"),
        (event(exact_match=0.0, rougeL=0.0, **SAME), event(exact_match=0.0, rougeL=0.0, **LOW), "better", LOSS),
    ],
)
def test_where_exact_matches_are_too_few_common_words_decide(
    before: ScoreEvent, after: ScoreEvent, kind: str, metric: str
) -> None:
    verdict = verdict_of(before, after, "seq2seq")
    assert (verdict.kind, verdict.metric) == (kind, metric)
    assert "{" not in verdict.sentence()


MAJORITY = ("untrained head", "majority class")


def test_labels_are_held_against_the_better_of_base_and_baseline() -> None:
    before, after = event(accuracy=0.04), event(accuracy=0.97)
    verdict = verdict_of(before, after, "seq_cls", baseline={"accuracy": 0.12}, references=MAJORITY)
    assert (verdict.kind, verdict.metric, verdict.reference) == ("better", "accuracy", "majority class")
    assert verdict.sentence().replace("\u00a0", " ") == (
        "97.0 % of 100 held-out rows came out right; always answering the most frequent class gives 12.0 %: "
        "+85 points (95 % interval +75 to +90)."
    )


def test_a_base_that_knows_the_labels_is_what_is_to_beat() -> None:
    verdict = verdict_of(
        event(accuracy=0.9),
        event(accuracy=0.6),
        "seq_cls",
        baseline={"accuracy": 0.5},
        references=("base", "majority class"),
    )
    assert (verdict.kind, verdict.reference) == ("worse", "base")
    assert "the base model gives 90.0" in verdict.sentence()
    assert verdict.title() == "No, worse than the base model"


@pytest.mark.parametrize(
    ("after", "kind", "title"),
    [
        (0.62, "unclear", "Not shown to be better than one answer for all"),
        (0.30, "worse", "No, one answer for all would be better"),
    ],
)
def test_better_than_an_untrained_head_is_not_enough(after: float, kind: str, title: str) -> None:
    verdict = verdict_of(
        event(accuracy=0.1), event(accuracy=after), "seq_cls", baseline={"accuracy": 0.6}, references=MAJORITY
    )
    assert (verdict.kind, verdict.title()) == (kind, title)


@pytest.mark.parametrize(("around", "kind"), [((0.4, 0.6), "better"), ((1.2, 2.4), "unclear"), ((3.1, 3.5), "worse")])
def test_of_an_error_less_is_better(around: tuple[float, float], kind: str) -> None:
    middle = sum(around) / 2
    verdict = verdict_of(
        event(rmse=5.0), event(rmse=middle), "seq_cls", baseline={"rmse": 2.0}, references=("untrained head", "mean"),
        intervals={"before": {"rmse": (4.0, 6.0)}, "baseline": {"rmse": (1.7, 2.3)}, "after": {"rmse": around}},
    )  # fmt: skip
    assert (verdict.kind, verdict.metric, verdict.reference) == (kind, "rmse", "mean")
    assert "always answering the mean gives 2.000" in verdict.sentence()
    assert "{" not in verdict.sentence()


def test_entities_decide_before_single_words() -> None:
    intervals = {"after": {"entity_f1": (0.2, 0.6), "accuracy": (0.97, 0.99)}, "before": {"accuracy": (0.6, 0.64)}}
    before, after = event(entity_f1=0.35, accuracy=0.62), event(entity_f1=0.4, accuracy=0.98)
    assert verdict_of(before, after, "token_cls", intervals=intervals).metric == "entity_f1"
    plain = verdict_of(event(accuracy=0.62), event(accuracy=0.98), "token_cls", intervals=intervals)
    assert (plain.kind, plain.metric) == ("better", "accuracy")


def test_a_score_without_an_interval_decides_nothing() -> None:
    before, after = event(entity_f1=0.1, **SAME), event(entity_f1=0.9, **LOW)
    assert verdict_of(before, after, "token_cls").metric == "held_out_loss"


def test_only_an_interval_makes_a_verdict_clear() -> None:
    by_answers = verdict_of(event(exact_match=0.1), event(exact_match=0.6))
    by_loss = verdict_of(event(0, **SAME), event(0, **LOW))
    assert by_answers.title() == "Yes, clearly better"
    assert by_loss.title() == "Yes, as far as the loss can tell"


def test_tokens_are_spoken_of_only_where_tokens_were_predicted() -> None:
    sentence = verdict_of(event(0, perplexity=2.7, **SAME), event(0, perplexity=1.6, **LOW)).sentence()
    assert "hesitated among 2.72 tokens" in sentence
    assert "tokens" not in verdict_of(event(0, **SAME), event(0, **LOW), "token_cls").sentence()


def test_without_held_out_rows_nothing_is_claimed() -> None:
    verdict = verdict_of(None, None, num_held_out=0)
    assert verdict.kind == "unknown"
    assert "No rows were held out" in verdict.sentence()


def test_the_intervals_of_a_share_of_rows_are_wilsons() -> None:
    (score,) = pair("causal_lm", event(10, exact_match=0.0), event(10, exact_match=1.0))
    assert score.intervals == {"before": wilson(0, 10), "after": wilson(10, 10)}
    assert score.is_count


def test_accuracy_counts_rows_of_classes_but_words_of_tags() -> None:
    of_rows = pair("seq_cls", None, event(accuracy=0.5), baseline={"accuracy": 0.25})
    assert of_rows[0].intervals == {"after": wilson(50, 100), "baseline": wilson(25, 100)}
    of_words = pair("token_cls", None, event(accuracy=0.5))
    assert (of_words[0].intervals, of_words[0].is_count) == ({}, False)


def test_a_loss_and_an_f1_have_no_interval() -> None:
    both = pair("causal_lm", event(field_f1=0.2, held_out_loss=3.0), event(field_f1=0.9, held_out_loss=0.5))
    assert [(score.metric, score.difference) for score in both] == [("field_f1", None), ("held_out_loss", None)]


def test_scores_stand_in_reading_order_with_unknown_ones_last() -> None:
    names = {"perplexity": 2.0, "meteor": 0.1, "valid": 0.5, "held_out_loss": 0.7, "exact_match": 0.5}
    assert [score.metric for score in pair("causal_lm", event(**names), None)] == [
        "exact_match", "valid", "held_out_loss", "perplexity", "meteor",
    ]  # fmt: skip


def test_an_answer_score_counts_answers_and_a_loss_counts_all_held_out_rows() -> None:
    both = pair("causal_lm", None, event(20, 150, exact_match=0.5, held_out_loss=1.0))
    assert [score.rows for score in both] == [20, 150]


def test_every_task_has_metrics_that_decide() -> None:
    assert set(DECIDING) == set(TASKS)
    assert {name for names in DECIDING.values() for name in names} <= set(METRICS)


@pytest.mark.parametrize(
    ("after", "interval", "kind", "words"),
    [
        (0.5, (-0.6, -0.4), "better", "fell from 1.000 to 0.500 (−0.5, 95 % interval −0.6 to −0.4)"),
        (1.5, (0.4, 0.6), "worse", "rose from 1.000 to 1.500 (+0.5, 95 % interval +0.4 to +0.6)"),
        (0.9, (-0.3, 0.1), "unclear", "That can be chance: −0.1, 95 % interval −0.3 to +0.1."),
        (0.995, (-0.006, -0.004), "unclear", "a difference of less than 1 % shows nothing"),
    ],
)
def test_a_loss_is_judged_by_its_rows(after: float, interval: tuple[float, float], kind: str, words: str) -> None:
    before, end = event(0, 150, **SAME), event(0, 150, held_out_loss=after)
    scores = pair("causal_lm", before, end, paired={LOSS: interval})
    verdict = judge("causal_lm", before, end, scores, num_held_out=150)
    assert (verdict.kind, verdict.metric) == (kind, LOSS)
    assert words in verdict.sentence().replace("\u00a0", " ")
