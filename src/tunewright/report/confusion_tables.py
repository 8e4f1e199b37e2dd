"""The tables of a run whose answers are labels: the confusion matrix, and what is found of each label."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.i18n import N_, _
from tunewright.metrics import confusion_matrix
from tunewright.metrics.confusion_matrix import ConfusionMatrix
from tunewright.report import formatting
from tunewright.report.run_record import RunRecord

_LABEL_HEADS = {"label": N_("Label"), "labels": N_("Label"), "entities": N_("Entity"), "tags": N_("Tag")}
MOST_CONFUSIONS = 10
MOST_LABELS = 20
MOST_IN_MATRIX = 12
SHADES = 5  # as many as report.css names


@dataclass(frozen=True)
class MatrixCell:
    """How many texts of a label were given another, or with `is_right` this one; `shade` is a class of report.css."""

    count: str
    shade: int
    is_right: bool


@dataclass(frozen=True)
class MatrixRow:
    """The texts of a label by what they were given."""

    label: str
    cells: Sequence[MatrixCell]
    total: str


@dataclass(frozen=True)
class MatrixTable:
    """The confusion matrix; with `has_rest` its last label stands for all that are rarely confused."""

    heads: Sequence[str]
    rows: Sequence[MatrixRow]
    has_rest: bool


@dataclass(frozen=True)
class ConfusedPair:
    """A label that was taken for another, and how often; `width` is that of a bar."""

    wanted: str
    answered: str
    rows: str
    width: str


@dataclass(frozen=True)
class LabelRow:
    """What is found of a label; `width` is that of a bar for F1."""

    label: str
    gold: str
    predicted: str
    precision: str
    recall: str
    f1: str
    width: str


@dataclass(frozen=True)
class LabelTables:
    """What the report shows of labels; without a matrix where a text may have several."""

    matrix: MatrixTable | None
    confusions: Sequence[ConfusedPair]
    num_confused: int
    num_rows: int
    head: str
    rows: Sequence[LabelRow]
    """The worst labels first."""
    total: int
    """How many labels there are."""


def label_tables(record: RunRecord) -> LabelTables | None:
    """Which labels the tuned model confuses, and what it finds of each; None for texts and numbers."""
    after = record.samples[1]
    if record.kind in ("text", "number") or not after:
        return None
    counts = confusion_matrix.by_label(record.kind, after)
    worst = sorted(counts, key=lambda item: (item.f1, -item.gold, item.label))[:MOST_LABELS]
    confused = confusion_matrix.confusions(after) if record.kind == "label" else []
    return LabelTables(
        matrix=_matrix(confusion_matrix.matrix(after, MOST_IN_MATRIX)) if record.kind == "label" else None,
        confusions=[
            ConfusedPair(
                wanted=item.reference,
                answered=item.predicted,
                rows=_("{hits} of {rows}").format(hits=item.rows, rows=item.of),
                width=f"{100 * item.rows / item.of:.1f}%",
            )
            for item in confused[:MOST_CONFUSIONS]
        ],
        num_confused=sum(item.rows for item in confused),
        num_rows=len(after),
        head=_(_LABEL_HEADS[record.kind]),
        rows=[
            LabelRow(
                label=item.label,
                gold=f"{item.gold:,}",
                predicted=f"{item.predicted:,}",
                precision=formatting.DASH if item.precision is None else formatting.percent(item.precision),
                recall=formatting.DASH if item.recall is None else formatting.percent(item.recall),
                f1=formatting.percent(item.f1),
                width=f"{100 * item.f1:.1f}%",
            )
            for item in worst
        ],
        total=len(counts),
    )


def _matrix(confusion: ConfusionMatrix) -> MatrixTable:
    """Cells shaded by their share of the row: of all texts of a label, those that were given this one."""
    names = [_("all others") if name is None else name for name in confusion.labels]
    rows = []
    for i, counts in enumerate(confusion.counts):
        total = sum(counts)
        # Among the others right and wrong are in one cell, so it is neither.
        shades = [
            0 if confusion.labels[i] is confusion.labels[j] is None else _shade(n, total) for j, n in enumerate(counts)
        ]
        cells = [
            MatrixCell(f"{count:,}" if count else "", shade, is_right=i == j and confusion.labels[i] is not None)
            for j, (count, shade) in enumerate(zip(counts, shades, strict=True))
        ]
        rows.append(MatrixRow(names[i], cells, f"{total:,}"))
    return MatrixTable(names, rows, has_rest=None in confusion.labels)


def _shade(count: int, total: int) -> int:
    return -(-SHADES * count // total) if total else 0
