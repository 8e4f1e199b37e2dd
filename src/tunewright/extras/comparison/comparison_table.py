"""A comparison with its recommendation: JSON for scripts, and the rows of the table that people read."""

from collections.abc import Mapping
from dataclasses import dataclass

from tunewright.extras.comparison.aligned_runs import Candidate, Comparison
from tunewright.extras.comparison.recommendation import Recommendation
from tunewright.i18n import N_, _, ngettext
from tunewright.metrics.paired_differences import Estimate
from tunewright.report import formatting
from tunewright.rundir import file_names


@dataclass(frozen=True)
class ComparisonRow:
    """One row of the table as text."""

    name: str
    score: str
    interval: str
    difference: str
    seconds: str
    speed: str
    peak: str
    trained: str
    adapter: str
    is_recommended: bool


def lines(comparison: Comparison, choice: Recommendation) -> list[ComparisonRow]:
    """The table: the base model first, the others in the order of the runs."""
    return [_table_row(comparison, choice, candidate) for candidate in comparison.candidates]


def _table_row(comparison: Comparison, choice: Recommendation, candidate: Candidate) -> ComparisonRow:
    score = comparison.estimates[candidate.name].get(comparison.metric)
    change = choice.differences.get(candidate.name)
    speed = candidate.tokens_per_second
    return ComparisonRow(
        name=candidate.name if candidate.records else formatting.label(formatting.REFERENCES, candidate.name),
        score=formatting.score(comparison.metric, score.value if score else None),
        interval=_interval(comparison.metric, score),
        difference=_("best") if candidate is choice.best else _difference(comparison.metric, change),
        seconds=formatting.duration(candidate.seconds) if candidate.records else "",
        speed=f"{speed:,.0f}" if speed else "",
        peak=formatting.size(candidate.peak_bytes) if candidate.records else "",
        trained=formatting.count(candidate.trainable_parameters) if candidate.trainable_parameters else "",
        adapter=formatting.size(candidate.adapter_bytes) if candidate.records else "",
        is_recommended=candidate is choice.take,
    )


def _interval(metric: str, estimate: Estimate | None) -> str:
    if estimate is None or estimate.interval is None:
        return ""
    low, high = (formatting.rounded(metric, end).removesuffix("\u00a0%") for end in estimate.interval)
    return f"{low}–{high}"


def _difference(metric: str, estimate: Estimate | None) -> str:
    """The change with its interval: −2 (−7..+3)."""
    if estimate is None:
        return ""
    change = formatting.signed(metric, estimate.value)
    if estimate.interval is None:
        return change
    low, high = (formatting.signed(metric, end) for end in estimate.interval)
    return f"{change} ({low}..{high})"


def notes(comparison: Comparison, choice: Recommendation) -> list[str]:
    """What a careful reader should know about the table."""
    notes = []
    if any(
        comparison.estimates[candidate.name].get(comparison.metric, Estimate(0)).interval
        for candidate in comparison.tuned
    ):
        notes.append(
            _(
                "After the scores and in brackets: 95 % intervals over held-out rows. Differences are from "
                "the best setting, row by row; their intervals hold simultaneously."
            )
        )
    if comparison.prompted:
        notes.append(
            ngettext(
                "The base model was also evaluated with {count} training row in its prompt.",
                "The base model was also evaluated with {count} training rows in its prompt.",
                comparison.shots,
            ).format(count=comparison.shots)
        )
    seeds = [len(candidate.records) for candidate in comparison.tuned]
    if max(seeds) > 1:
        spreads = [
            f"{candidate.name} {_spread(comparison, candidate)}"
            for candidate in comparison.tuned
            if len(candidate.records) > 1
        ]
        notes.append(_("Scores are means over seeds, which gave: {spreads}.").format(spreads="; ".join(spreads)))
    if min(seeds) == 1:
        notes.append(
            _("How much another seed would change was not measured for settings with one run; --seeds 3 measures it.")
        )
    answered = {
        len(samples) for candidate in comparison.tuned for record in candidate.records for samples in record.samples[1:]
    }
    if comparison.rows and max(answered) > comparison.rows:
        notes.append(
            _(
                "Only the {rows} rows that all runs answered are compared, so scores may differ from the runs' own."
            ).format(rows=comparison.rows)
        )
    if comparison.absent:
        names = ", ".join(
            f"{run.name} ({formatting.label(formatting.STATES, state)})" for run, state in comparison.absent
        )
        notes.append(_("Left out, as they have not finished: {runs}.").format(runs=names))
    return notes


def _spread(comparison: Comparison, candidate: Candidate) -> str:
    """The scores of single seeds."""
    rows = comparison.marks(candidate, comparison.metric)
    values = [scores.value for scores in rows] or [
        score for scores in candidate.scores if (score := scores.get(comparison.metric)) is not None
    ]
    return " ".join(formatting.score(comparison.metric, value) for value in values)


def to_json(comparison: Comparison, choice: Recommendation) -> dict[str, object]:
    """For `compare --json`: stable names, English, bytes and seconds."""
    return {
        "schema": file_names.SCHEMA,
        "task": comparison.task,
        "metric": comparison.metric,
        "compared_rows": comparison.rows,
        "held_out_rows": comparison.held_out_rows,
        "shots": comparison.shots,
        "rows": [_row(comparison, choice, candidate) for candidate in comparison.candidates],
        "best": choice.best.name if choice.best else None,
        "take": choice.take.name if choice.take else None,
        "tied": [candidate.name for candidate in choice.tied],
        "verdict": choice.in_english(),
        "differs": comparison.differing,
        "left_out": [{"run": str(run.path), "state": state} for run, state in comparison.absent],
    }


def _row(comparison: Comparison, choice: Recommendation, candidate: Candidate) -> dict[str, object]:
    change = choice.differences.get(candidate.name)
    return {
        "name": candidate.name,
        "method": candidate.method,
        "rank": candidate.rank,
        "metrics": {metric: _estimate(estimate) for metric, estimate in comparison.estimates[candidate.name].items()},
        "difference_to_best": _estimate(change) if change else None,
        "seconds": candidate.seconds,
        "tokens_per_second": candidate.tokens_per_second,
        "peak_rss_bytes": candidate.peak_bytes,
        "trainable_parameters": candidate.trainable_parameters,
        "adapter_bytes": candidate.adapter_bytes,
        "run": str(candidate.records[0].run.path) if candidate.records else None,
        "runs": [
            {"run": str(record.run.path), "seed": record.plan.run.train.seed, "score": scores.get(comparison.metric)}
            for record, scores in zip(candidate.records, candidate.scores, strict=False)
        ],
    }


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


HEADS: Mapping[str, str] = {
    "name": N_("name"),
    "difference": N_("to the best"),
    "seconds": N_("training"),
    "speed": N_("tok/s"),
    "peak": N_("peak"),
    "trained": N_("trained"),
    "adapter": N_("adapter"),
}
