"""Labels of a classification model for encoded rows, in their order, and their losses from the same pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.engine.system.oom import BatchSizeBackoff, RowGroup
from tunewright.engine.tasks.collator import StepCollator
from tunewright.engine.tasks.task_losses import RowLoss, TagLoss, logits_of
from tunewright.kernels.cross_entropy import MicroBatch
from tunewright.reporting import SILENT, Reporter


@dataclass(frozen=True)
class Prediction:
    """Label names of one row (one, several, or one for each word), or its value; `probability` of a single label.

    `probabilities` are those of all labels where the whole row is labelled; of several labels each has its own.
    """

    labels: tuple[str, ...] = ()
    number: float = 0.0
    probability: float | None = None
    probabilities: tuple[float, ...] = field(default=(), compare=False)


def predict(
    model: nn.Module,
    rows: Sequence[TokenizedExample],
    collator: StepCollator,
    labels: Sequence[str],
    problem_type: str | None,
    reporter: Reporter = SILENT,
    backoff: BatchSizeBackoff | None = None,
) -> list[Prediction]:
    """The predicted labels of each row. Without `problem_type` every word gets a tag."""
    backoff = backoff or BatchSizeBackoff()
    predictions: dict[int, Prediction] = {}

    def take(group: RowGroup, _batch: MicroBatch, logits: Tensor) -> None:
        predictions.update(_predictions_of(logits, group, rows, labels, problem_type))

    _for_each_logits(model, rows, collator, take, reporter, backoff)
    return _of_all_ranks(predictions, backoff)


def predict_with_losses(
    model: nn.Module,
    rows: Sequence[TokenizedExample],
    collator: StepCollator,
    loss: RowLoss | TagLoss,
    labels: Sequence[str],
    problem_type: str | None,
    reporter: Reporter,
    backoff: BatchSizeBackoff,
) -> tuple[list[Prediction], list[float]]:
    """What `predict` gives, and the loss of each row, from one pass."""
    predictions: dict[int, Prediction] = {}
    losses: dict[int, float] = {}

    def take(group: RowGroup, batch: MicroBatch, logits: Tensor) -> None:
        predictions.update(_predictions_of(logits, group, rows, labels, problem_type))
        losses.update(zip(group, loss.from_logits(logits, batch["labels"], by_row=True).tolist(), strict=True))

    _for_each_logits(model, rows, collator, take, reporter, backoff)
    losses = backoff.ranks.union(losses)
    return _of_all_ranks(predictions, backoff), [losses[i] for i in range(len(rows))]


@torch.inference_mode()
def _for_each_logits(
    model: nn.Module,
    rows: Sequence[TokenizedExample],
    collator: StepCollator,
    take: Callable[[RowGroup, MicroBatch, Tensor], None],
    reporter: Reporter,
    backoff: BatchSizeBackoff,
) -> None:
    """Call `take` with the logits of each micro-batch; of several processes each reads the groups that are dealt to it."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    num_read = 0

    def read(group: RowGroup) -> None:
        nonlocal num_read
        batch = {k: v.to(device) for k, v in collator.collate([rows[i] for i in group], collator.pad_id).items()}
        take(group, batch, logits_of(model, batch))
        num_read += len(group)
        reporter.progress(backoff.ranks.scaled(num_read, len(rows)), len(rows))

    backoff.for_each(collator.groups(rows), read)
    model.train(was_training)


def _of_all_ranks(predictions: Mapping[int, Prediction], backoff: BatchSizeBackoff) -> list[Prediction]:
    gathered = backoff.ranks.union({i: vars(prediction) for i, prediction in predictions.items()})
    return [_restored(gathered[i]) for i in range(len(gathered))]


def _restored(fields: Mapping[str, Any]) -> Prediction:
    """A prediction whose tuples may have come through JSON."""
    lists = {"labels": tuple(fields["labels"]), "probabilities": tuple(fields["probabilities"])}
    return Prediction(**{**fields, **lists})


def _predictions_of(
    logits: Tensor,
    group: RowGroup,
    rows: Sequence[TokenizedExample],
    labels: Sequence[str],
    problem_type: str | None,
) -> dict[int, Prediction]:
    """The predictions of a group by the rows' positions."""
    pairs = zip(group, logits.cpu(), strict=True)
    return {i: _prediction_of(row_logits, rows[i], labels, problem_type) for i, row_logits in pairs}


def _shortest(value: float) -> float:
    """The number with the fewest digits among those that are this one in float32, so that its text loses nothing."""
    return float(str(np.float32(value)))


def _prediction_of(
    logits: Tensor, row: TokenizedExample, labels: Sequence[str], problem_type: str | None
) -> Prediction:
    if problem_type is None:
        tags_T = logits.argmax(-1).tolist()
        return Prediction(tuple(labels[tags_T[i]] for i, label in enumerate(row.labels) if label != IGNORED))
    if problem_type == "regression":
        return Prediction(number=_shortest(float(logits[0])))
    if problem_type == "multi_label_classification":
        names = tuple(name for name, logit in zip(labels, logits.tolist(), strict=True) if logit > 0)
        return Prediction(names, probabilities=tuple(logits.sigmoid().tolist()))
    best = int(logits.argmax())
    shares = logits.softmax(-1)
    return Prediction((labels[best],), probability=float(shares[best]), probabilities=tuple(shares.tolist()))
