"""Charts of a comparison as shapes for inline SVG: score against cost, and the held-out losses of all runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tunewright.extras.comparison.aligned_runs import Candidate, Comparison
from tunewright.i18n import _
from tunewright.metrics.metric_table import METRICS
from tunewright.metrics.paired_differences import Estimate
from tunewright.report import formatting
from tunewright.report.loss_charts import MOST_TABLE_ROWS, SMOOTH_FROM, BarSegment, base_loss, smooth, stack, thin
from tunewright.report.run_record import RunRecord
from tunewright.report.svg_axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, AxisNumber, Chart, ChartAxis, axis

COLOURS = 7  # as many as report.css names; more runs begin again with dashes
LEAST_TABLE_ROWS = 10
LETTER = 6.5  # width of a letter in SVG units


@dataclass(frozen=True)
class MeasuredCost:
    """A score with what it cost. `series` is the number of its colour; `is_named` writes the name beside the point."""

    name: str
    cost: float
    score: Estimate
    series: int
    is_named: bool = True


@dataclass(frozen=True)
class ScatterPoint:
    """A setting's score against its cost, in SVG units: the point, the ends of its interval, and where its name stands."""

    x: float
    y: float
    low: float
    high: float
    name: str
    label_x: float
    label_y: float
    label: str
    series: int


@dataclass(frozen=True)
class ScatterChart(Chart):
    """Settings by score and cost; `front` is the line that joins those that no other beats, as SVG has it."""

    points: Sequence[ScatterPoint]
    front: str


@dataclass(frozen=True)
class CostCharts:
    """What `comparison/charts.html.j2` shows: a score against time and against size; an empty chart is left out.

    `about` says what a point is, `numbers` where its values are to be read.
    """

    id: str
    metric: str
    about: str
    numbers: str
    by_seconds: ScatterChart | None
    by_size: ScatterChart | None


@dataclass(frozen=True)
class DrawnLine:
    """A run's curve as SVG has it, in the colour with this number."""

    name: str
    series: int
    is_dashed: bool
    path: str


@dataclass(frozen=True)
class LineChart(Chart):
    """The curves of runs, and their table: the runs in its head, and rows of a step and its values."""

    lines: Sequence[DrawnLine]
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class ImportanceBar:
    """A searched setting with its share of what made a difference."""

    name: str
    share: str
    bar: Sequence[BarSegment]


def cost_charts(comparison: Comparison) -> CostCharts:
    """What quality costs in each of the compared settings."""
    return CostCharts(
        id="charts",
        metric=formatting.label(formatting.METRICS, comparison.metric),
        about=_(
            "Each point is a setting with its 95 % interval. The broken line joins those that no other beats on both axes."
        ),
        numbers=_("The numbers are in the table above."),
        by_seconds=against_seconds(comparison.metric, _measured(comparison, lambda candidate: candidate.seconds)),
        by_size=against_size(
            comparison.metric, _measured(comparison, lambda candidate: candidate.trainable_parameters)
        ),
    )


def _measured(comparison: Comparison, cost: Callable[[Candidate], float | None]) -> list[MeasuredCost]:
    return [
        MeasuredCost(candidate.name, x, estimate, number % COLOURS + 1)
        for number, candidate in enumerate(comparison.tuned)
        if (x := cost(candidate)) and (estimate := comparison.estimates[candidate.name].get(comparison.metric))
    ]


def against_seconds(metric: str, measured: Sequence[MeasuredCost]) -> ScatterChart | None:
    """A chart of scores against seconds of training."""
    return _scatter(metric, measured, formatting.clock)


def against_size(metric: str, measured: Sequence[MeasuredCost]) -> ScatterChart | None:
    """A chart of scores against trained parameters."""
    return _scatter(metric, measured, lambda value: formatting.count(round(value)))


def _scatter(metric: str, measured: Sequence[MeasuredCost], show: AxisNumber) -> ScatterChart | None:
    """Score against a cost: a point with its interval for each setting, and the Pareto front; None without any."""
    if not measured:
        return None
    ends = [end for setting in measured for end in (setting.score.value, *(setting.score.interval or ()))]
    x_axis = axis([setting.cost for setting in measured], LEFT, WIDTH - RIGHT, show, from_zero=True)
    y_axis = axis(ends, HEIGHT - BOTTOM, TOP, lambda value: formatting.rounded(metric, value))
    points: list[ScatterPoint] = []
    num_named = 0
    for setting in sorted(measured, key=lambda setting: setting.cost):
        low, high = (y_axis.at(end) for end in setting.score.interval or (setting.score.value, setting.score.value))
        is_below = num_named % 2 == 1  # neighbours often lie side by side, so their labels alternate
        num_named += setting.is_named
        room = LETTER * len(setting.name) / 2
        points.append(
            ScatterPoint(
                x=x_axis.at(setting.cost),
                y=y_axis.at(setting.score.value),
                low=low,
                high=high,
                name=setting.name if setting.is_named else "",
                label_x=min(max(x_axis.at(setting.cost), LEFT + room), WIDTH - room),
                label_y=max(low, high) + 16 if is_below else min(low, high) - 8,
                label=f"{setting.name}: {formatting.score(metric, setting.score.value)}, {show(setting.cost)}",
                series=setting.series,
            )
        )
    line = " ".join(
        f"{x_axis.at(setting.cost)},{y_axis.at(setting.score.value)}" for setting in front(metric, measured)
    )
    return ScatterChart(x_axis, y_axis, points=points, front=line)


