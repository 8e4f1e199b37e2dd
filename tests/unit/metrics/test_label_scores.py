"""Scores of labels, tags, numbers and texts: equal to what the field's own packages give.

The constants were computed once with seqeval 1.2.2, scikit-learn 1.9.1, sacrebleu 2.6.0 and rouge-score 0.1.2; none of them
is needed here. A difference in the last digits comes from the order of sums.
"""

import random

import pytest

from tunewright.data.examples.formats import Example
from tunewright.metrics.scoring import (
    classification_scores,
    entities,
    has_entities,
    majority_scores,
    multi_label_scores,
    regression_scores,
    tag_scores,
    text_scores,
)

# Tags of seqeval's default mode: predicted, gold, entities of the predicted ones, [accuracy, F1, precision, recall].
TAGGED = {
    "bio": (
        "B-PER I-PER O B-LOC I-LOC I-PER O I-LOC B-LOC",
        "B-PER I-PER O B-LOC I-LOC O O B-LOC I-LOC",
        [("PER", 0, 1), ("LOC", 3, 4), ("PER", 5, 5), ("LOC", 7, 7), ("LOC", 8, 8)],
        [0.6666666666666666, 0.5, 0.4, 0.6666666666666666],
    ),
    "iob1": (
        "I-PER I-PER O I-LOC B-LOC O I-PER",
        "I-PER I-PER O I-LOC I-LOC O I-LOC",
        [("PER", 0, 1), ("LOC", 3, 3), ("LOC", 4, 4), ("PER", 6, 6)],
        [0.7142857142857143, 0.28571428571428575, 0.25, 0.3333333333333333],
    ),
    "bioes": (
        "B-PER E-PER O S-LOC S-LOC B-PER I-PER O E-LOC",
        "B-PER E-PER O S-LOC S-LOC B-PER I-PER E-PER S-LOC",
        [("PER", 0, 1), ("LOC", 3, 3), ("LOC", 4, 4), ("PER", 5, 6), ("LOC", 8, 8)],
        [0.7777777777777778, 0.8, 0.8, 0.8],
    ),
    "types with hyphens": (
        "B-PER I-LOC I-LOC O B-LOC-X I-LOC-X",
        "B-PER I-PER I-LOC O B-LOC-X I-LOC-X",
        [("PER", 0, 0), ("LOC", 1, 2), ("LOC-X", 4, 5)],
        [0.8333333333333334, 0.3333333333333333, 0.3333333333333333, 0.3333333333333333],
    ),
    "without types": (
        "B I O I B O",
        "B I O B B O",
        [("_", 0, 1), ("_", 3, 3), ("_", 4, 4)],
        [0.8333333333333334, 1.0, 1.0, 1.0],
    ),
}
TAG_SCORES = ("accuracy", "entity_f1", "entity_precision", "entity_recall")


@pytest.mark.parametrize("case", TAGGED)
def test_entities_and_their_scores_are_those_of_seqeval(case: str) -> None:
    predicted, gold, expected, scores = TAGGED[case]
    assert entities(predicted.split()) == expected
    assert tag_scores([predicted.split()], [gold.split()]) == pytest.approx(dict(zip(TAG_SCORES, scores, strict=True)))


def test_entities_of_all_rows_are_counted_together() -> None:
    predicted, gold = ([TAGGED[case][side].split() for case in ("bio", "iob1", "bioes")] for side in (0, 1))
    expected = dict(zip(TAG_SCORES, [0.72, 0.56, 0.5, 0.6363636363636364], strict=True))
    assert tag_scores(predicted, gold) == pytest.approx(expected)


def test_bilou_says_the_same_as_bioes() -> None:
    rng = random.Random(1)
    tags = [rng.choice(["O", *(f"{p}-{k}" for p in "BIES" for k in ("A", "B"))]) for _ in range(500)]
    other = [f"L{tag[1:]}" if tag[0] == "E" else f"U{tag[1:]}" if tag[0] == "S" else tag for tag in tags]
    assert entities(other) == entities(tags)
    assert entities(["U-A", "U-A", "B-A", "L-A"]) == [("A", 0, 0), ("A", 1, 1), ("A", 2, 3)]


def test_bmes_says_the_same_as_bioes() -> None:
    assert (
        entities(["B-A", "M-A", "E-A", "S-B"]) == entities(["B-A", "I-A", "E-A", "S-B"]) == [("A", 0, 2), ("B", 3, 3)]
    )
    assert has_entities(["O", "B-A", "M-A", "E-A"])


def test_entities_end_with_the_row_and_do_not_run_into_the_next() -> None:
    assert entities([]) == []
    scores = tag_scores([["O", "B-A"], ["I-A"]], [["O", "B-A"], ["I-A"]])
    assert scores == {"accuracy": 1.0, "entity_f1": 1.0, "entity_precision": 1.0, "entity_recall": 1.0}
    assert tag_scores([["O"]], [["B-A"]])["entity_f1"] == 0.0


def test_plain_tags_have_no_entities() -> None:
    assert [has_entities(tags.split()) for tags in ("NN VB", "O O", "O B-A", "B-A NN", "B M E S", "B I O")] == [
        False, False, True, False, False, True,
    ]  # fmt: skip
    assert tag_scores([["NN", "VB"]], [["NN", "NN"]]) == pytest.approx({"accuracy": 0.5, "macro_f1": 1 / 3})


