"""Words for what is in the loss, and for what a run changed."""

from tunewright.data.summary import DataSummary
from tunewright.report.formatting import in_loss, main_change
from tunewright.rundir.records import RunResult


def test_a_run_is_told_by_the_score_that_people_read_first() -> None:
    scores = RunResult(
        before={"held_out_loss": 2.0, "exact_match": 0.0}, after={"held_out_loss": 1.0, "exact_match": 0.75}
    )
    assert main_change(scores, "→") == "Answers exactly right 0\u00a0% → 75.0\u00a0%"
    assert main_change(RunResult(after={"held_out_loss": 1.0}), "->").endswith("– -> 1.000")
    assert main_change(RunResult(), "->") == main_change(None, "->") == ""


def test_labels_of_equal_counts_are_two_different_ones() -> None:
    summary = DataSummary.model_construct(labels={"a": 3, "b": 3, "c": 3}, problem_type="single_label_classification")
    assert in_loss(summary) == "labels: 3, from a (3) to c (3)"
    assert in_loss(summary.model_copy(update={"labels": {"a": 5, "b": 1}})) == "labels: 2, from b (1) to a (5)"
