"""The report of a comparison as one HTML file. Every figure comes from the runs' own files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tunewright.extras.comparison import comparison_charts
from tunewright.extras.comparison.aligned_runs import Candidate, Comparison, differing_settings
from tunewright.extras.comparison.comparison_table import lines, notes
from tunewright.extras.comparison.recommendation import Recommendation
from tunewright.i18n import N_, _
from tunewright.report import formatting, html_page, loss_charts
from tunewright.report import sample_pairs as answers
from tunewright.report.run_record import RunRecord
from tunewright.report.sample_pairs import SamplePair
from tunewright.rundir import atomic_io, file_names, output_targets
from tunewright.security import as_private_as

MOST_APART = 4  # settings that are told under a name
STYLES = ("report.css", "chart.css", "compare.css")
MOST_ROWS = 20
HEADLINES: Mapping[str, str] = {
    "take": N_("Take {name}"),
    "none": N_("None of them can be advised"),
    "unknown": N_("Not measured"),
}


def write_page(
    comparison: Comparison,
    choice: Recommendation,
    path: Path,
    *,
    importance: Mapping[str, float] = MappingProxyType({}),
) -> Path:
    """The path of the page, in this process's language. Raises: ConfigError E115, TrainingError E520, E524 as `check_page`."""
    with as_private_as(
        record.run.file(file_names.RUN_JSON) for candidate in comparison.tuned for record in candidate.records
    ):
        atomic_io.make_folder(path.parent)
        atomic_io.write_text(
            output_targets.output_file(path, is_ours=html_page.is_ours), render(comparison, choice, importance)
        )
    return path


def check_page(path: Path) -> None:
    """Raises: ConfigError E115 for a file that is not such a page; TrainingError E520, E524 where it cannot be written."""
    output_targets.output_folder(path.parent, is_new=False)
    if path.parent.is_dir():
        output_targets.output_file(path, is_ours=html_page.is_ours)


def render(
    comparison: Comparison, choice: Recommendation, importance: Mapping[str, float] = MappingProxyType({})
) -> str:
    """The page as text; the importance of what was searched is shown where it is known."""
    return html_page.render("compare.html.j2", styles=STYLES, **section_values(comparison, choice, importance))


def section_values(
    comparison: Comparison, choice: Recommendation, importance: Mapping[str, float] = MappingProxyType({})
) -> dict[str, Any]:
    """What the report's templates of `comparison` need to show it, in words of this process's language."""
    both = {candidate.name: _pairs(comparison, candidate) for candidate in comparison.tuned}
    return {
        "comparison": comparison,
        "choice": choice,
        "plan": comparison.tuned[0].records[0].plan,
        "headline": _headline(choice),
        "kind": _kind(choice),
        "metric": formatting.label(formatting.METRICS, comparison.metric),
        "lines": lines(comparison, choice),
        "notes": notes(comparison, choice),
        "costs": comparison_charts.cost_charts(comparison),
        "losses": comparison_charts.losses(comparison),
        "importance": comparison_charts.importance_bars(importance),
        "outcomes": _outcomes(both),
        "labels": answers.OUTCOMES,
        "disputed": _disputed(both),
        **_settings(comparison.differing, [candidate.name for candidate in comparison.tuned]),
    }


def run_values(records: Sequence[RunRecord]) -> dict[str, Any]:
    """The same of runs that need not have ended, nor have been measured on the same rows: curves and settings."""
    names = [record.run.name for record in records]
    return {
        "curves": comparison_charts.run_curves(records),
        **_settings(differing_settings(records), names),
    }


def _settings(differing: Mapping[str, Sequence[Any]], names: Sequence[str]) -> dict[str, Any]:
    shown = {
        key: [formatting.DASH if value is None else formatting.plain(value) for value in values]
        for key, values in differing.items()
    }
    return {"differing_names": names, "differing": shown, "apart": _apart(shown, names)}


def _apart(differing: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, str]:
    """By its name what sets a run apart from the others, where that is short."""
    if not 0 < len(differing) <= MOST_APART:
        return {}
    return {
        name: " · ".join(f"{key.rpartition('.')[2]} {values[place]}" for key, values in differing.items())
        for place, name in enumerate(names)
    }


def _headline(choice: Recommendation) -> str:
    outcome = "unknown" if choice.best is None else "take" if choice.take else "none"
    headline = _(HEADLINES[outcome])
    return headline.format(name=choice.take.name) if choice.take else headline


def _kind(choice: Recommendation) -> str:
    """The colour of the verdict: better, unclear or unknown."""
    if choice.best is None:
        return "unknown"
    is_sure = any(change.interval for change in choice.differences.values())
    return "better" if choice.take and is_sure else "unclear"


def _pairs(comparison: Comparison, candidate: Candidate) -> list[SamplePair]:
    """The base model's answers beside those of the first seed; none where the base was not measured on these rows."""
    return (
        answers.pairs(comparison.kind, comparison.base.samples[0], candidate.samples[0])
        if comparison.base.samples
        else []
    )


def _outcomes(both: Mapping[str, list[SamplePair]]) -> list[dict[str, object]]:
    """Rows won and lost against the base model, for each setting; empty where answers have no scores of their own."""
    outcomes: list[dict[str, object]] = []
    for name, pairs in both.items():
        counts = {str(kind): count for kind, count in answers.count(pairs).items()}
        if sum(counts.values()):
            outcomes.append({"name": name, "counts": counts, "bar": loss_charts.stack(counts, sum(counts.values()))})
    return outcomes


def _disputed(both: Mapping[str, list[SamplePair]]) -> dict[str, object]:
    """Rows that some settings have right and others wrong, the most disputed first."""
    by_row: dict[int, list[SamplePair]] = {}
    for pairs in both.values():
        for pair in pairs:
            if pair.outcome != "unmarked":
                by_row.setdefault(pair.row, []).append(pair)
    split = {row: Counter(pair.is_tuned_right for pair in pairs) for row, pairs in by_row.items()}
    rows = [row for row in by_row if len(split[row]) == 2]
    ranked = sorted(rows, key=lambda row: (abs(split[row][True] - split[row][False]), row))
    examples = [{"first": by_row[row][0], "answers": by_row[row]} for row in ranked[:MOST_ROWS]]
    return {"rows": examples, "total": len(rows), "names": list(both)}
