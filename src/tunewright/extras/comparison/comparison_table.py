"""A comparison with its choice: what scripts get, and the rows of the table that people read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunewright.extras.comparison.aligned_runs import Candidate, Comparison
from tunewright.extras.comparison.recommendation import Recommendation
from tunewright.i18n import N_, _, ngettext
from tunewright.metrics.paired_differences import Estimate
from tunewright.report import formatting
from tunewright.rundir import file_names


@dataclass(frozen=True)
class ComparisonRow:
    """One row of the table, as it is shown; `run` is where the first run of it lies."""

    name: str
    score: str
    interval: str
    difference: str
    seconds: str
    speed: str
    peak: str
    trained: str
    adapter: str
    is_taken: bool


def lines(found: Comparison, choice: Recommendation) -> list[ComparisonRow]:
    """The table: the base model first, the others in the order in which they were given."""
    return [_line(found, choice, one) for one in found.contestants]


def _line(found: Comparison, choice: Recommendation, one: Candidate) -> ComparisonRow:
    score = found.estimates[one.name].get(found.metric)
    change = choice.differences.get(one.name)
    speed = one.tokens_per_second
    return ComparisonRow(
        name=one.name if one.records else formatting.label(formatting.REFERENCES, one.name),
        score=formatting.score(found.metric, score.value if score else None),
        interval=_interval(found.metric, score),
        difference=_("best") if one is choice.best else _difference(found.metric, change),
        seconds=formatting.duration(one.seconds) if one.records else "",
        speed=f"{speed:,.0f}" if speed else "",
        peak=formatting.size(one.peak_bytes) if one.records else "",
        trained=formatting.count(one.trainable_parameters) if one.trainable_parameters else "",
        adapter=formatting.size(one.adapter_bytes) if one.records else "",
        is_taken=one is choice.take,
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


def notes(found: Comparison, choice: Recommendation) -> list[str]:
    """What a careful reader should know about the table."""
    said = []
    if any(found.estimates[one.name].get(found.metric, Estimate(0)).interval for one in found.tuned):
        said.append(
            _(
                "Behind the scores and in brackets: 95 % intervals over held-out rows. Differences are those to the best, row by "
                "row; their intervals hold for all of them together."
            )
        )
    if found.prompted:
        said.append(
            ngettext(
                "The base model was also asked with {count} training row in its prompt.",
                "The base model was also asked with {count} training rows in its prompt.",
                found.shots,
            ).format(count=found.shots)
        )
    seeds = [len(one.records) for one in found.tuned]
    if max(seeds) > 1:
        spreads = [f"{one.name} {_spread(found, one)}" for one in found.tuned if len(one.records) > 1]
        said.append(_("Scores are means over seeds, which gave: {spreads}.").format(spreads="; ".join(spreads)))
    if min(seeds) == 1:
        said.append(
            _("How much another seed would change was not measured for settings with one run; --seeds 3 measures it.")
        )
    answered = {len(samples) for one in found.tuned for record in one.records for samples in record.samples[1:]}
    if found.rows and max(answered) > found.rows:
        said.append(
            _(
                "Only the {rows} rows that all runs answered are compared, so scores may differ from the runs' own."
            ).format(rows=found.rows)
        )
    if found.absent:
        told = ", ".join(f"{run.name} ({formatting.label(formatting.STATES, state)})" for run, state in found.absent)
        said.append(_("Left out, as they have not come to their end: {runs}.").format(runs=told))
    return said


def _spread(found: Comparison, one: Candidate) -> str:
    """The scores of single seeds."""
    rows = found.marks(one, found.metric)
    values = [each.value for each in rows] or [scores[found.metric] for scores in one.scores if found.metric in scores]
    return " ".join(formatting.score(found.metric, value) for value in values)


def to_json(found: Comparison, choice: Recommendation) -> dict[str, Any]:
    """For `compare --json`: stable names, English, bytes and seconds."""
    return {
        "schema": file_names.SCHEMA,
        "task": found.task,
        "metric": found.metric,
        "compared_rows": found.rows,
        "held_out_rows": found.held_out_rows,
        "shots": found.shots,
        "rows": [_row(found, choice, one) for one in found.contestants],
        "best": choice.best.name if choice.best else None,
        "take": choice.take.name if choice.take else None,
        "tied": [one.name for one in choice.tied],
        "verdict": choice.in_english(),
        "differs": found.differing,
        "left_out": [{"run": str(run.path), "state": state} for run, state in found.absent],
    }


def _row(found: Comparison, choice: Recommendation, one: Candidate) -> dict[str, Any]:
    change = choice.differences.get(one.name)
    return {
        "name": one.name,
        "method": one.method,
        "rank": one.rank,
        "metrics": {metric: _estimate(told) for metric, told in found.estimates[one.name].items()},
        "difference_to_best": _estimate(change) if change else None,
        "seconds": one.seconds,
        "tokens_per_second": one.tokens_per_second,
        "peak_rss_bytes": one.peak_bytes,
        "trainable_parameters": one.trainable_parameters,
        "adapter_bytes": one.adapter_bytes,
        "run": str(one.records[0].run.path) if one.records else None,
        "runs": [
            {"run": str(record.run.path), "seed": record.plan.run.train.seed, "score": scores.get(found.metric)}
            for record, scores in zip(one.records, one.scores, strict=False)
        ],
    }


def _estimate(told: Estimate) -> dict[str, float | None]:
    return {"value": told.value, "low": told.low, "high": told.high}


HEADS: Mapping[str, str] = {
    "name": N_("name"), "difference": N_("to the best"), "seconds": N_("training"), "speed": N_("tok/s"),
    "peak": N_("peak"), "trained": N_("trained"), "adapter": N_("adapter"),
}  # fmt: skip