def test_classes_are_scored_as_scikit_learn_does() -> None:
    expected = {"accuracy": 0.6666666666666666, "macro_f1": 0.43809523809523804}
    assert classification_scores(list("aabbccdab"), list("abbbcaeab")) == pytest.approx(expected)


def test_sets_of_labels_are_scored_as_scikit_learn_does() -> None:
    predicted: list[tuple[str, ...]] = [("a", "b"), ("c",), (), ("a",)]
    gold: list[tuple[str, ...]] = [("a",), ("c",), ("b",), ("a", "d")]
    expected = {"accuracy": 0.25, "micro_f1": 0.6666666666666666, "macro_f1": 0.5}
    assert multi_label_scores(predicted, gold) == pytest.approx(expected)
    assert multi_label_scores([()], [()]) == {"accuracy": 1.0, "micro_f1": 0.0, "macro_f1": 0.0}


def test_numbers_are_scored_by_distance_and_correlation() -> None:
    predicted, gold = [1.0, 2.5, 3.0, 4.5], [1.5, 2.0, 3.5, 6.0]
    expected = {"mae": 0.75, "rmse": 0.8660254037844386, "pearson": 0.9428571428571428}
    assert regression_scores(predicted, gold) == pytest.approx(expected)
    assert regression_scores([2.0, 2.0], [1.0, 3.0])["pearson"] == 0.0


FOUND = [
    "The cat sat on the mat, didn't it?", "An order of 3,000 mugs for Rome (2-day delivery).",
    "no overlap whatsoever", "A dog ran.",
]  # fmt: skip
GOLD = [
    "The cat is on the mat, isn't it?", "An order for 3,000 blue mugs to Rome: 2-day delivery.",
    "something else entirely", "A dog ran away quickly.",
]  # fmt: skip


def test_texts_are_scored_as_sacrebleu_and_rouge_score_do() -> None:
    expected = {
        "exact_match": 0.0,
        "rouge1": 0.5993357487922705,
        "rouge2": 0.4107142857142857,
        "rougeL": 0.5775966183574879,
        "bleu": 0.27037056445631086,
    }
    assert text_scores(FOUND, GOLD) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predicted", "gold", "bleu"),
    [
        (["the cat is on a mat today"], ["the dog sat on one mat now"], 0.08643019616048525),
        (["the cat sat", "a dog"], ["the cat sat", "a dog ran"], 0.8187307530779823),  # effective_order=True
        (["我今天想去北京看朋友。", "他买了3.5公斤苹果, 很好吃"], ["今天我想去北京看一个朋友。", "他买了3.5公斤的苹果, 真好吃"],
         0.4875252276927742),  # tokenize="zh"
        (["a b c d e"], ["a b c d e"], 1.0),
        (["x y"], ["a b"], 0.0),
        ([""], ["a b"], 0.0),
        ([], [], 0.0),
    ],
)  # fmt: skip
def test_bleu_smooths_what_is_missing_and_counts_chinese_characters(
    predicted: list[str], gold: list[str], bleu: float
) -> None:
    assert text_scores(predicted, gold)["bleu"] == pytest.approx(bleu)


def test_rouge_counts_chinese_characters_as_words() -> None:
    scores = text_scores(["北京 big"], ["北京 Big!"])
    assert (scores["rouge1"], scores["rouge2"], scores["rougeL"]) == (1.0, 1.0, 1.0)
    assert text_scores(["京北"], ["北京"])["rougeL"] == 0.5
    assert text_scores(["!"], ["?"])["rouge1"] == 0.0


def rows(*targets: str | tuple[str, ...] | float) -> list[Example]:
    return [Example(n, "f", n, text="t", target=target) for n, target in enumerate(targets)]


def tagged(*tags: str) -> list[Example]:
    return [Example(n, "f", n, words=tuple(row.split()), tags=tuple(row.split())) for n, row in enumerate(tags)]


def test_the_majority_is_what_stands_most_often_in_training() -> None:
    single = majority_scores(rows("a", "b", "b"), rows("b", "a", "b", "c"), "single_label_classification")
    assert single == pytest.approx({"accuracy": 0.5, "macro_f1": 2 / 9})
    several = majority_scores(rows(("a",), ("a",), ()), rows(("a",), ()), "multi_label_classification")
    assert several == pytest.approx({"accuracy": 0.5, "micro_f1": 2 / 3, "macro_f1": 2 / 3})
    number = majority_scores(rows(1.0, 3.0), rows(2.0, 4.0), "regression")
    assert number == pytest.approx({"mae": 1.0, "rmse": 2**0.5, "pearson": 0.0})
    tags = majority_scores(tagged("O O B-A"), tagged("O O", "B-A I-A"), None)
    assert tags == {"accuracy": 0.5, "entity_f1": 0.0, "entity_precision": 0.0, "entity_recall": 0.0}
    plain = majority_scores(tagged("N N V"), tagged("N V"), None)
    assert plain == pytest.approx({"accuracy": 0.5, "macro_f1": 1 / 3})
