"""What the report draws: the curves for uPlot with their tables, and bars in percent of their width."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from tunewright.i18n import _
from tunewright.report import formatting
from tunewright.report.run_record import RunRecord

MOST_POINTS = 2000
MOST_TABLE_ROWS = 150
SMOOTH_FROM = 20  # points; fewer are read as they are


def thin(points: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the points, evenly spread, the last one always."""
    stride = max(1, -(-len(points) // most))
    return list(points[::-1][::stride][::-1])


def smooth(values: Sequence[float | None]) -> list[float | None]:
    """Mean of a twentieth of the run around each point, so that it does not lag behind; narrower towards the ends."""
    last, half = len(values) - 1, max(1, len(values) // 40)
    sums = list(accumulate((value or 0.0 for value in values), initial=0.0))
    counts = list(accumulate((value is not None for value in values), initial=0))
    smoothed: list[float | None] = []
    for i in range(len(values)):
        reach = min(half, i, last - i)
        first, end = i - reach, i + reach + 1
        count = counts[end] - counts[first]
        smoothed.append((sums[end] - sums[first]) / count if count else None)
    return smoothed


def curves(record: RunRecord) -> dict[str, object]:
    """Series for the page's script: steps, losses, learning rate, and the words beside them. Plain JSON."""
    logs = record.logs
    losses = [event.loss for event in logs]
    running = dict(zip((e.step for e in logs), smooth(losses) if len(losses) >= SMOOTH_FROM else [], strict=False))
    train = {event.step: event.loss for event in thin(logs, MOST_POINTS)}
    held_out = {event.step: event.held_out_loss for event in thin(record.evals, MOST_POINTS)}
    base = base_loss(record)
    if base is not None:
        held_out = {0: base, **held_out}
    steps = sorted({*train, *held_out})
    rates = thin([(event.step, event.learning_rate) for event in logs], MOST_POINTS)
    return {
        "loss": {
            "steps": steps,
            "train": [train.get(step) for step in steps],
            "smooth": [running.get(step) for step in steps] if running else None,
            "held_out": [held_out.get(step) for step in steps],
            "best": record.best_step if record.evals else None,
        },
        "rate": {"steps": [step for step, _rate in rates], "rate": [rate for _step, rate in rates]},
        "words": {
            "step": _("step"),
            "train": _("training loss"),
            "smooth": _("running mean"),
            "held_out": _("held-out loss"),
            "rate": _("learning rate"),
            "copy": _("Copy"),
            "copied": _("Copied"),
            "best": _("kept: step {step}").format(step=record.best_step),
        },
    }


def base_loss(record: RunRecord) -> float | None:
    """The base model's held-out loss if it was measured on the rows that training measures."""
    before = record.before
    if before is None or not record.logs or before.held_out_rows > record.plan.run.eval.loss_rows:
        return None
    return before.scores.get("held_out_loss")


def loss_table(record: RunRecord) -> list[tuple[str, str, str]]:
    """Step, training loss, held-out loss: as many of each, evenly spread, as a table can hold."""
    train = {event.step: event.loss for event in record.logs}
    held_out = {event.step: event.held_out_loss for event in record.evals}
    steps = sorted({*thin(list(train), MOST_TABLE_ROWS), *thin(list(held_out), MOST_TABLE_ROWS)})
    return [(f"{s:,}", formatting.number(train.get(s)), formatting.number(held_out.get(s))) for s in steps]


def rate_table(record: RunRecord) -> list[tuple[str, str]]:
    events = thin(record.logs, MOST_TABLE_ROWS)
    return [(f"{event.step:,}", formatting.number(event.learning_rate)) for event in events]


@dataclass(frozen=True)
class BarSegment:
    """A part of a bar; begin and width in percent of the bar."""

    name: str
    value: float
    x: str
    width: str


def stack(parts: Mapping[str, float], whole: float) -> list[BarSegment]:
    """The segments of a bar that is `whole` wide."""
    segments, begin = [], 0.0
    for name, value in parts.items():
        width = 100 * value / whole if whole else 0.0
        segments.append(BarSegment(name, value, f"{begin:.3f}%", f"{width:.3f}%"))
        begin += width
    return segments
