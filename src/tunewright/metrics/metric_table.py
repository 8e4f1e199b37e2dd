"""The metrics, as a table: what people call them, which direction is better, and which of them decide the verdict of a task.

A new score is one row here. The order of the rows is the order in which people read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tunewright.config.tasks import ProblemType, Task
from tunewright.i18n import N_

MetricKind = Literal["share", "correlation", "error", "loss"]
AnswerKind = Literal["text", "label", "labels", "number", "entities", "tags"]


LOSS = "held_out_loss"
_TEXTS: tuple[Task, ...] = ("causal_lm", "seq2seq")
_CLASSES: tuple[ProblemType, ...] = ("single_label_classification", "multi_label_classification")


@dataclass(frozen=True)
class MetricRow:
    """A score; `tasks` are those that can have it, seq_cls by its kinds of labels.

    `counts_rows` names the tasks in which it is the share of rows that are right. `is_mean_of_rows` says that every row
    has a value from 0 to 1 of its own, of which the score is the mean.
    """

    label: str
    kind: MetricKind
    tasks: tuple[Task | ProblemType, ...]
    counts_rows: tuple[Task, ...] = ()
    is_mean_of_rows: bool = False

    @property
    def is_higher_better(self) -> bool:
        return self.kind in ("share", "correlation")


METRICS: Mapping[str, MetricRow] = {
    "exact_match": MetricRow(N_("Answers exactly right"), "share", _TEXTS, counts_rows=_TEXTS),
    "entity_f1": MetricRow(N_("Entities right (F1)"), "share", ("token_cls",)),
    "accuracy": MetricRow(N_("Right (accuracy)"), "share", (*_CLASSES, "token_cls"), counts_rows=("seq_cls",)),
    "entity_precision": MetricRow(N_("Found entities that are right (precision)"), "share", ("token_cls",)),
    "entity_recall": MetricRow(N_("Entities that were found (recall)"), "share", ("token_cls",)),
    "micro_f1": MetricRow(N_("F1 of all labels together (micro)"), "share", ("multi_label_classification",)),
    "macro_f1": MetricRow(N_("F1, mean over the labels (macro)"), "share", (*_CLASSES, "token_cls")),
    "rmse": MetricRow(N_("Typical error (RMSE)"), "error", ("regression",)),
    "mae": MetricRow(N_("Mean error (MAE)"), "error", ("regression",)),
    "pearson": MetricRow(N_("Correlation (Pearson)"), "correlation", ("regression",)),
    "field_f1": MetricRow(N_("Fields right (F1)"), "share", _TEXTS),
    "valid": MetricRow(N_("Valid JSON objects"), "share", _TEXTS, counts_rows=_TEXTS),
    "rougeL": MetricRow(N_("Common subsequence (ROUGE-L)"), "share", ("seq2seq",), is_mean_of_rows=True),
    "rouge1": MetricRow(N_("Common words (ROUGE-1)"), "share", ("seq2seq",), is_mean_of_rows=True),
    "rouge2": MetricRow(N_("Common pairs of words (ROUGE-2)"), "share", ("seq2seq",), is_mean_of_rows=True),
    "bleu": MetricRow(N_("Common n-grams (BLEU)"), "share", ("seq2seq",)),
    LOSS: MetricRow(N_("Held-out loss"), "loss", (*_TEXTS, *_CLASSES, "regression", "token_cls")),
    "perplexity": MetricRow(N_("Perplexity"), "loss", ("causal_lm",)),
}

# The first that shows a difference decides; the loss only where no other has anything to say.
DECIDING: Mapping[Task, tuple[str, ...]] = {
    "causal_lm": ("exact_match", "valid"),
    "seq2seq": ("exact_match", "valid", "rougeL"),
    "seq_cls": ("accuracy", "micro_f1", "rmse"),
    "token_cls": ("entity_f1", "accuracy"),
}

# The left one is asked only where the right one is missing or 0 before and after.
ASKED_WITHOUT: Mapping[str, str] = {"valid": "exact_match", "accuracy": "entity_f1"}


def metrics_of(task: Task, problem_type: ProblemType | None) -> tuple[str, ...]:
    """The metrics that runs of a task can have; `problem_type` is the kind of labels, None where the task has none."""
    return tuple(name for name, metric in METRICS.items() if (problem_type or task) in metric.tasks)


def is_loss(name: str | None) -> bool:
    return name is not None and name in METRICS and METRICS[name].kind == "loss"


def in_reading_order(names: Mapping[str, object]) -> list[str]:
    """The names of scores as people read them; those without a row come last."""
    return [name for name in METRICS if name in names] + [name for name in names if name not in METRICS]


def answer_kind(task: Task, scores: Mapping[str, object]) -> AnswerKind:
    """What the answers are whose scores these are."""
    if task == "token_cls":
        return "entities" if "entity_f1" in scores else "tags"
    if task == "seq_cls":
        return "number" if "rmse" in scores else "labels" if "micro_f1" in scores else "label"
    return "text"
