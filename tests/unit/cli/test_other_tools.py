"""What is typed out of habit of other programs is answered with the line that does it here."""

import pytest

from tunewright.config.glossary import explain
from tunewright.config.terms import Term, load_terms

from .conftest import Run


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["merge", "last", "-o", "my x"], "tunewright merge last 'my x'"),
        (["merge", "--output", "x", "last"], "tunewright merge last x"),
        (["merge", "-o", "x"], "tunewright merge last x"),
        (["export", "last", "x"], "tunewright export last -o x"),
        (["train", "smollm2", "x.jsonl", "--fp16"], "--set model.precision=fp16"),
        (["train", "smollm2", "x.jsonl", "--gpu"], "leave it out: a GPU is used if torch sees it"),
        (["train", "smollm2", "x.jsonl", "--lora"], "leave it out: LoRA is the default"),
        (["plan", "smollm2", "x.jsonl", "--load-in-4bit"], "--set model.quantization=4bit"),
        (["train", "smollm2", "x.jsonl", "--learning_rate", "1e-4"], "--lr 2e-4"),
    ],
)
def test_the_line_that_does_it_is_shown(tw: Run, words: list[str], line: str) -> None:
    ended = tw(*words)
    assert (ended.code, line in ended.err) == (2, True), ended.err


def test_a_score_of_no_rows_is_not_judged(tw: Run) -> None:
    ended = tw("eval", "last", "--rows", "0", "--min-score", "accuracy=0.5")
    assert "E109" in ended.err and "--rows 20" in ended.err
    assert ended.code != 0


@pytest.mark.parametrize("term", load_terms(), ids=lambda term: term.name)
def test_terms_are_explained_under_all_their_names(term: Term) -> None:
    for word in (term.name, *term.keys):
        explanation = explain(word)
        assert term.text in explanation.paragraphs, word
