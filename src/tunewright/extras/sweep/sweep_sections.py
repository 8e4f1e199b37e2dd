"""A sweep for a page, from what its folder holds: how far it is, the front of score and cost, what mattered, all trials."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunewright.extras.comparison import comparison_charts
from tunewright.extras.comparison.comparison_charts import CostCharts, ImportanceBar, MeasuredCost
from tunewright.extras.sweep.sweep_record import FEWEST_FOR_IMPORTANCE, StoredTrial, SweepRecord, is_sweep, read_record
from tunewright.i18n import N_, _
from tunewright.metrics.metric_table import METRICS
from tunewright.metrics.paired_differences import Estimate
from tunewright.report import formatting

STATES: Mapping[str, str] = {
    "complete": N_("finished"),
    "pruned": N_("pruned"),
    "failed": N_("failed"),
    "running": N_("not finished"),
}
ON_FRONT, BESIDE = 1, 6  # colours of points


@dataclass(frozen=True)
class TrialLine:
    """A trial as people read it; `reason` is why it failed."""

    name: str
    state: str
    score: str
    seconds: str
    trained: str
    setting: str
    reason: str = ""
    is_best: bool = False
    is_on_front: bool = False


@dataclass(frozen=True)
class SweepSections:
    """What a page shows of a sweep. `counts` has the trials by state, those that ended without a score in words.

    Before the first trial has ended, and of a sweep that wrote no record, there are no `trials`.
    """

    metric: str
    num_finished: int
    counts: Mapping[str, int]
    best: TrialLine | None
    costs: CostCharts
    importance: Sequence[ImportanceBar]
    fewest_for_importance: int
    trials: Sequence[TrialLine]

    def best_names(self, most: int) -> list[str]:
        """The runs of the best finished trials."""
        return [trial.name for trial in self.trials if trial.score][:most]


def sweep_sections(folder: Path) -> SweepSections | None:
    """The sweep of a folder in this process's language; None for a folder without one. Raises: TrainingError E525."""
    if not is_sweep(folder):
        return None
    return _sections(read_record(folder) or SweepRecord(metric="held_out_loss", trials=[]))


def _sections(record: SweepRecord) -> SweepSections:
    by_seconds = _measured(record, lambda trial: trial.train_seconds)
    by_size = _measured(record, lambda trial: trial.trainable_parameters)
    on_front = {trial.name for trial in by_seconds if trial.is_named}
    lines = [_line(record, trial, on_front) for trial in _ranked(record)]
    states = Counter(trial.state for trial in record.trials)
    return SweepSections(
        metric=formatting.label(formatting.METRICS, record.metric),
        num_finished=states["complete"],
        counts={_(STATES[state]): states[state] for state in ("pruned", "failed") if states[state]},
        best=next((line for line in lines if line.is_best), None),
        costs=_costs(record.metric, by_seconds, by_size),
        importance=comparison_charts.importance_bars(record.importance),
        fewest_for_importance=FEWEST_FOR_IMPORTANCE,
        trials=lines,
    )


def _name(trial: StoredTrial) -> str:
    return Path(trial.run).name if trial.run else f"trial-{trial.number:03d}"


def _ranked(record: SweepRecord) -> list[StoredTrial]:
    """The best first, then those without a score."""
    sign = -1 if METRICS[record.metric].is_higher_better else 1
    order = list(STATES)
    return sorted(
        record.trials,
        key=lambda trial: (order.index(trial.state), trial.value is None, sign * (trial.value or 0.0), trial.number),
    )


def _line(record: SweepRecord, trial: StoredTrial, on_front: set[str]) -> TrialLine:
    name, size = _name(trial), trial.trainable_parameters
    return TrialLine(
        name=name,
        state=_(STATES[trial.state]),
        score=formatting.score(record.metric, trial.value) if trial.value is not None else "",
        seconds=formatting.duration(trial.train_seconds) if trial.train_seconds is not None else "",
        trained=formatting.count(size) if size is not None else "",
        setting=", ".join(f"{path.rpartition('.')[2]} {_value(value)}" for path, value in trial.params.items()),
        reason=trial.reason or "",
        is_best=trial.number == record.best,
        is_on_front=name in on_front,
    )


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else formatting.plain(value)


def _measured(record: SweepRecord, cost: Callable[[StoredTrial], float | None]) -> list[MeasuredCost]:
    """The finished trials whose cost is known, those on the front with their names; one run has no interval."""
    measured = [
        MeasuredCost(_name(trial), spent, Estimate(trial.value), BESIDE, is_named=False)
        for trial in record.trials
        if trial.value is not None and (spent := cost(trial))
    ]
    on_front = comparison_charts.front(record.metric, measured)
    return [replace(trial, series=ON_FRONT, is_named=True) if trial in on_front else trial for trial in measured]


def _costs(metric: str, by_seconds: Sequence[MeasuredCost], by_size: Sequence[MeasuredCost]) -> CostCharts:
    """Of the trained parameters where these differ."""
    differ = len({trial.cost for trial in by_size}) > 1
    return CostCharts(
        id="search-charts",
        metric=formatting.label(formatting.METRICS, metric),
        about=_(
            "Each point is a finished trial; its score is that of one run, without an interval. "
            "The broken line joins those that no other beats on both axes, and these are named."
        ),
        numbers=_("The numbers are in the table of trials below."),
        by_seconds=comparison_charts.against_seconds(metric, by_seconds),
        by_size=comparison_charts.against_size(metric, by_size) if differ else None,
    )