def front(metric: str, measured: Sequence[MeasuredCost]) -> list[MeasuredCost]:
    """The Pareto front from cheap to expensive: those that no other beats on both axes."""
    sign = -1 if METRICS[metric].is_higher_better else 1
    best = math.inf
    unbeaten = []
    for point in sorted(measured, key=lambda point: (point.cost, sign * point.score.value)):
        if sign * point.score.value < best:
            best = sign * point.score.value
            unbeaten.append(point)
    return unbeaten


def importance_bars(importance: Mapping[str, float]) -> list[ImportanceBar]:
    """Searched settings with their shares, the most important first."""
    ranked = sorted(importance.items(), key=lambda item: -item[1])
    return [ImportanceBar(name, formatting.percent(share), stack({"right": share}, 1.0)) for name, share in ranked]


def losses(comparison: Comparison) -> LineChart | None:
    """Held-out loss by step of every run, from the base model's where it was measured on the same rows."""
    return _overlaid(
        [
            RunLine(candidate.name, record.run.name, number, _held_out(record))
            for number, candidate in enumerate(comparison.tuned)
            for record in candidate.records
        ],
        MOST_TABLE_ROWS,
    )


def run_curves(records: Sequence[RunRecord]) -> dict[str, LineChart | None]:
    """Training loss, as a running mean, and held-out loss by step of each run, whether it has ended or not."""
    table_rows = max(LEAST_TABLE_ROWS, MOST_TABLE_ROWS // max(1, len(records)))
    lines = {
        name: [
            RunLine(record.run.name, record.run.name, number, points(record)) for number, record in enumerate(records)
        ]
        for name, points in (("training", _training), ("held_out", _held_out))
    }
    return {name: _overlaid(of_runs, table_rows) for name, of_runs in lines.items()}


@dataclass(frozen=True)
class RunLine:
    """A run's curve: the name that it is drawn under, its own, the number of its colour, and its values by step."""

    name: str
    run: str
    number: int
    points: Mapping[int, float]


def _held_out(record: RunRecord) -> dict[int, float]:
    known = {
        event.step: event.held_out_loss
        for event in thin(record.evals, MOST_TABLE_ROWS)
        if event.held_out_loss is not None
    }
    base = base_loss(record)
    return ({0: base} if base is not None else {}) | known


def _training(record: RunRecord) -> dict[int, float]:
    losses = [event.loss for event in record.logs]
    values = smooth(losses) if len(losses) >= SMOOTH_FROM else losses
    steps = [event.step for event in record.logs]
    points = thin(list(zip(steps, values, strict=True)), MOST_TABLE_ROWS)
    return {step: value for step, value in points if value is not None}


def _overlaid(runs: Sequence[RunLine], table_rows: int) -> LineChart | None:
    """Lines for one chart with their table, of which a run fills up to so many rows; None where no run has two points."""
    drawn = [line for line in runs if len(line.points) > 1]
    if not drawn:
        return None
    steps = [step for line in drawn for step in line.points]
    values = [value for line in drawn for value in line.points.values()]
    x_axis = ChartAxis(0, max(steps), LEFT, WIDTH - RIGHT, lambda value: f"{value:,.0f}", least_step=1)
    y_axis = axis(values, HEIGHT - BOTTOM, TOP, lambda value: f"{value:.3g}")
    lines = [
        DrawnLine(
            name=line.name,
            series=line.number % COLOURS + 1,
            is_dashed=line.number >= COLOURS,
            path=" ".join(f"{x_axis.at(step)},{y_axis.at(value)}" for step, value in line.points.items()),
        )
        for line in drawn
    ]
    listed = {step for line in drawn for step in thin(list(line.points), table_rows)}
    rows = [(f"{step:,}", [formatting.number(line.points.get(step)) for line in drawn]) for step in sorted(listed)]
    return LineChart(x_axis, y_axis, lines=lines, heads=[line.run for line in drawn], rows=rows)
