"""Scores of answers: the definitions, and the edges where a wrong prediction could count as right."""

from __future__ import annotations

import json

import pytest

from tunewright.metrics.confidence_intervals import wilson
from tunewright.metrics.metric_table import metrics_of
from tunewright.metrics.scoring import (
    classification_scores,
    exact_match,
    is_json_task,
    json_scores,
    multi_label_scores,
    regression_scores,
    tag_scores,
    text_scores,
)

GOLD = '{"intent":"order","item":"mug","count":2}'


@pytest.mark.parametrize(
    ("prediction", "equal"),
    [
        (GOLD, True),
        (f"  {GOLD}\n", True),
        ('{"count": 2, "item": "mug", "intent": "order"}', True),
        ('{"intent":"order","item":"mug","count":2.0}', True),
        ('{"intent":"order","item":"mug","count":"2"}', False),
        ('{"intent":"order","item":"Mug","count":2}', False),
        ('{"intent":"order","item":"mug"}', False),
        ('{"intent":"order","item":"mug","count":2,"city":"Rome"}', False),
        (GOLD + " Anything else?", False),
        (GOLD[:-1], False),
        (f"[{GOLD}]", False),
        ("", False),
    ],
)
def test_json_answers_are_compared_as_objects(prediction: str, equal: bool) -> None:
    assert exact_match([prediction], [GOLD]) == float(equal)


@pytest.mark.parametrize(
    ("prediction", "reference", "equal"),
    [
        (" refund ", "refund", True),
        ("Refund", "refund", False),
        ("2", "2.0", False),
        ("[1, 2]", "[1,2]", False),
        ("", "", True),
    ],
)
def test_other_answers_are_compared_as_stripped_text(prediction: str, reference: str, equal: bool) -> None:
    assert exact_match([prediction], [reference]) == float(equal)


def test_true_is_not_one() -> None:
    assert exact_match(['{"gift":true}'], ['{"gift":1}']) == 0.0
    assert json_scores(['{"gift":1}'], ['{"gift":true}'])["field_f1"] == 0.0
    assert exact_match(['{"a":[0,{"b":false}]}'], ['{"a":[0,{"b":0}]}']) == 0.0
    assert exact_match(['{"a": [0, {"b": false}]}'], ['{"a":[0,{"b":false}]}']) == 1.0


def test_exact_match_is_a_share_of_rows() -> None:
    assert exact_match(["a", "b", "c", "x"], ["a", "b", "c", "d"]) == 0.75
    assert exact_match([], []) == 0.0


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"longer|shorter"):
        exact_match(["a"], [])
    with pytest.raises(ValueError, match=r"longer|shorter"):
        json_scores([], [GOLD])


def test_field_f1_sums_over_rows_before_dividing() -> None:
    predictions = [GOLD, '{"intent":"order","item":"cup"}', "no JSON"]
    references = [GOLD, '{"intent":"order","item":"mug"}', '{"intent":"track"}']
    scores = json_scores(predictions, references)
    # Equal fields 3 + 1 + 0; predicted 3 + 2 + 0; gold 3 + 2 + 1.
    assert scores == {
        "valid": pytest.approx(2 / 3),
        "exact_match": pytest.approx(1 / 3),
        "field_f1": pytest.approx(2 * 4 / (5 + 6)),
    }


@pytest.mark.parametrize("prediction", ["", "{", "[1]", "null", "3", '"text"', "[" * 100_000])
def test_text_that_is_no_object_has_no_fields(prediction: str) -> None:
    assert json_scores([prediction], [GOLD]) == {"valid": 0.0, "exact_match": 0.0, "field_f1": 0.0}


def test_scores_of_no_rows_are_zero() -> None:
    assert json_scores([], []) == {"valid": 0.0, "exact_match": 0.0, "field_f1": 0.0}
    assert json_scores(["{}"], ["{}"]) == {"valid": 1.0, "exact_match": 1.0, "field_f1": 0.0}


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        ([GOLD, "{}"], True),
        ([f" {json.dumps({'a': [1]}, indent=2)}\n"], True),
        ([GOLD, "order"], False),
        (["[1]"], False),
        (["3"], False),
        ([], False),
    ],
)
def test_json_task_means_every_reference_is_an_object(references: list[str], expected: bool) -> None:
    assert is_json_task(references) is expected


def test_interval_equals_published_values() -> None:
    # Newcombe (1998), table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_interval_stays_between_zero_and_one() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 120)[0] == 0.0
    assert wilson(120, 120)[1] == 1.0
    for n in (1, 7, 120):
        for successes in range(n + 1):
            low, high = wilson(successes, n)
            assert 0.0 <= low <= successes / n <= high <= 1.0, (successes, n, low, high)


def test_macro_f1_is_the_same_whatever_the_labels_are_called() -> None:
    """Labels are a set, whose order is another one in each process: seen as a run that differed in its last digit."""
    gold = [i % 7 for i in range(120)]
    predicted = [(i * i + i // 11) % 7 for i in range(120)]
    scores = {
        classification_scores([f"{name}{i}" for i in predicted], [f"{name}{i}" for i in gold])["macro_f1"]
        for name in map(str, range(50))
    }
    assert len(scores) == 1


def test_the_table_names_the_scores_that_each_task_can_have() -> None:
    losses, json_names = {"held_out_loss"}, set(json_scores(["{}"], ["{}"]))
    tags = [tag_scores([[tag]], [[tag]]) for tag in ("B-city", "NOUN")]
    for task, problem_type, scores in (
        ("causal_lm", None, json_names | {"perplexity"}),
        ("seq2seq", None, json_names | set(text_scores(["a"], ["a"]))),
        ("seq_cls", "single_label_classification", set(classification_scores(["a"], ["a"]))),
        ("seq_cls", "multi_label_classification", set(multi_label_scores([["a"]], [["a"]]))),
        ("seq_cls", "regression", set(regression_scores([1.0], [2.0]))),
        ("token_cls", None, set(tags[0]) | set(tags[1])),
    ):
        assert set(metrics_of(task, problem_type)) == scores | losses, (task, problem_type)
