"""The evaluator: losses by unit, scores of labels and tags, and how answers are prepared for people."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.collecting_reporter import CollectingReporter
from tunewright.data.examples.formats import Example
from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.engine.evaluation.evaluator import (
    Evaluator,
    format_prediction,
    format_tags,
    held_out_loss,
    pad_tags,
    row_losses,
    spread,
)
from tunewright.engine.evaluation.prediction import Prediction, predict
from tunewright.engine.system.oom import BatchSizeBackoff
from tunewright.engine.tasks.collator import StepCollator, pad_labelled, pad_right
from tunewright.engine.tasks.task_losses import RowLoss, TagLoss, labelled
from tunewright.metrics.per_example_scores import marks
from tunewright.metrics.scoring import final_answer

LABELS = ("cold", "hot")


class FirstTokenDecides(nn.Module):
    """Logits that favour label 1 where a token is odd: of the first token of a row, or of each token."""

    def __init__(self, *, by_token: bool, most_rows: int = 100) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.by_token = by_token
        self.most_rows = most_rows

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        if len(input_ids) > self.most_rows:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        is_odd = (input_ids % 2).float()
        logits_BTC = torch.stack([-is_odd, is_odd], -1) * self.scale
        return SimpleNamespace(logits=logits_BTC if self.by_token else logits_BTC[:, 0])


def collator(collate: Any, units: Any = len) -> StepCollator:
    return StepCollator(collate, units, lambda row: len(row.input_ids), 0, 8)


def rows_with_labels(*pairs: tuple[int, int]) -> list[TokenizedExample]:
    return [TokenizedExample(i, [first, 2], [label], 0, 2) for i, (first, label) in enumerate(pairs)]


def evaluator(rows: list[TokenizedExample], examples: list[Example], **fields: Any) -> Evaluator:
    usual: dict[str, Any] = {
        "task": "seq_cls", "tokenizer": None, "collator": collator(pad_labelled), "labels": LABELS,
        "loss": RowLoss("single_label_classification"), "problem_type": "single_label_classification",
        "num_answers": 8, "max_new_tokens": 4, "merge": False, "backoff": BatchSizeBackoff(lambda problem: None),
    }  # fmt: skip
    return Evaluator(rows=rows, examples={e.number: e for e in examples}, **{**usual, **fields})


def test_a_held_out_loss_is_the_mean_over_units_not_over_batches() -> None:
    rows, model = rows_with_labels((1, 1), (3, 0), (2, 0), (5, 1), (4, 1)), FirstTokenDecides(by_token=False)
    loss = RowLoss("single_label_classification")
    mean = held_out_loss(model, rows, loss, collator(pad_labelled))
    single = [held_out_loss(model, [row], loss, collator(pad_labelled)) for row in rows]
    assert mean == pytest.approx(sum(single) / 5)


def test_losses_of_one_conversation_in_several_texts_are_one_row() -> None:
    rows = [TokenizedExample(7, [1, 2], [1], 0, 2), TokenizedExample(7, [3, 2], [0], 0, 2)]
    model, reporter = FirstTokenDecides(by_token=False), CollectingReporter()
    loss = RowLoss("single_label_classification")
    losses = row_losses(model, rows, loss, collator(pad_labelled), reporter, BatchSizeBackoff())
    (of_row,) = losses
    assert (of_row.row, of_row.units) == (7, 2)
    assert reporter.steps[-1] == (2, 2)


def test_an_evaluation_leaves_the_mode_of_the_model() -> None:
    model = FirstTokenDecides(by_token=False).train()
    held_out_loss(model, rows_with_labels((1, 1)), RowLoss("single_label_classification"), collator(pad_labelled))
    assert model.training


def test_labels_are_scored_and_shown_with_their_probability() -> None:
    rows = rows_with_labels((1, 1), (2, 0), (3, 0))
    examples = [
        Example(i, "rows", i, text=f"text {i}", target=target) for i, target in enumerate(("hot", "cold", "cold"))
    ]
    result = evaluator(rows, examples).evaluate(FirstTokenDecides(by_token=False))
    assert result.scores["accuracy"] == pytest.approx(2 / 3)
    assert [(sample.reference, sample.answer) for sample in result.samples] == [
        ("hot", "hot"), ("cold", "cold"), ("cold", "hot"),
    ]  # fmt: skip
    assert result.samples[0].probability == pytest.approx(float(torch.tensor([-2.0, 2.0]).softmax(0)[1]))
    assert len(result.losses) == 3


def test_a_row_with_labels_is_read_once_for_its_loss_and_its_label() -> None:
    rows = rows_with_labels((1, 1), (2, 0), (3, 0), (4, 1), (5, 1))
    examples = [Example(i, "rows", i, text="t", target=LABELS[row.labels[0]]) for i, row in enumerate(rows)]
    model, loss, read = FirstTokenDecides(by_token=False), RowLoss("single_label_classification"), []
    with model.register_forward_hook(lambda _model, _inputs, outputs: read.append(len(outputs.logits))):
        result = evaluator(rows, examples).evaluate(model)
    assert sum(read) == len(rows)
    apart = row_losses(model, rows, loss, collator(pad_labelled), CollectingReporter(), BatchSizeBackoff())
    assert [row.loss for row in result.losses] == [row.loss for row in apart]


def test_tags_are_scored_by_word_and_words_that_were_cut_off_have_none() -> None:
    rows = [TokenizedExample(0, [1, 2, 3], [1, IGNORED, 0], 0, 3)]
    examples = [Example(0, "rows", 0, words=("a", "b", "c"), tags=("B-city", "O", "B-city"))]
    tagging = evaluator(
        rows, examples, task="token_cls", labels=("O", "B-city"), problem_type=None, loss=TagLoss(),
        collator=collator(pad_right, labelled),
    )  # fmt: skip
    (sample,) = tagging.evaluate(FirstTokenDecides(by_token=True)).samples
    assert (sample.words, sample.tags) == (["a", "b", "c"], ["B-city", "B-city", "O"])
    assert sample.answer == "city: a; city: b"


class FirstTokenIsTheYear(nn.Module):
    """Estimates of years that are off by a third of a year at most."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        years = input_ids[:, 0].float()
        return SimpleNamespace(logits=(years + (years % 7 - 3) / 9 * self.scale)[:, None])


