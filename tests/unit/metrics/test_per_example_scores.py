"""Marks add up to the scores of the run: what is compared row by row is what was measured."""

from typing import Any

import pytest

from tests.records import samples
from tests.unit.report.conftest import (
    entity_scores,
    intent_rows,
    number_rows,
    rmse,
    sample_rows,
    share_right,
    tagged_rows,
)
from tunewright.metrics.per_example_scores import marks
from tunewright.metrics.scoring import json_scores, multi_label_scores, text_scores


def total(metric: str, kind: Any, rows: list[dict[str, Any]]) -> float:
    scores = marks(metric, kind, samples(rows))
    assert scores is not None and len(scores) == len(rows)
    return scores.value


def test_marks_of_texts_add_up_to_their_scores() -> None:
    rows = sample_rows(40, right_from=9)
    answers, references = [row["answer"] for row in rows], [row["reference"] for row in rows]
    for metric, value in json_scores(answers, references).items():
        assert total(metric, "text", rows) == pytest.approx(value), metric
    for metric, value in text_scores(answers, references).items():
        if metric != "bleu":
            assert total(metric, "text", rows) == pytest.approx(value), metric


def test_marks_of_labels_add_up_to_their_scores() -> None:
    rows = intent_rows(50, lambda i: i % 3 > 0)
    assert total("accuracy", "label", rows) == pytest.approx(share_right(rows))
    sets = [({"a, x", "b"}, {"a, x"}), ({"b"}, {"b"}), (set(), {"c, x"})]
    rows = [{"row": i, "gold_labels": sorted(gold), "labels": sorted(found)} for i, (found, gold) in enumerate(sets)]
    scores = multi_label_scores([predicted for predicted, _gold in sets], [gold for _predicted, gold in sets])
    assert total("accuracy", "labels", rows) == pytest.approx(scores["accuracy"])
    assert total("micro_f1", "labels", rows) == pytest.approx(scores["micro_f1"])


def test_marks_of_entities_add_up_to_their_scores() -> None:
    rows = tagged_rows(40, lambda i, tag: not tag.endswith("count") or i % 3 > 0)
    for metric, value in entity_scores(rows).items():
        assert total(metric, "entities", rows) == pytest.approx(value), metric


def test_marks_of_numbers_add_up_to_their_errors() -> None:
    rows = number_rows(30, lambda i: (i % 7 - 3) / 5)
    assert total("rmse", "number", rows) == pytest.approx(rmse(rows))
    assert total("mae", "number", rows) == pytest.approx(sum(abs((i % 7 - 3) / 5) for i in range(30)) / 30)


@pytest.mark.parametrize("metric", ["macro_f1", "bleu", "pearson", "held_out_loss", "perplexity"])
def test_scores_that_are_no_sums_over_rows_have_no_marks(metric: str) -> None:
    assert marks(metric, "text", samples(sample_rows(10, right_from=0))) is None
    assert marks("exact_match", "text", []) is None
