"""Scores that a person wants reached: `--min-score METRIC=VALUE`."""

from collections.abc import Mapping, Sequence

from tunewright.config.validation_problems import one_of
from tunewright.errors import Problem, Where, errors_of
from tunewright.i18n import N_
from tunewright.metrics.metric_table import METRICS


def parse_minimum(texts: Sequence[str], metrics: Sequence[str]) -> dict[str, float]:
    """METRIC=VALUE texts as numbers, of those `metrics` that are better when higher.

    Raises: ConfigError E133 with all that cannot be read or reached.
    """
    reachable = [name for name in metrics if METRICS[name].is_higher_better]
    minimum: dict[str, float] = {}
    problems = []
    for text in texts:
        metric, _equals, value = text.partition("=")
        try:
            minimum[metric] = float(value)
        except ValueError:
            problems.append(_bad_minimum(N_("takes METRIC=NUMBER"), text))
            continue
        if metric not in reachable:
            problems.append(_bad_minimum(one_of(reachable), metric))
    if problems:
        raise errors_of(problems)
    return minimum


def _bad_minimum(reason: str, value: str) -> Problem:
    return Problem(
        "E133", Where("--min-score", source=value), {"name": "--min-score", "reason": reason, "value": value}
    )


def missed(scores: Mapping[str, float], minimum: Mapping[str, float]) -> list[Problem]:
    """E508 for each score below the one that was wanted; a score that was not measured counts as 0."""
    return [
        Problem("E508", values={"metric": metric, "score": f"{scores.get(metric, 0.0):.3f}", "wanted": f"{least:g}"})
        for metric, least in minimum.items()
        if scores.get(metric, 0.0) < least
    ]
