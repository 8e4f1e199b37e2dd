"""Label answers counted: confusions, what is found of each label, and the intervals these give."""

import pytest

from tests.records import samples
from tunewright.metrics import confidence_intervals, confusion_matrix
from tunewright.metrics.confusion_matrix import Confusion, ConfusionMatrix, LabelCounts
from tunewright.metrics.evaluated_rows import Sample


def rows(*answers: tuple[str, str]) -> list[Sample]:
    return samples({"reference": reference, "answer": predicted} for reference, predicted in answers)


def several(*answers: tuple[str, str]) -> list[Sample]:
    """Rows with several labels, a letter each."""
    return samples({"gold_labels": list(gold), "labels": list(predicted)} for gold, predicted in answers)


CLASSES = rows(("a", "a"), ("a", "b"), ("a", "b"), ("b", "b"), ("b", "c"), ("c", "c"))
TAGGED = samples(
    [
        {"gold_tags": ["B-city", "I-city", "O", "B-count"], "tags": ["B-city", "I-city", "O", "O"]},
        {"gold_tags": ["B-city", "O"], "tags": ["B-city", "I-city"]},
    ]
)


def test_confusions_come_with_the_rows_they_could_have_been() -> None:
    assert confusion_matrix.confusions(CLASSES) == [Confusion("a", "b", 2, 3), Confusion("b", "c", 1, 2)]
    assert confusion_matrix.confusions(rows(("a", "a"))) == []


def test_the_matrix_holds_every_row_once() -> None:
    assert confusion_matrix.matrix(CLASSES, most=12) == ConfusionMatrix(
        ("a", "b", "c"), ((1, 2, 0), (0, 1, 1), (0, 0, 1))
    )
    assert confusion_matrix.matrix(rows(("a", "z")), most=12) == ConfusionMatrix(("a", "z"), ((0, 1), (0, 0)))


def test_of_many_labels_those_that_are_confused_are_shown_and_the_others_together() -> None:
    many = [(name, name) for name in "abcdefgh" for _ in range(3)]
    matrix = confusion_matrix.matrix(rows(*many, ("g", "h"), ("b", "q")), most=4)
    assert matrix.labels == ("b", "g", "h", None)
    assert matrix.counts == ((3, 0, 0, 1), (0, 3, 1, 0), (0, 0, 3, 0), (0, 0, 0, 15))


def test_of_each_class_it_is_counted_what_was_found() -> None:
    by_name = {label.label: label for label in confusion_matrix.by_label("label", CLASSES)}
    assert by_name["b"] == LabelCounts("b", equal=1, predicted=3, gold=2)
    assert (by_name["b"].precision, by_name["b"].recall, by_name["b"].f1) == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert [label.label for label in confusion_matrix.by_label("label", CLASSES)] == ["a", "b", "c"], (
        "the most frequent first"
    )


def test_several_labels_of_a_row_count_each_and_none_counts_nothing() -> None:
    counts = confusion_matrix.by_label("labels", several(("ab", "bc"), ("a", ""), ("", "a")))
    assert counts == [LabelCounts("a", 0, 1, 2), LabelCounts("b", 1, 1, 1), LabelCounts("c", 0, 1, 0)]
    assert (counts[2].precision, counts[2].recall) == (0.0, None)


def test_a_label_with_a_comma_is_one_label() -> None:
    row = {"gold_labels": ["Clothing, Shoes", "Toys"], "labels": ["Clothing, Shoes"]}
    assert confusion_matrix.by_label("labels", samples([row])) == [
        LabelCounts("Clothing, Shoes", 1, 1, 1),
        LabelCounts("Toys", 0, 0, 1),
    ]


def test_an_entity_is_right_only_as_a_whole() -> None:
    assert confusion_matrix.by_label("entities", TAGGED) == [
        LabelCounts("city", 1, 2, 2),
        LabelCounts("count", 0, 0, 1),
    ]


def test_plain_tags_count_word_by_word() -> None:
    tagged = samples([{"gold_tags": ["DET", "NOUN"], "tags": ["DET", "VERB"]}])
    assert confusion_matrix.by_label("tags", tagged) == [
        LabelCounts("DET", 1, 1, 1),
        LabelCounts("NOUN", 0, 0, 1),
        LabelCounts("VERB", 0, 1, 0),
    ]


def test_the_intervals_come_from_the_counts() -> None:
    assert confusion_matrix.intervals("entities", TAGGED) == {
        "entity_f1": confidence_intervals.of_f1(1, 2, 3), "accuracy": confidence_intervals.of_share(4 / 6, 6),
    }  # fmt: skip
    assert confusion_matrix.intervals("labels", several(("ab", "bc"))) == {
        "micro_f1": confidence_intervals.of_f1(1, 2, 2)
    }
    assert set(confusion_matrix.intervals("number", rows(*[("1", "2.5")] * 10))) == {"rmse"}
    assert confusion_matrix.intervals("label", CLASSES) == {} and confusion_matrix.intervals("text", []) == {}


def test_the_baseline_has_intervals_too() -> None:
    numbers = rows(*[(str(n), "0") for n in range(10)])
    assert confusion_matrix.constant_intervals("number", numbers, {"rmse": 2.9}) == {
        "rmse": confidence_intervals.of_rmse([n - 4.5 for n in range(10)])
    }
    assert confusion_matrix.constant_intervals("entities", TAGGED, {"accuracy": 0.5}) == {
        "accuracy": confidence_intervals.of_share(0.5, 6)
    }
    assert confusion_matrix.constant_intervals("label", CLASSES, {"accuracy": 0.5}) == {}
