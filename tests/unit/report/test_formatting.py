"""Words for what is in the loss."""

from tunewright.data.summary import DataSummary
from tunewright.report.formatting import in_loss


def test_labels_of_equal_counts_are_two_different_ones() -> None:
    summary = DataSummary.model_construct(labels={"a": 3, "b": 3, "c": 3}, problem_type="single_label_classification")
    assert in_loss(summary) == "labels: 3, from a (3) to c (3)"
    assert in_loss(summary.model_copy(update={"labels": {"a": 5, "b": 1}})) == "labels: 2, from b (1) to a (5)"
