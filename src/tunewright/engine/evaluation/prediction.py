"""Labels of a classification model for encoded rows, in their order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.engine.system.oom import BatchSizeBackoff, RowGroup
from tunewright.engine.tasks.collator import StepCollator
from tunewright.engine.tasks.task_losses import logits_of
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


@torch.inference_mode()
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
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    backoff = backoff or BatchSizeBackoff()
    predictions: dict[int, Prediction] = {}

    def read(group: RowGroup) -> None:
        batch = {k: v.to(device) for k, v in collator.collate([rows[i] for i in group], collator.pad_id).items()}
        logits = logits_of(model, batch).cpu()
        for position, i in enumerate(group):
            predictions[i] = _prediction_of(logits[position], rows[i], labels, problem_type)
        reporter.progress(backoff.ranks.scaled(len(predictions), len(rows)), len(rows))

    backoff.for_each(collator.groups(rows), read)
    model.train(was_training)
    gathered = backoff.ranks.union({i: vars(prediction) for i, prediction in predictions.items()})
    return [_restored(gathered[i]) for i in range(len(rows))]


def _restored(fields: Mapping[str, Any]) -> Prediction:
    """A prediction whose tuples may have come through JSON."""
    lists = {"labels": tuple(fields["labels"]), "probabilities": tuple(fields["probabilities"])}
    return Prediction(**{**fields, **lists})


def _prediction_of(
    logits: torch.Tensor, row: TokenizedExample, labels: Sequence[str], problem_type: str | None
) -> Prediction:
    if problem_type is None:
        tags_T = logits.argmax(-1).tolist()
        return Prediction(tuple(labels[tags_T[i]] for i, label in enumerate(row.labels) if label != IGNORED))
    if problem_type == "regression":
        return Prediction(number=float(logits[0]))
    if problem_type == "multi_label_classification":
        names = tuple(name for name, logit in zip(labels, logits.tolist(), strict=True) if logit > 0)
        return Prediction(names, probabilities=tuple(logits.sigmoid().tolist()))
    best = int(logits.argmax())
    shares = logits.softmax(-1)
    return Prediction((labels[best],), probability=float(shares[best]), probabilities=tuple(shares.tolist()))
