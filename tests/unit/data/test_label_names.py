"""Labels and tags of rows: which problem they pose, what becomes of them, and what is told of damage."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tunewright.data.deduplication import RowHashes
from tunewright.data.examples.convert import to_examples
from tunewright.data.examples.formats import Example, sniff
from tunewright.data.examples.label_kind import LabelKind, label_kind
from tunewright.data.examples.label_names import count_labels, label_names
from tunewright.data.files.readers import RawRow, read_rows
from tunewright.errors import Problem

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


def raw(*values: dict[str, Any]) -> list[RawRow]:
    return [RawRow(n, "f.jsonl", n, value) for n, value in enumerate(values, 1)]


def labelled(labels: Sequence[Any], problem_type: Any = "auto") -> tuple[list[Any], list[Problem], LabelKind]:
    """The targets of rows with these labels, their problems, and what kind the labels are."""
    rows = raw(*({"text": "t", "label": label} for label in labels))
    kind = label_kind(labels, problem_type)
    examples, problems = to_examples(rows, sniff(rows, task="seq_cls"), kind=kind)
    return [example.target for example in examples], problems, kind


def tagged(words: Any, tags: Any) -> tuple[list[Example], list[Problem]]:
    rows = raw({"tokens": words, "tags": tags})
    return to_examples(rows, sniff(rows, task="token_cls"))


@pytest.mark.parametrize(
    ("labels", "problem_type", "targets"),
    [
        (["pos", "neg "], SINGLE, ["pos", "neg"]),
        ([0, 1, 10], SINGLE, ["0", "1", "10"]),
        ([1.0, 2.0], SINGLE, ["1", "2"]),
        ([True, False], SINGLE, ["true", "false"]),
        (["1", "2"], SINGLE, ["1", "2"]),
        ([1, "2"], SINGLE, ["1", "2"]),
        (["404", "500", "timeout"], SINGLE, ["404", "500", "timeout"]),
        ([0.5, 1, 2], REGRESSION, [0.5, 1.0, 2.0]),
        (["0.5", " -3e2 ", "4"], REGRESSION, [0.5, -300.0, 4.0]),
        ([["b", "a"], [], ["b"]], MULTI, [("a", "b"), (), ("b",)]),
        ([[3, 1], [2]], MULTI, [("1", "3"), ("2",)]),
        (['["b", "a"]', "[]"], MULTI, [("a", "b"), ()]),
        ([[1, 0, 1], [False, True, False], [0.0, 0.0, 0.0]], MULTI, [("0", "2"), ("1",), ()]),
        ([["True", "False"], ["False", "True"]], MULTI, [("0",), ("1",)]),
        ([[0, 1], [0], [1]], MULTI, [("0", "1"), ("0",), ("1",)]),
        (["$5.50", "-€2", "3 元"], REGRESSION, [5.5, -2.0, 3.0]),
    ],
)
def test_the_problem_is_told_by_the_labels(labels: list[Any], problem_type: str, targets: list[Any]) -> None:
    labels_read, problems, kind = labelled(labels)
    assert (kind.problem_type, labels_read, problems) == (problem_type, targets, [])


def test_what_is_asked_for_goes_before_what_is_seen() -> None:
    assert labelled([1, 2, 5], REGRESSION)[0] == [1.0, 2.0, 5.0]
    assert labelled([0.5, 1.5], SINGLE)[0] == ["0.5", "1.5"]
    assert labelled(["a;b", "b"], MULTI)[0] == [("a", "b"), ("b",)]
    assert labelled(["1|0|1", "0|0|1"], MULTI)[0] == [("0", "2"), ("2",)]


def test_a_word_for_no_value_is_no_class_among_numbers() -> None:
    labels, problems, kind = labelled(["1.5", "n/a", "2.5", "n/a", "0.5"])
    assert (labels, kind.notes) == ([1.5, 2.5, 0.5], ())
    assert {problem.message() for problem in problems} == {'label ("n/a") is missing'}


@pytest.mark.parametrize(
    ("labels", "damaged", "code", "sentence"),
    [
        (["a", "b"], None, "E207", "label is missing"),
        (["a", "b"], " ", "E203", "the label is empty"),
        (["a", "b"], ["a"], "E206", "label must be text, got a list"),
        (["a", "b"], 3, "E206", "label must be text, got a whole number"),
        (["a", "b"], {"x": 1}, "E206", "label must be text, got an object"),
        (["a", "b"], "a\x07", "E244", "the control character U+0007 is in label"),
        ([0, 1], "high", "E206", "label must be a number, got text"),
        ([0, 1], True, "E206", "label must be a number, got true or false"),
        ([True, False], 1, "E206", "label must be true or false, got a whole number"),
        ([0.5, 1.5], "high", "E206", "label must be a number, got text"),
        ([0.5, 1.5], float("nan"), "E207", "label is missing"),
        ([0.5, 1.5], float("inf"), "E207", "label is missing"),
        ([0.5, 1.5], 10**400, "E206", "label must be a number, got a whole number"),
        ([["a"], ["b"]], "a", "E206", "label must be a list of labels, got text"),
        ([["a"], ["b"]], ["a", ""], "E203", "the label[1] is empty"),
        ([["a"], ["b"]], ["a", None], "E207", "label[1] is missing"),
        ([["a"], ["b"]], [["a"]], "E206", "label[0] must be text, got a list"),
        ([["a"], ["b"]], [0.5, 0.5], "E206", "label must be a list of labels, got a decimal number"),
        ([[1, 0], [0, 1]] * 5, [1, 0, 1], "E206", "label must be 2 times 0 or 1, one for each label, got another list"),
        ([["a"], ["b"]], [0, 1, 0], "E224", 'label names the label "0" twice'),
    ],
)
def test_a_label_unlike_the_others_is_damage(labels: list[Any], damaged: Any, code: str, sentence: str) -> None:
    targets, (problem,), _kind = labelled([*labels, damaged, *labels])
    assert len(targets) == 2 * len(labels)
    assert (problem.code, problem.message(), problem.where.line) == (code, sentence, len(labels) + 1)


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        (["EU", "rejects"], ["B-ORG", "O"]),
        ('["EU", "rejects"]', '["B-ORG", "O"]'),
        ("EU  rejects", " B-ORG O "),
        (["EU", "rejects"], "B-ORG O"),
    ],
)
def test_words_and_tags_come_as_lists_as_json_or_between_blanks(words: Any, tags: Any) -> None:
    (example,), problems = tagged(words, tags)
    assert (example.words, example.tags, problems) == (("EU", "rejects"), ("B-ORG", "O"), [])


def test_numbers_of_tags_become_names_and_odd_tags_stay_as_they_are() -> None:
    assert tagged(["a", "b"], [0, 12])[0][0].tags == ("0", "12")
    plain = ["-LRB-", "PRP$", "U-LOC", "I-PER", "''", "B"]
    assert tagged(["w"] * 6, plain)[0][0].tags == tuple(plain)


@pytest.mark.parametrize(
    ("words", "tags", "code", "sentence"),
    [
        (["a", "b", "c"], ["O", "O"], "E222", "3 words, but 2 tags"),
        ("a b", "O O O", "E222", "2 words, but 3 tags"),
        (["a", " "], ["O", "O"], "E203", "the tokens[1] is empty"),
        (["a", None], ["O", "O"], "E207", "tokens[1] is missing"),
        (["a", "b\x00"], ["O", "O"], "E244", "the control character U+0000 is in tokens[1]"),
        ([], ["O"], "E203", "the tokens is empty"),
        (None, ["O"], "E207", "tokens is missing"),
        ({"a": 1}, ["O"], "E206", "tokens must be a list of texts, got an object"),
        ("['a', 'b' 'c']", ["O", "O"], "E206", "tokens must be a list of texts, got brackets that are not JSON"),
        (["a"], ["I-"], "E223", '"I-" in tags is not a tag: its type is missing'),
        (["a"], [""], "E203", "the tags[0] is empty"),
        (["a"], [None], "E207", "tags[0] is missing"),
        (["a", "b"], ["O", -100], "E206", "tags[1] must be the tag of a word, got -100, which stands for none"),
        (["a"], [["O"]], "E206", "tags[0] must be text, got a list"),
    ],
)
def test_damaged_words_and_tags_are_told(words: Any, tags: Any, code: str, sentence: str) -> None:
    examples, problems = tagged(words, tags)
    assert examples == []
    assert [(p.code, p.message()) for p in problems if p.values["row"] == 1] == [(code, sentence)]


def test_names_stand_in_their_order_and_numbers_by_value() -> None:
    def rows(*labels: str) -> list[Example]:
        return [Example(n, "f", n, text="t", target=label) for n, label in enumerate(labels)]

    assert label_names(RowHashes(rows("b", "a", "10", "9")).names) == ("10", "9", "a", "b")
    assert label_names(RowHashes(rows("10", "9", "-1")).names) == ("-1", "9", "10")
    assert label_names(RowHashes([Example(1, "f", 1, words=("x", "y"), tags=("O", "B-A"))]).names) == ("B-A", "O")
    several = [Example(1, "f", 1, text="t", target=("b", "a")), *rows("c")]
    assert label_names(RowHashes(several).names) == ("a", "b", "c")
    assert label_names(RowHashes([Example(1, "f", 1, text="t", target=0.5)]).names) == ()
    counted = RowHashes(rows("a", "b", "a", "b")).names
    assert count_labels(("a", "b", "z"), counted, rows("b")) == {"a": 2, "b": 1, "z": 0}


def test_every_labelled_row_of_a_damaged_csv_is_accounted_for(tmp_path: Path) -> None:
    rng = random.Random(3)
    good = [f"text {n},{rng.choice(['pos', 'neg'])}" for n in range(40)]
    bad = {"text x,": "E203", "text y": "E218", '"text z,pos': "E221", ",pos": "E203", "a,b,c": "E218"}
    lines = [*good, *bad]
    rng.shuffle(lines)
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    stream = read_rows(str(path))
    fmt = sniff(stream.rows, task="seq_cls")
    examples, problems = to_examples(stream.rows, fmt, kind=label_kind(row.value["label"] for row in stream.rows))
    places = {(p.where.line, p.code) for p in [*stream.problems, *problems]}
    assert places == {(lines.index(line) + 2, code) for line, code in bad.items()}
    assert len(examples) == len(good)


def test_every_tagged_row_of_a_damaged_jsonl_is_accounted_for(tmp_path: Path) -> None:
    good = [json.dumps({"tokens": ["a", "b"], "tags": ["O", f"B-{n % 3}"]}) for n in range(20)]
    bad = [
        '{"tokens": ["a"], "tags": ["O", "O"]}',
        '{"tokens": ["a"]}',
        '{"tokens": [""], "tags": ["O"]}',
        '{"tokens":',
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*good, *bad]))
    stream = read_rows(str(path))
    examples, problems = to_examples(stream.rows, sniff(stream.rows, task="token_cls"))
    places = sorted((p.where.line, p.code) for p in [*stream.problems, *problems])
    assert places == [(21, "E222"), (22, "E207"), (23, "E203"), (24, "E204")]
    assert len(examples) == 20
