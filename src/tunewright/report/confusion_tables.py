"""The tables of a run whose answers are labels: the confusion matrix, and what is found of each label."""

from typing import Any

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


def label_tables(found: RunRecord) -> dict[str, Any]:
    """Which labels the tuned model confuses, and what it finds of each; empty for texts and numbers."""
    after = found.samples[1]
    if found.kind in ("text", "number") or not after:
        return {}
    counts = confusion_matrix.by_label(found.kind, after)
    worst = sorted(counts, key=lambda one: (one.f1, -one.gold, one.label))[:MOST_LABELS]
    confused = confusion_matrix.confusions(after) if found.kind == "label" else []
    return {
        "is_single": found.kind == "label",
        "matrix": _matrix(confusion_matrix.matrix(after, MOST_IN_MATRIX)) if found.kind == "label" else {},
        "confusions": [
            {
                "wanted": one.reference,
                "answered": one.predicted,
                "rows": _("{hits} of {rows}").format(hits=one.rows, rows=one.of),
                "width": f"{100 * one.rows / one.of:.1f}%",
            }
            for one in confused[:MOST_CONFUSIONS]
        ],
        "num_confused": sum(one.rows for one in confused),
        "num_rows": len(after),
        "head": _(_LABEL_HEADS[found.kind]),
        "rows": [
            {
                "label": one.label,
                "gold": f"{one.gold:,}",
                "found": f"{one.predicted:,}",
                "precision": formatting.DASH if one.precision is None else formatting.percent(one.precision),
                "recall": formatting.DASH if one.recall is None else formatting.percent(one.recall),
                "f1": formatting.percent(one.f1),
                "width": f"{100 * one.f1:.1f}%",
            }
            for one in worst
        ],
        "total": len(counts),
    }


def _matrix(found: ConfusionMatrix) -> dict[str, Any]:
    """Cells shaded by their share of the row: of all texts of a label, those that were given this one."""
    names = [_("all others") if name is None else name for name in found.labels]
    rows = []
    for i, counts in enumerate(found.counts):
        total = sum(counts)
        # Among the others right and wrong stand in one cell, so it is neither.
        shades = [0 if found.labels[i] is found.labels[j] is None else _shade(n, total) for j, n in enumerate(counts)]
        cells = [
            {"count": f"{count:,}" if count else "", "shade": shade, "is_right": i == j and found.labels[i] is not None}
            for j, (count, shade) in enumerate(zip(counts, shades, strict=True))
        ]
        rows.append({"label": names[i], "cells": cells, "total": f"{total:,}"})
    return {"heads": names, "rows": rows, "has_rest": None in found.labels}


def _shade(count: int, total: int) -> int:
    return -(-SHADES * count // total) if total else 0
