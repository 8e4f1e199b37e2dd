"""The label answers of a run, counted: which labels are confused, and what was found of each."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.metrics import confidence_intervals
from tunewright.metrics.confidence_intervals import Interval
from tunewright.metrics.evaluated_rows import Sample
from tunewright.metrics.metric_table import AnswerKind
from tunewright.metrics.scoring import entities, f1

Item = tuple[Any, ...]  # a label, and its place in the row where it has one


@dataclass(frozen=True)
class LabelCounts:
    """Of one label: how many answers gave it, how many references have it, how many times both do."""

    label: str
    equal: int
    predicted: int
    gold: int

    @property
    def precision(self) -> float | None:
        """The share of what was found that is right; None if nothing was found."""
        return self.equal / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """The share of what there was to find that was found; None if there was nothing."""
        return self.equal / self.gold if self.gold else None

    @property
    def f1(self) -> float:
        return f1(self.equal, self.predicted, self.gold)


@dataclass(frozen=True)
class Confusion:
    """Rows of one label that were given another; `rows` of the `of` rows that have the first."""

    reference: str
    predicted: str
    rows: int
    of: int


@dataclass(frozen=True)
class ConfusionMatrix:
    """How often rows of each label were given each label: a row of counts for each right label.

    The last label is None where several are counted together.
    """

    labels: tuple[str | None, ...]
    counts: tuple[tuple[int, ...], ...]


def confusions(samples: Sequence[Sample]) -> list[Confusion]:
    """Pairs of labels that were confused, the most frequent first."""
    references = Counter(sample.reference for sample in samples)
    wrong = Counter((s.reference, s.answer) for s in samples if s.answer != s.reference)
    ranked = sorted(wrong.items(), key=lambda pair: (-pair[1], -pair[1] / references[pair[0][0]], pair[0]))
    return [Confusion(gold, predicted, rows, references[gold]) for (gold, predicted), rows in ranked]


def matrix(samples: Sequence[Sample], most: int) -> ConfusionMatrix:
    """All labels against all, the most frequent first; of more than `most` the least confused are counted together."""
    references = Counter(sample.reference for sample in samples)
    involved: Counter[str] = Counter()
    for confusion in confusions(samples):
        involved.update({confusion.reference: confusion.rows, confusion.predicted: confusion.rows})
    names = sorted({*references, *involved}, key=lambda name: (-references[name], name))
    shown_names = names
    if len(names) > most:
        chosen = set(sorted(names, key=lambda name: (-involved[name], -references[name], name))[: most - 1])
        shown_names = [name for name in names if name in chosen]
    place = {name: i for i, name in enumerate(shown_names)}
    pairs = Counter(
        (place.get(sample.reference, len(shown_names)), place.get(sample.answer, len(shown_names)))
        for sample in samples
    )
    labels = (*shown_names, *([None] if len(shown_names) < len(names) else []))
    size = range(len(labels))
    return ConfusionMatrix(labels, tuple(tuple(pairs[i, j] for j in size) for i in size))


def by_label(kind: AnswerKind, samples: Sequence[Sample]) -> list[LabelCounts]:
    """What was found of each label, the most frequent label first."""
    equal: Counter[str] = Counter()
    num_predicted: Counter[str] = Counter()
    gold: Counter[str] = Counter()
    for sample in samples:
        predicted, references = items(kind, sample)
        equal += Counter(item[0] for item in predicted & references)
        num_predicted += Counter(item[0] for item in predicted)
        gold += Counter(item[0] for item in references)
    labels = sorted({*num_predicted, *gold}, key=lambda label: (-gold[label], label))
    return [LabelCounts(label, equal[label], num_predicted[label], gold[label]) for label in labels]


def items(kind: AnswerKind, sample: Sample) -> tuple[set[Item], set[Item]]:
    """What the answer and the reference of a row hold: labels, entities or tags; else the whole of each."""
    if kind == "labels":
        return {(name,) for name in sample.labels}, {(name,) for name in sample.gold_labels}
    if kind == "entities":
        return set(entities(sample.tags)), set(entities(sample.gold_tags))
    if kind == "tags":
        return _placed(sample.tags), _placed(sample.gold_tags)
    return {(sample.answer,)}, {(sample.reference,)}


def _placed(tags: Iterable[str]) -> set[Item]:
    return {(tag, place) for place, tag in enumerate(tags)}


def intervals(kind: AnswerKind, samples: Sequence[Sample]) -> dict[str, Interval]:
    """Intervals of the scores that only the answers tell, by metric; those of shares of rows need none of this."""
    by_metric: dict[str, Interval | None] = {}
    if kind == "number":
        by_metric["rmse"] = confidence_intervals.of_rmse([float(s.answer) - float(s.reference) for s in samples])
    if kind in ("entities", "labels"):
        counts = by_label(kind, samples)
        metric = "entity_f1" if kind == "entities" else "micro_f1"
        by_metric[metric] = confidence_intervals.of_f1(
            sum(label.equal for label in counts),
            sum(label.predicted for label in counts),
            sum(label.gold for label in counts),
        )
    if kind in ("entities", "tags"):
        words = [pair for s in samples for pair in zip(s.tags, s.gold_tags, strict=True)]
        right = sum(predicted == gold for predicted, gold in words)
        by_metric["accuracy"] = confidence_intervals.of_share(right / len(words), len(words)) if words else None
    return {metric: interval for metric, interval in by_metric.items() if interval is not None}


def constant_intervals(
    kind: AnswerKind, samples: Sequence[Sample], scores: Mapping[str, float | None]
) -> dict[str, Interval]:
    """The same for the baseline, which gives every row one answer."""
    if kind == "number":
        numbers = [float(sample.reference) for sample in samples]
        mean = sum(numbers) / len(numbers) if numbers else 0.0
        interval = confidence_intervals.of_rmse([number - mean for number in numbers])
        return {"rmse": interval} if interval else {}
    accuracy = scores.get("accuracy")
    if kind in ("entities", "tags") and accuracy is not None:
        interval = confidence_intervals.of_share(accuracy, sum(len(sample.gold_tags) for sample in samples))
        return {"accuracy": interval} if interval else {}
    return {}
