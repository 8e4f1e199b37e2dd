"""The tables of a run whose answers are labels: the confusion matrix, and what is found of each label."""

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


def label_tables(record: RunRecord) -> dict[str, object]:
    """Which labels the tuned model confuses, and what it finds of each; empty for texts and numbers."""
    after = record.samples[1]
    if record.kind in ("text", "number") or not after:
        return {}
    counts = confusion_matrix.by_label(record.kind, after)
    worst = sorted(counts, key=lambda item: (item.f1, -item.gold, item.label))[:MOST_LABELS]
    confused = confusion_matrix.confusions(after) if record.kind == "label" else []
    return {
        "is_single": record.kind == "label",
        "matrix": _matrix(confusion_matrix.matrix(after, MOST_IN_MATRIX)) if record.kind == "label" else {},
        "confusions": [
            {
                "wanted": item.reference,
                "answered": item.predicted,
                "rows": _("{hits} of {rows}").format(hits=item.rows, rows=item.of),
                "width": f"{100 * item.rows / item.of:.1f}%",
            }
            for item in confused[:MOST_CONFUSIONS]
        ],
        "num_confused": sum(item.rows for item in confused),
        "num_rows": len(after),
        "head": _(_LABEL_HEADS[record.kind]),
        "rows": [
            {
                "label": item.label,
                "gold": f"{item.gold:,}",
                "found": f"{item.predicted:,}",
                "precision": formatting.DASH if item.precision is None else formatting.percent(item.precision),
                "recall": formatting.DASH if item.recall is None else formatting.percent(item.recall),
                "f1": formatting.percent(item.f1),
                "width": f"{100 * item.f1:.1f}%",
            }
            for item in worst
        ],
        "total": len(counts),
    }


def _matrix(confusion: ConfusionMatrix) -> dict[str, object]:
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
            {
                "count": f"{count:,}" if count else "",
                "shade": shade,
                "is_right": i == j and confusion.labels[i] is not None,
            }
            for j, (count, shade) in enumerate(zip(counts, shades, strict=True))
        ]
        rows.append({"label": names[i], "cells": cells, "total": f"{total:,}"})
    return {"heads": names, "rows": rows, "has_rest": None in confusion.labels}


def _shade(count: int, total: int) -> int:
    return -(-SHADES * count // total) if total else 0
