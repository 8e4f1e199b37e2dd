"""The histogram of row lengths as bars for inline SVG, with its table."""

from tunewright.data.summary import DataSummary
from tunewright.report.svg_axes import LEFT, RIGHT, TOP, WIDTH, ChartAxis, framed

BASE = 190  # where the bars start, from the top
GAP = 1.5  # between two bars, in units of the chart


def histogram(summary: DataSummary) -> dict[str, object]:
    """Bars with the rows that were cut on top, and the limit where it falls among them; empty for runs without one."""
    bins = summary.histogram
    if not bins:
        return {}
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
        bars.append({"x": left + GAP / 2, "width": round(right - left - GAP, 1), "top": top, "middle": middle,
                     "bottom": bottom, "told": f"{ends}: {num_rows:,}"})  # fmt: skip
        if num_rows:
            table.append((ends, f"{num_rows:,}", f"{num_cut:,}" if num_cut else ""))
    limit = summary.max_length
    place = x_axis.at(limit) if limit < whole else None
    return framed(x_axis, y_axis, bars=bars, table=table, limit=place, num_cut=sum(cut))


def _number(value: float) -> str:
    return f"{value:,.0f}"
