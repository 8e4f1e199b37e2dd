"""Losses of the tasks: sums that do not depend on how rows are cut, and what they are divided by."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.engine.tasks.task_losses import (
    RowLoss,
    TagLoss,
    balanced_weights,
    labelled,
    logits_of,
    predicted_tokens,
    seq2seq_loss,
)

CLASSES = 3


class Classifier(nn.Module):
    """Logits of each token, or of the mean of the tokens; with `prompt` so many learned positions before them."""

    def __init__(self, *, by_token: bool, outputs: int = CLASSES, prompt: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(8, outputs)
        self.by_token = by_token
        self.prompt = prompt

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        logits_BTC = self.embedding(input_ids)
        if not self.by_token:
            mask_BT1 = attention_mask[..., None]
            return SimpleNamespace(logits=(logits_BTC * mask_BT1).sum(1) / mask_BT1.sum(1))
        learned = torch.full((len(input_ids), self.prompt, logits_BTC.shape[-1]), 9.0)
        return SimpleNamespace(logits=torch.cat([learned, logits_BTC], 1))


class Seq2Seq(nn.Module):
    """Logits that depend on the decoder's inputs; records them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(8, 8)

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1].clamp(min=0)], 1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor) -> SimpleNamespace:
        self.decoder_input_ids = decoder_input_ids
        return SimpleNamespace(logits=self.embedding(decoder_input_ids))


def batch_of(labels: Tensor) -> dict[str, Tensor]:
    ids = torch.tensor([[1, 2, 3], [4, 5, 0]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": labels}


def row_of(batch: dict[str, Tensor], i: int) -> dict[str, Tensor]:
    return {name: tensor[i : i + 1] for name, tensor in batch.items()}


@pytest.mark.parametrize(
    ("problem_type", "labels", "outputs"),
    [
        ("single_label_classification", torch.tensor([0, 2]), CLASSES),
        ("multi_label_classification", torch.tensor([[1, 0, 1], [0, 0, 1]]), CLASSES),
        ("regression", torch.tensor([0.5, -1.0]), 1),
    ],
)
def test_a_loss_of_rows_is_the_sum_of_the_losses_of_single_rows(
    problem_type: str, labels: Tensor, outputs: int
) -> None:
    model, loss, batch = Classifier(by_token=False, outputs=outputs), RowLoss(problem_type), batch_of(labels)
    by_row = loss(model, batch, by_row=True)
    assert by_row.shape == (2,)
    assert float(loss(model, batch)) == pytest.approx(float(by_row.sum()))
    assert float(loss(model, row_of(batch, 0))) == pytest.approx(float(by_row[0]))


def test_several_labels_are_averaged_over_the_labels() -> None:
    batch = batch_of(torch.tensor([[1, 0, 1], [0, 0, 1]]))
    model = Classifier(by_token=False)
    expected = nn.functional.binary_cross_entropy_with_logits(logits_of(model, batch), batch["labels"].float())
    assert float(RowLoss("multi_label_classification")(model, batch)) == pytest.approx(2 * float(expected))


def test_class_weights_multiply_the_loss_of_their_class() -> None:
    model, batch = Classifier(by_token=False), batch_of(torch.tensor([0, 2]))
    plain = RowLoss("single_label_classification")(model, batch, by_row=True)
    weighted = RowLoss("single_label_classification", torch.tensor([2.0, 1.0, 0.5]))(model, batch, by_row=True)
    assert torch.allclose(weighted, plain * torch.tensor([2.0, 0.5]))


def test_tags_are_counted_where_there_is_a_label() -> None:
    batch = batch_of(torch.tensor([[0, IGNORED, 2], [1, IGNORED, IGNORED]]))
    model = Classifier(by_token=True)
    by_row = TagLoss()(model, batch, by_row=True)
    log_probability = logits_of(model, batch).log_softmax(-1)
    assert float(by_row[0]) == pytest.approx(-float(log_probability[0, 0, 0] + log_probability[0, 2, 2]))
    assert float(TagLoss()(model, batch)) == pytest.approx(float(by_row.sum()))


def test_logits_of_a_learned_prompt_are_left_out() -> None:
    batch = batch_of(torch.tensor([[0, 1, 2], [1, 0, IGNORED]]))
    assert torch.equal(
        logits_of(Classifier(by_token=True, prompt=2), batch), logits_of(Classifier(by_token=True), batch)
    )


def test_seq2seq_predicts_each_target_token_from_those_before_it() -> None:
    model, batch = Seq2Seq(), batch_of(torch.tensor([[5, 6], [7, IGNORED]]))
    by_row = seq2seq_loss(model, batch, by_row=True)
    assert model.decoder_input_ids.tolist() == [[0, 5], [0, 7]]
    log_probability = model.embedding.weight.log_softmax(-1)
    assert float(by_row[0].detach()) == pytest.approx(-float(log_probability[0, 5] + log_probability[5, 6]))
    assert float(by_row[1].detach()) == pytest.approx(-float(log_probability[0, 7]))


def test_units_are_predicted_tokens_or_labels() -> None:
    rows = [TokenizedExample(0, [1, 2, 3], [1, IGNORED, 3], 1, 3), TokenizedExample(1, [1, 2], [IGNORED, 2], 1, 2)]
    assert predicted_tokens(rows) == 2, "a causal model does not predict a row's first token"
    assert labelled(rows) == 3


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    rows = [TokenizedExample(i, [1], [label], 0, 1) for i, label in enumerate([0, 0, 0, 1])]
    assert balanced_weights(rows, 3, is_multi_label=False).tolist() == pytest.approx([4 / (2 * 3), 4 / (2 * 1), 1.0])
    several = [TokenizedExample(0, [1], [1, 1, 0], 0, 1), TokenizedExample(1, [1], [1, 0, 0], 0, 1)]
    assert balanced_weights(several, 3, is_multi_label=True).tolist() == pytest.approx([3 / (2 * 2), 3 / (2 * 1), 1.0])
