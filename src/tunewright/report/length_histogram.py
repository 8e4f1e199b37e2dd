"""The histogram of row lengths as bars for inline SVG, with its table."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.data.summary import DataSummary
from tunewright.report.svg_axes import LEFT, RIGHT, TOP, WIDTH, Chart, ChartAxis

BASE = 190  # where the bars start, from the top
GAP = 1.5  # between two bars, in units of the chart


@dataclass(frozen=True)
class HistogramBar:
    """The rows of some lengths: those that were cut reach from `middle` to `top`; `label` says it in words."""

    x: float
    width: float
    top: float
    middle: float
    bottom: float
    label: str


@dataclass(frozen=True)
class Histogram(Chart):
    """Bars with the rows that were cut on top; `limit` is where max_length falls among them, None beyond them.

    The table has the lengths, the rows, and those that were cut.
    """

    bars: Sequence[HistogramBar]
    table: Sequence[tuple[str, str, str]]
    limit: float | None
    num_cut: int


def histogram(summary: DataSummary) -> Histogram | None:
    """The lengths of a run's rows; None for runs of versions that did not count them."""
    bins = summary.histogram
    if not bins:
        return None
    width, rows, cut = bins.width, bins.rows, bins.cut
    whole, longest = width * len(rows), summary.lengths["longest"]
    x_axis = ChartAxis(0, whole, LEFT, WIDTH - RIGHT, _number, least_step=1)
    y_axis = ChartAxis(0, 1.08 * max(1, *rows), BASE, TOP, _number, least_step=1)
    bars, table = [], []
    for i, (num_rows, num_cut) in enumerate(zip(rows, cut, strict=True)):
        first, last = i * width, (i + 1) * width - 1
        is_open = i + 1 == len(rows) and longest >= whole
        ends = f"≥ {first:,}" if is_open else f"{first:,}" if first == last else f"{first:,}–{last:,}"
        bottom, middle, top = (y_axis.at(value) for value in (0, num_rows - num_cut, num_rows))
        left, right = x_axis.at(first), x_axis.at(first + width)
        bars.append(
            HistogramBar(left + GAP / 2, round(right - left - GAP, 1), top, middle, bottom, f"{ends}: {num_rows:,}")
        )
        if num_rows:
            table.append((ends, f"{num_rows:,}", f"{num_cut:,}" if num_cut else ""))
    limit = summary.max_length
    place = x_axis.at(limit) if limit < whole else None
    return Histogram(x_axis, y_axis, bars=bars, table=table, limit=place, num_cut=sum(cut))


def _number(value: float) -> str:
    return f"{value:,.0f}"