def test_what_is_kept_of_several_labels_gives_the_score_that_was_measured_whatever_they_are_called() -> None:
    rows = [
        TokenizedExample(i, [first, 2], labels, 0, 2) for i, (first, labels) in enumerate([(1, [1, 1]), (2, [0, 1])])
    ]
    names = ("Clothing, Shoes", "Toys")
    examples = [Example(i, "rows", i, text="t", target=target) for i, target in enumerate((names, names[1:]))]
    kind = "multi_label_classification"
    labelling = evaluator(rows, examples, labels=names, loss=RowLoss(kind), problem_type=kind)
    result = labelling.evaluate(FirstTokenDecides(by_token=False))
    assert [(row.gold_labels, row.labels) for row in result.samples] == [([*names], ["Toys"]), (["Toys"], [])]
    kept = marks("micro_f1", "labels", result.samples)
    assert kept and kept.value == result.scores["micro_f1"] == pytest.approx(0.5)


def test_what_is_kept_of_numbers_gives_the_scores_that_were_measured() -> None:
    years = [*range(1900, 2020, 3), 123456]
    rows = [TokenizedExample(i, [year, 2], [float(year)], 0, 2) for i, year in enumerate(years)]
    examples = [Example(i, "rows", i, text="t", target=float(year)) for i, year in enumerate(years)]
    estimating = evaluator(rows, examples, loss=RowLoss("regression"), problem_type="regression")
    result = estimating.evaluate(FirstTokenIsTheYear())
    kept = {name: marks(name, "number", result.samples) for name in ("rmse", "mae")}
    assert {name: scores.value for name, scores in kept.items() if scores} == pytest.approx(
        {name: result.scores[name] for name in kept}, rel=1e-12
    )
    assert [sample.reference for sample in result.samples] == list(map(str, years))
    assert (result.samples[1].answer, result.samples[-1].answer) == ("1903.3334", "123456.11")


def test_scores_are_the_same_when_memory_allows_single_rows_only() -> None:
    rows = rows_with_labels((1, 1), (2, 0), (3, 0), (4, 0))
    examples = [Example(i, "rows", i, text="t", target=t) for i, t in enumerate(("hot", "cold", "cold", "cold"))]
    backoff = BatchSizeBackoff(lambda problem: None)
    small = evaluator(rows, examples, backoff=backoff).evaluate(FirstTokenDecides(by_token=False, most_rows=1))
    assert backoff.halvings == 2
    assert small.scores == pytest.approx(evaluator(rows, examples).evaluate(FirstTokenDecides(by_token=False)).scores)


@pytest.mark.parametrize(
    ("problem_type", "expected"),
    [
        ("single_label_classification", Prediction(("hot",), probability=pytest.approx(0.982, abs=1e-3))),
        ("multi_label_classification", Prediction(("hot",))),
        ("regression", Prediction(number=-2.0)),
    ],
)
def test_a_prediction_is_read_from_logits(problem_type: str, expected: Prediction) -> None:
    rows = [TokenizedExample(0, [1, 2], [], 0, 2)]
    (prediction,) = predict(FirstTokenDecides(by_token=False), rows, collator(pad_labelled), LABELS, problem_type)
    assert prediction == expected


@pytest.mark.parametrize(
    ("limit", "numbers"), [(4, [0, 2, 5, 7]), (10, list(range(10))), (99, list(range(10))), (0, [])]
)
def test_rows_are_chosen_evenly(limit: int, numbers: list[int]) -> None:
    """Files often stand in the order of their labels."""
    assert [row.number for row in spread(rows_with_labels(*[(1, 1)] * 10), limit)] == numbers
    assert spread([], limit) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("plain", "plain"),
        ("<think>\nhm\n</think>\n\nyes", "yes"),
        ("hm\n</think>\nyes", "yes"),
        ("<think>\nhm", ""),
        ("say </think> please", "say </think> please"),
    ],
)
def test_thinking_is_no_part_of_an_answer(answer: str, expected: str) -> None:
    assert final_answer(answer) == expected


def test_predictions_are_formatted_for_people() -> None:
    assert format_prediction(Prediction(("a", "b")), "multi_label_classification") == "a, b"
    assert format_prediction(Prediction(number=0.123456), "regression") == "0.123456"
    assert pad_tags(("B-city",), 3) == ("B-city", "O", "O")
    assert format_tags(("New", "York", "two"), ("B-city", "I-city", "O"), ("O", "B-city", "I-city")) == "city: New York"
    assert format_tags(("a", "cat"), ("DET", "NOUN"), ("DET", "NOUN")) == "a/DET cat/NOUN"
