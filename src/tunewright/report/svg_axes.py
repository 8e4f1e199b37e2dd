"""Axes of the charts that are inline SVG: values to places, marks at round values, the frame around both."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 24, 48
WIDE_SPREAD = 20  # from this ratio on an axis is logarithmic
AxisNumber = Callable[[float], str]


@dataclass(frozen=True)
class AxisMark:
    """A round value of an axis, at its place."""

    at: float
    text: str


@dataclass(frozen=True)
class ChartAxis:
    """Values to places on a line from `begin` to `end`, with marks at round values; `least_step` is 1 for counts."""

    low: float
    high: float
    begin: float
    end: float
    show: AxisNumber
    is_log: bool = False
    least_step: float = 0.0

    def at(self, value: float) -> float:
        low, high, value = (
            (math.log(v) for v in (self.low, self.high, value)) if self.is_log else (self.low, self.high, value)
        )
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.begin + share * (self.end - self.begin), 1)

    @property
    def marks(self) -> list[AxisMark]:
        return [AxisMark(self.at(value), self.show(value)) for value in self._round_values()]

    def _round_values(self) -> list[float]:
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 3) if len(powers) > 2 else (1, 2, 5)
            values = [step * 10.0**power for power in powers for step in steps]
        else:
            rough = (self.high - self.low) / 8 or 1.0
            power = 10.0 ** math.floor(math.log10(rough))
            step = max(self.least_step, next(times * power for times in (1, 2, 5, 10) if times * power >= rough))
            values = [i * step for i in range(math.floor(self.low / step), math.ceil(self.high / step) + 1)]
        return [value for value in values if self.low <= value <= self.high]


def axis(values: Sequence[float], begin: float, end: float, show: AxisNumber, *, from_zero: bool = False) -> ChartAxis:
    """An axis that holds all values, with a little room around them."""
    low, high = min(values), max(values)
    if low > 0 and high / low >= WIDE_SPREAD:
        return ChartAxis(low / 1.5, high * 1.5, begin, end, show, is_log=True)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return ChartAxis(0.0 if from_zero else low - room, high + room, begin, end, show)


@dataclass(frozen=True)
class Chart:
    """What the template draws around a chart; the y axis begins at the bottom."""

    x_axis: ChartAxis
    y_axis: ChartAxis
    width: float = field(default=WIDTH, init=False)

    @property
    def height(self) -> float:
        return self.y_axis.begin + BOTTOM
