"""Words for what is in the loss, and for what a run changed."""

import pytest

from tunewright.data.summary import DataSummary
from tunewright.report.formatting import in_loss, main_change, number
from tunewright.rundir.records import RunResult


def test_a_run_is_told_by_the_score_that_people_read_first() -> None:
    scores = RunResult(
        before={"held_out_loss": 2.0, "exact_match": 0.0}, after={"held_out_loss": 1.0, "exact_match": 0.75}
    )
    assert main_change(scores, "→") == "Answers exactly right 0\u00a0% → 75.0\u00a0%"
    assert main_change(RunResult(after={"held_out_loss": 1.0}), "->").endswith("– -> 1.000")
    assert main_change(RunResult(), "->") == main_change(None, "->") == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(1987.25, "1987"), (0.123456, "0.1235"), (9999.7, "10,000"), (123456.0, "123,456"), (-2.5e6, "-2,500,000"), (3e15, "3e+15")],
)  # fmt: skip
def test_a_number_has_four_digits_and_loses_none_before_the_point(value: float, text: str) -> None:
    assert number(value) == text


def test_labels_of_equal_counts_are_two_different_ones() -> None:
    summary = DataSummary.model_construct(labels={"a": 3, "b": 3, "c": 3}, problem_type="single_label_classification")
    assert in_loss(summary) == "labels: 3, from a (3) to c (3)"
    assert in_loss(summary.model_copy(update={"labels": {"a": 5, "b": 1}})) == "labels: 2, from b (1) to a (5)"
