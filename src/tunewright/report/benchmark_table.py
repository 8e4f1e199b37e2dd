"""Benchmarks of base and tuned model side by side: what training cost on other work shows here."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tunewright.i18n import N_, _
from tunewright.metrics.confidence_intervals import Z95
from tunewright.report import formatting
from tunewright.rundir.records import BenchmarkRecord, BenchmarkTask, BenchmarkValue

BenchmarkOutcome = Literal["better", "worse", "level", "unknown"]
OUTCOMES: Mapping[BenchmarkOutcome, str] = {
    "better": N_("better than the base"),
    "worse": N_("worse than the base"),
    "level": N_("no difference shown"),
    "unknown": N_("not evaluated"),
}


@dataclass(frozen=True)
class BenchmarkRow:
    """One metric of one task; `before` and `after` are a value and its standard error, as the harness gives them."""

    task: str
    rows: int | None
    metric: str
    before: BenchmarkValue
    after: BenchmarkValue
    outcome: BenchmarkOutcome

    def cells(self) -> tuple[str, str, str, str, str]:
        """Task, metric, both scores and what they show, in this process's language."""
        return self.task, self.metric, _score(self.before), _score(self.after), _(OUTCOMES[self.outcome])

    def to_json(self) -> dict[str, object]:
        return {**vars(self), "before": self.before.model_dump(), "after": self.after.model_dump()}


def lines(benchmark: BenchmarkRecord | None) -> list[BenchmarkRow]:
    """The rows of the table from what a benchmark gave."""
    return [line for name, task in (benchmark.tasks if benchmark else {}).items() for line in _lines(name, task)]


def _lines(name: str, task: BenchmarkTask) -> Iterator[BenchmarkRow]:
    for metric in task.metrics:
        filtered = "" if metric.filter in ("", "none") else f" ({metric.filter})"
        outcome = judge(metric.before, metric.after, metric.is_higher_better)
        yield BenchmarkRow(name, task.rows, metric.metric + filtered, metric.before, metric.after, outcome)


def judge(before: BenchmarkValue, after: BenchmarkValue, is_higher_better: bool | None) -> BenchmarkOutcome:
    """Better or worse only where the difference is beyond 95 % of chance.

    The errors are added as those of two samples. Both models answered the same rows, which makes the true error smaller:
    what is called a difference is one.
    """
    numbers = (before.value, before.stderr, after.value, after.stderr)
    if is_higher_better is None or None in numbers:
        return "unknown"
    value, error, new, new_error = (float(number or 0.0) for number in numbers)
    change = new - value if is_higher_better else value - new
    if abs(change) <= Z95 * math.hypot(error, new_error):
        return "level"
    return "better" if change > 0 else "worse"


def _score(side: BenchmarkValue) -> str:
    if side.value is None:
        return formatting.DASH
    return f"{side.value:.4g}" if side.stderr is None else f"{side.value:.3f} ± {side.stderr:.3f}"
