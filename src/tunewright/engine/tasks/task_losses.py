"""What each task's model is trained on: the sum of the losses of a micro-batch, and what that sum is divided by.

Shapes: B rows, T tokens, L target tokens, C classes. Sums, not means, so that the rows of a step weigh the same however
they are cut into micro-batches. Those of causal models are in `kernels/cross_entropy.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from peft import PeftModel
from torch import Tensor, nn

from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.kernels.cross_entropy import MicroBatch, summed_cross_entropy


def predicted_tokens(rows: Sequence[TokenizedExample]) -> int:
    """Label tokens that a causal model predicts: all but a label on a row's first token."""
    return sum(label != IGNORED for row in rows for label in row.labels[1:])


def labelled(rows: Sequence[TokenizedExample]) -> int:
    """Positions that have a label."""
    return sum(label != IGNORED for row in rows for label in row.labels)


def seq2seq_loss(model: nn.Module, batch: MicroBatch, *, by_row: bool = False) -> Tensor:
    """Sum of the losses of the target tokens.

    The model is given the shifted targets, not the labels: from labels it would compute the mean of the micro-batch.
    """
    labels_BL = batch["labels"]
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    logits_BLC = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=base.prepare_decoder_input_ids_from_labels(labels_BL),
    ).logits
    return summed_cross_entropy(logits_BLC, labels_BL, by_row=by_row)


def logits_of(model: nn.Module, batch: MicroBatch) -> Tensor:
    """A classification model's logits, without those of a learned prompt before the row: (B, C) or (B, T, C)."""
    logits = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits.float()
    return logits[:, -batch["input_ids"].shape[1] :] if logits.dim() == 3 else logits


@dataclass(frozen=True)
class RowLoss:
    """Sum of the losses of rows with one label, several, or a value. `weights_C` weigh the classes."""

    problem_type: str
    weights_C: Tensor | None = None

    def __call__(self, model: nn.Module, batch: MicroBatch, *, by_row: bool = False) -> Tensor:
        return self.from_logits(logits_of(model, batch), batch["labels"], by_row=by_row)

    def from_logits(self, logits: Tensor, labels: Tensor, *, by_row: bool = False) -> Tensor:
        """The same sum from logits (B, C) and labels: class numbers (B), several 0 or 1 (B, C), or values (B)."""
        reduction = "none" if by_row else "sum"
        if self.problem_type == "regression":
            return F.mse_loss(logits.squeeze(-1), labels.float(), reduction=reduction)
        weights = None if self.weights_C is None else self.weights_C.to(logits.device)
        if self.problem_type == "multi_label_classification":
            losses_BC = F.binary_cross_entropy_with_logits(
                logits, labels.float().view_as(logits), weight=weights, reduction="none"
            )
            return losses_BC.mean(-1) if by_row else losses_BC.mean(-1).sum()
        return F.cross_entropy(logits, labels, weight=weights, reduction=reduction)


@dataclass(frozen=True)
class TagLoss:
    """Sum of the losses of words with one tag each."""

    weights_C: Tensor | None = None

    def __call__(self, model: nn.Module, batch: MicroBatch, *, by_row: bool = False) -> Tensor:
        return self.from_logits(logits_of(model, batch), batch["labels"], by_row=by_row)

    def from_logits(self, logits_BTC: Tensor, labels_BT: Tensor, *, by_row: bool = False) -> Tensor:
        """The same sum from logits."""
        weights = None if self.weights_C is None else self.weights_C.to(logits_BTC.device)
        return summed_cross_entropy(logits_BTC, labels_BT, by_row=by_row, weights_C=weights)


def balanced_weights(rows: Sequence[TokenizedExample], num_labels: int, *, is_multi_label: bool) -> Tensor:
    """One weight for each class, inversely proportional to its frequency; labels that occur weigh 1 on average, as do
    labels that never occur.

    Source: the rule of scikit-learn's class_weight="balanced".
    """
    counts_C = torch.zeros(num_labels)
    for row in rows:
        if is_multi_label:
            counts_C += torch.tensor(row.labels)
        else:
            for label in row.labels:
                if label != IGNORED:
                    counts_C[int(label)] += 1
    is_present_C = counts_C > 0
    return torch.where(is_present_C, counts_C.sum() / (counts_C.clamp(min=1) * is_present_C.sum()), torch.ones(()))
