"""What each held-out row adds to a score, so that scores of several runs can be compared row by row.

Every score here is a sum over rows divided by another sum over rows: a share of rows, an F1, a mean, or the root of one.
Scores that are none of these (macro F1, BLEU, correlation) have no marks.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tunewright.metrics import confusion_matrix
from tunewright.metrics.evaluated_rows import ExampleLoss, Sample
from tunewright.metrics.metric_table import METRICS, AnswerKind
from tunewright.metrics.rouge_bleu import rouge
from tunewright.metrics.scoring import exact_match, is_json_object, json_counts

ScorePart = tuple[float, float]


@dataclass(frozen=True)
class PerExampleScores:
    """The parts of one score by row: it is the sum of `tops` over the sum of `bottoms`, or the root of that."""

    tops: tuple[float, ...]
    bottoms: tuple[float, ...]
    is_root: bool = False
    is_share: bool = True

    def __len__(self) -> int:
        return len(self.tops)

    @property
    def is_right_or_wrong(self) -> bool:
        """True if each row is one trial that succeeds or fails."""
        return set(self.tops) <= {0.0, 1.0} and set(self.bottoms) <= {1.0}

    @property
    def value(self) -> float:
        return self.of(math.fsum(self.tops), math.fsum(self.bottoms))

    def of(self, top: float, bottom: float) -> float:
        """The score of two sums; 0.0 where there is nothing to divide by."""
        ratio = top / bottom if bottom else 0.0
        return math.sqrt(max(0.0, ratio)) if self.is_root else ratio


def marks(metric: str, kind: AnswerKind, samples: Sequence[Sample]) -> PerExampleScores | None:
    """The marks of generated answers; None for a score that has none, and without rows."""
    if metric not in _PARTS or not samples:
        return None
    parts = [_PARTS[metric](kind, sample) for sample in samples]
    return PerExampleScores(
        tops=tuple(float(top) for top, _bottom in parts),
        bottoms=tuple(float(bottom) for _top, bottom in parts),
        is_root=metric == "rmse",
        is_share=METRICS[metric].kind == "share",
    )


def loss_marks(losses: Sequence[ExampleLoss]) -> PerExampleScores | None:
    """The marks of the held-out loss, of the losses of single rows; None without any."""
    if not losses:
        return None
    return PerExampleScores(
        tops=tuple(row.loss for row in losses), bottoms=tuple(float(row.units) for row in losses), is_share=False
    )


def _accuracy(kind: AnswerKind, sample: Sample) -> ScorePart:
    if kind in ("entities", "tags"):
        both = list(zip(sample.tags, sample.gold_tags, strict=True))
        return sum(predicted == references for predicted, references in both), len(both)
    predicted, references = confusion_matrix.items(kind, sample)
    return predicted == references, 1


def _f1(kind: AnswerKind, sample: Sample) -> ScorePart:
    predicted, references = confusion_matrix.items(kind, sample)
    return 2 * len(predicted & references), len(predicted) + len(references)


def _precision(kind: AnswerKind, sample: Sample) -> ScorePart:
    predicted, references = confusion_matrix.items(kind, sample)
    return len(predicted & references), len(predicted)


def _recall(kind: AnswerKind, sample: Sample) -> ScorePart:
    predicted, references = confusion_matrix.items(kind, sample)
    return len(predicted & references), len(references)


def _field_f1(kind: AnswerKind, sample: Sample) -> ScorePart:
    equal, fields = json_counts(sample.answer, sample.reference)
    return 2 * equal, fields


def _rouge(name: str) -> Callable[[AnswerKind, Sample], ScorePart]:
    return lambda kind, sample: (rouge([sample.answer], [sample.reference])[name], 1)


def _error(kind: AnswerKind, sample: Sample) -> float:
    return float(sample.answer) - float(sample.reference)


_PARTS: Mapping[str, Callable[[AnswerKind, Sample], ScorePart]] = {
    "exact_match": lambda kind, sample: (exact_match([sample.answer], [sample.reference]), 1),
    "valid": lambda kind, sample: (is_json_object(sample.answer), 1),
    "field_f1": _field_f1,
    "accuracy": _accuracy,
    "micro_f1": _f1,
    "entity_f1": _f1,
    "entity_precision": _precision,
    "entity_recall": _recall,
    "rouge1": _rouge("rouge1"),
    "rouge2": _rouge("rouge2"),
    "rougeL": _rouge("rougeL"),
    "rmse": lambda kind, sample: (_error(kind, sample) ** 2, 1),
    "mae": lambda kind, sample: (abs(_error(kind, sample)), 1),
}
