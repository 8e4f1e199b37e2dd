"""Charts of a comparison as shapes for inline SVG: score against cost, and the held-out losses of all runs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.compare import words
from tunewright.compare.comparison import Comparison, Contestant
from tunewright.compare.drawing import base_loss
from tunewright.compare.metrics import METRICS

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 24, 36
COLOURS = 7  # as many as report.css names; more runs begin again with dashes
WIDE_SPREAD = 20  # from this ratio on an axis is logarithmic
LETTER = 6.5  # columns of SVG that a letter of a name takes
Number = Callable[[float], str]


@dataclass(frozen=True)
class Axis:
    """Values to places on a line from `begin` to `end`, with marks at round values."""

    low: float
    high: float
    begin: float
    end: float
    show: Number
    is_log: bool = False

    def at(self, value: float) -> float:
        low, high, value = (
            (math.log(v) for v in (self.low, self.high, value)) if self.is_log else (self.low, self.high, value)
        )
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.begin + share * (self.end - self.begin), 1)

    @property
    def marks(self) -> list[dict[str, Any]]:
        return [{"at": self.at(value), "text": self.show(value)} for value in self._round_values()]

    def _round_values(self) -> list[float]:
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 3) if len(powers) > 2 else (1, 2, 5)
            values = [step * 10.0**power for power in powers for step in steps]
        else:
            rough = (self.high - self.low) / 8 or 1.0
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough)
            values = [i * step for i in range(math.floor(self.low / step), math.ceil(self.high / step) + 1)]
        return [value for value in values if self.low <= value <= self.high]


def _axis(values: Sequence[float], begin: float, end: float, show: Number, *, from_zero: bool = False) -> Axis:
    """An axis that holds all values, with a little room around them."""
    low, high = min(values), max(values)
    if low > 0 and high / low >= WIDE_SPREAD:
        return Axis(low / 1.5, high * 1.5, begin, end, show, is_log=True)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(0.0 if from_zero else low - room, high + room, begin, end, show)


def scatter(found: Comparison, cost: Callable[[Contestant], float | None], show: Number) -> dict[str, Any]:
    """Score against a cost: a point with its interval for each setting, and the line of those that none beats in both."""
    seen = [
        (x, estimate, number, one)
        for number, one in enumerate(found.tuned)
        if (x := cost(one)) and (estimate := found.estimates[one.name].get(found.metric))
    ]
    if not seen:
        return {}
    ends = [end for _x, told, _number, _one in seen for end in (told.value, *(told.interval or ()))]
    x_axis = _axis([x for x, *_rest in seen], LEFT, WIDTH - RIGHT, show, from_zero=True)
    y_axis = _axis(ends, HEIGHT - BOTTOM, TOP, lambda value: words.rounded(found.metric, value))
    points = []
    for place, (x, told, number, one) in enumerate(sorted(seen, key=lambda point: point[0])):
        low, high = (y_axis.at(end) for end in told.interval or (told.value, told.value))
        is_below = place % 2 == 1  # neighbours often lie side by side, so their names stand on different sides
        room = LETTER * len(one.name) / 2
        points.append({
            "x": x_axis.at(x), "y": y_axis.at(told.value), "low": low, "high": high, "name": one.name,
            "label_x": min(max(x_axis.at(x), LEFT + room), WIDTH - room), "series": number % COLOURS + 1,
            "label_y": max(low, high) + 16 if is_below else min(low, high) - 8,
            "told": f"{one.name}: {words.score(found.metric, told.value)}, {show(x)}",
        })  # fmt: skip
    return _framed(x_axis, y_axis, points=points, front=_front(found, points))


def _front(found: Comparison, points: Sequence[dict[str, Any]]) -> str:
    """Points that no other beats in both, from cheap to dear, as an SVG path; y grows downwards."""
    sign = 1 if METRICS[found.metric].is_higher_better else -1
    best, front = math.inf, []
    for point in sorted(points, key=lambda point: (point["x"], sign * point["y"])):
        if sign * point["y"] < best:
            best = sign * point["y"]
            front.append(f"{point['x']},{point['y']}")
    return " ".join(front)


def losses(found: Comparison) -> dict[str, Any]:
    """Held-out loss by step of every run, from the base model's where it was measured on the same rows."""
    series = []
    for number, one in enumerate(found.tuned):
        for record in one.records:
            known = {
                event["step"]: event["held_out_loss"] for event in record.evals if event["held_out_loss"] is not None
            }
            base = base_loss(record)
            points = ({0: base} if base is not None else {}) | known
            if len(points) > 1:
                series.append((one.name, record, number, points))
    if not series:
        return {}
    steps = [step for *_rest, points in series for step in points]
    values = [value for *_rest, points in series for value in points.values()]
    x_axis = Axis(0, max(steps), LEFT, WIDTH - RIGHT, lambda value: f"{value:,.0f}")
    y_axis = _axis(values, HEIGHT - BOTTOM, TOP, lambda value: f"{value:.3g}")
    lines = [
        {
            "name": name, "series": number % COLOURS + 1, "is_dashed": number >= COLOURS,
            "path": " ".join(f"{x_axis.at(step)},{y_axis.at(value)}" for step, value in points.items()),
        }
        for name, _record, number, points in series
    ]  # fmt: skip
    rows = [
        (f"{step:,}", [words.number(points.get(step)) for *_rest, points in series])
        for step in sorted(dict.fromkeys(steps))
    ]
    return _framed(x_axis, y_axis, lines=lines, heads=[record.run.name for _name, record, *_rest in series], rows=rows)


def _framed(x_axis: Axis, y_axis: Axis, **parts: Any) -> dict[str, Any]:
    frame = {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}
    return {"width": WIDTH, "height": HEIGHT, "frame": frame, "x_marks": x_axis.marks, "y_marks": y_axis.marks, **parts}
