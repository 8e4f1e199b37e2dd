"""Which of the compared settings to use, in sentences that claim no more than the intervals of their differences.

The highest score is compared with every other one, with simultaneous intervals. Candidates whose difference is not
significant are as good as it is, and the cheapest of them is recommended: the fastest, and the smallest of those about as
fast.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunewright.extras.comparison.aligned_runs import Candidate, Comparison
from tunewright.i18n import N_, Phrase
from tunewright.metrics.confidence_intervals import Interval
from tunewright.metrics.metric_table import METRICS, is_loss
from tunewright.metrics.paired_differences import Estimate
from tunewright.report import formatting
from tunewright.report.verdict import SAME_LOSS

SAME_SECONDS = 1.05
MOST_NAMES = 4


@dataclass(frozen=True)
class Recommendation:
    """The recommendation: `best` scores highest, `take` is the one to use, None where nothing can be recommended.

    `differences` are those of every candidate to the best, by name; `tied` do not differ significantly from it.
    """

    best: Candidate | None
    take: Candidate | None
    tied: tuple[Candidate, ...]
    differences: Mapping[str, Estimate]
    sentences: tuple[Phrase, ...]

    def verdict(self) -> str:
        """In this process's language; Chinese has no blanks between sentences."""
        return " ".join(sentence.spoken() for sentence in self.sentences).replace("。 ", "。")

    def in_english(self) -> str:
        return " ".join(self.sentences)


BEST = N_(
    "{best} is the best on {held_out}: {metric} {value}. {other} follows with {change} "
    "(95 % interval {low} to {high}). Take {best}."
)
ONLY = N_("{best}: {metric} {value} on {held_out}.")
TIED = N_(
    "{take} is as good as {best}, the best, as far as {held_out} can tell: {metric} {value}, {change} "
    "(95 % interval {low} to {high}), and it {gain}. Take {take}."
)
TIED_AND_BEST = N_(
    "{best} scores best, {metric} {value}, though {held_out} cannot distinguish it from "
    "{others}; none of these trains clearly faster. Take {best}."
)
RESOLUTION = N_("Differences below {least} cannot be detected with {of_rows}; four times as many would halve that.")
AGAINST_BASE = N_("Against {who}, {name} gains {change} (95 % interval {low} to {high}).")
BELOW_BASE = N_("{metric} of {name} against {who}: {change} (95 % interval {low} to {high}); less is better.")
NOT_BETTER = N_(
    "No run is shown to be better than {who} on {held_out}. The best one, {best}, has {metric} {value}: {change} "
    "(95 % interval {low} to {high})."
)
NOT_ABOVE_BASELINE = N_(
    "No run is shown to be better than giving every row the same answer, which has {metric} {baseline}. The best one, {best}, "
    "has {value} (95 % interval {low} to {high}) on {held_out}."
)
BY_LOSS = N_(
    "{best} has the lowest loss on {held_out}, {value}. The runs have no losses of the same single rows, so whether that "
    "is more than chance cannot be said. As far as the loss can tell, take {best}."
)
NOT_BY_LOSS = N_(
    "No run has a loss on {held_out} that is more than 1 % below that of {who}: {value} of {best} against {base}."
)
FEW = N_(
    "{best} scores best, {metric} {value}, but on {held_out} the differences have no interval, so it may be chance."
)
BY_LOSS_TIED = N_(
    "{take} is within 1 % of the lowest loss on {held_out} ({value} against {other} of {best}), and it {gain}. "
    "The runs have no losses of the same single rows, so more cannot be said. Take {take}."
)
LOSS_TIED = N_(
    "{take} is within 1 % of the lowest loss on {held_out}, {value} against {other} of {best}: {change} "
    "(95 % interval {low} to {high}), and it {gain}. Take {take}."
)
LOSS_TIED_AND_BEST = N_(
    "{best} has the lowest loss on {held_out}, {value}. {others}: within 1 % of it, or not "
    "distinguishable from it; none of these trains clearly faster. Take {best}."
)
ALONE = N_("{best} scores best on {held_out}: {metric} {value}. Take {best}.")
NOT_WORTH = N_(
    "Not distinguishable from {best} on these rows, but not shown to be better than what needs "
    "no training either: {others}."
)
NOTHING = N_("No held-out rows were evaluated, so nothing can be said about new data.")
WHO: Mapping[str, str] = {
    "base": N_("the base model"),
    "untrained head": N_("the base model with an untrained head"),
    "prompted": N_("the base model with examples in its prompt"),
}


def recommend(comparison: Comparison) -> Recommendation:
    """The recommendation of a comparison."""
    ranked = sorted(
        (candidate for candidate in comparison.tuned if comparison.value(candidate) is not None),
        key=lambda candidate: _rank_value(comparison, candidate),
        reverse=True,
    )
    if not ranked:
        return Recommendation(None, None, (), {}, (Phrase(NOTHING),))
    best, rest = ranked[0], ranked[1:]
    differences = _differences(comparison, best)
    tied = tuple(
        candidate for candidate in ranked if candidate is best or not _is_worse(comparison, differences[candidate.name])
    )
    worth = [candidate for candidate in tied if candidate is best or _is_worth_training(comparison, candidate)]
    take = _cheapest(comparison, worth)
    is_sure = not is_loss(comparison.metric) or all(
        comparison.marks(candidate, comparison.metric) for candidate in comparison.candidates
    )
    doubt = _doubt_by_loss(comparison, best)
    if is_sure:
        doubt = doubt or _doubt(comparison, best, rest, differences)
    if doubt:
        free = [differences.get(candidate.name) for candidate in comparison.untrained]
        return Recommendation(best, None, tied, differences, (doubt, *_resolution(comparison, free)))
    if not is_sure:
        return Recommendation(best, take, tied, differences, (_by_loss(comparison, best, take),))
    sentences = [
        _main_sentence(comparison, best, take, worth, tied, rest, differences),
        *_gain_over_base(comparison, take),
    ]
    if beside := [candidate for candidate in tied if candidate not in worth]:
        sentences.append(Phrase(NOT_WORTH, best=best.name, others=_names(beside)))
    sentences += _resolution(comparison, [differences[candidate.name] for candidate in tied if candidate is not best])
    return Recommendation(best, take, tied, differences, tuple(sentences))


def _rank_value(comparison: Comparison, candidate: Candidate) -> float:
    value = comparison.value(candidate)
    assert value is not None
    return value if METRICS[comparison.metric].is_higher_better else -value


def _differences(comparison: Comparison, best: Candidate) -> dict[str, Estimate]:
    """From the best to every other one, the base model too."""
    changes = {
        candidate.name: comparison.difference(best, candidate)
        for candidate in comparison.candidates
        if candidate is not best
    }
    return {name: change for name, change in changes.items() if change is not None}


def _is_worse(comparison: Comparison, change: Estimate) -> bool:
    """Whether a difference to the best is shown to be more than chance; for a loss, whether it is one percent, too."""
    if is_loss(comparison.metric) and not _is_one_percent(comparison, change):
        return False
    if change.interval is None:
        return is_loss(comparison.metric)
    low, high = change.interval
    return high < 0 if METRICS[comparison.metric].is_higher_better else low > 0


def _is_one_percent(comparison: Comparison, change: Estimate) -> bool:
    lowest = min(value for candidate in comparison.tuned if (value := comparison.value(candidate)) is not None)
    return change.value > SAME_LOSS * lowest


def _is_worth_training(comparison: Comparison, candidate: Candidate) -> bool:
    """Whether it is significantly better than all untrained candidates."""
    against = [comparison.difference(rival, candidate) for rival in comparison.untrained]
    is_above = all(
        change is not None and (change.interval is None or _is_above(comparison, change.interval, 0))
        for change in against
    )
    return (
        is_above and _doubt_by_loss(comparison, candidate) is None and _doubt_by_baseline(comparison, candidate) is None
    )


def _cheapest(comparison: Comparison, tied: Sequence[Candidate]) -> Candidate:
    """The smallest of those that train about as fast as the fastest; of equals the one that scores highest."""
    fastest = min(_seconds(candidate) for candidate in tied)
    quick = [candidate for candidate in tied if _seconds(candidate) <= SAME_SECONDS * fastest]
    return min(
        quick, key=lambda candidate: (candidate.trainable_parameters or math.inf, -_rank_value(comparison, candidate))
    )


def _seconds(candidate: Candidate) -> float:
    return math.inf if candidate.seconds is None else candidate.seconds


def _doubt(
    comparison: Comparison, best: Candidate, others: Sequence[Candidate], differences: Mapping[str, Estimate]
) -> Phrase | None:
    """A reason not to recommend any of them: an untrained candidate may be as good as the best, or there are few rows."""
    values = _values(comparison, best)
    against = {candidate.name: comparison.difference(candidate, best) for candidate in comparison.untrained}
    changes = [*against.values(), *(differences[candidate.name] for candidate in others)]
    if any(change is None or change.interval is None for change in changes):
        return Phrase(FEW, **values)
    for name, change in against.items():
        if change is not None and not _is_above(comparison, change.interval, 0):
            return Phrase(NOT_BETTER, **(values | _change(comparison, change) | {"who": WHO[name]}))
    return _doubt_by_baseline(comparison, best)


def _doubt_by_baseline(comparison: Comparison, candidate: Candidate) -> Phrase | None:
    """The same of giving every row the same answer."""
    around = comparison.estimates[candidate.name][comparison.metric]
    constant = comparison.baseline.scores.get(comparison.metric) if comparison.baseline else None
    if constant is None or not around.interval or _is_above(comparison, around.interval, constant):
        return None
    low, high = (formatting.rounded(comparison.metric, end) for end in around.interval)
    values = {"baseline": formatting.score(comparison.metric, constant), "low": low, "high": high}
    return Phrase(NOT_ABOVE_BASELINE, **(_values(comparison, candidate) | values))


def _is_above(comparison: Comparison, interval: Interval | None, value: float) -> bool:
    """Whether all of an interval is better than a value."""
    if interval is None:
        return False
    return interval[0] > value if METRICS[comparison.metric].is_higher_better else interval[1] < value


def _doubt_by_loss(comparison: Comparison, best: Candidate) -> Phrase | None:
    """The same of losses: one that cost no training may be as low, but for one percent."""
    value = comparison.value(best)
    for candidate in comparison.untrained if is_loss(comparison.metric) else ():
        base = comparison.value(candidate)
        if base is not None and value is not None and value >= (1 - SAME_LOSS) * base:
            losses = {
                "value": formatting.score(comparison.metric, value),
                "base": formatting.score(comparison.metric, base),
            }
            names = {
                "who": WHO[candidate.name],
                "best": best.name,
                "held_out": formatting.held_out(comparison.held_out_rows),
            }
            return Phrase(NOT_BY_LOSS, **(losses | names))
    return None


def _main_sentence(
    comparison: Comparison,
    best: Candidate,
    take: Candidate,
    worth: Sequence[Candidate],
    tied: Sequence[Candidate],
    others: Sequence[Candidate],
    differences: Mapping[str, Estimate],
) -> Phrase:
    values = _values(comparison, best)
    if not others:
        return Phrase(ONLY, **values)
    if len(tied) == 1:
        return Phrase(BEST, **(values | _change(comparison, differences[others[0].name]) | {"other": others[0].name}))
    if len(worth) == 1:
        return Phrase(ALONE, **values)
    if take is best:
        text = LOSS_TIED_AND_BEST if is_loss(comparison.metric) else TIED_AND_BEST
        return Phrase(
            text, **(values | {"others": _names([candidate for candidate in worth if candidate is not best])})
        )
    change = differences[take.name]
    text = LOSS_TIED if is_loss(comparison.metric) and not _is_one_percent(comparison, change) else TIED
    extra = {
        "take": take.name,
        "value": formatting.score(comparison.metric, comparison.value(take)),
        "other": values["value"],
    }
    return Phrase(text, **(values | _change(comparison, change) | extra | {"gain": _gain(take, best)}))


def _by_loss(comparison: Comparison, best: Candidate, take: Candidate) -> Phrase:
    value = formatting.score(comparison.metric, comparison.value(best))
    values: dict[str, object] = {
        "best": best.name,
        "held_out": formatting.held_out(comparison.held_out_rows),
        "value": value,
    }
    if take is best:
        return Phrase(BY_LOSS, **values)
    mine = formatting.score(comparison.metric, comparison.value(take))
    return Phrase(
        BY_LOSS_TIED, **(values | {"take": take.name, "value": mine, "other": value, "gain": _gain(take, best)})
    )


def _gain_over_base(comparison: Comparison, take: Candidate) -> list[Phrase]:
    """Its gain over each untrained candidate."""
    text = AGAINST_BASE if METRICS[comparison.metric].is_higher_better else BELOW_BASE
    sentences = []
    for candidate in comparison.untrained:
        against = comparison.difference(candidate, take)
        if against is not None and against.interval is not None:
            values = {"who": WHO[candidate.name], "name": take.name, "metric": METRICS[comparison.metric].label}
            sentences.append(Phrase(text, **(_change(comparison, against) | values)))
    return sentences


def _resolution(comparison: Comparison, differences: Sequence[Estimate | None]) -> list[Phrase]:
    """The smallest difference that these rows can show, where one was too small."""
    widths = [(change.interval[1] - change.interval[0]) / 2 for change in differences if change and change.interval]
    if not any(widths):  # where all rows are equal, no difference was too small to detect
        return []
    return [
        Phrase(
            RESOLUTION, least=_amount(comparison.metric, max(widths)), of_rows=formatting.rows(comparison.measured_rows)
        )
    ]


def _amount(metric: str, size: float) -> Phrase:
    """The size of a difference, rounded up: points of percent for shares."""
    if METRICS[metric].kind == "share":
        return Phrase(N_("{change} points"), change=math.ceil(100 * size))
    return Phrase("{size}", size=f"{size:.2g}")


def _values(comparison: Comparison, candidate: Candidate) -> dict[str, object]:
    return {
        "best": candidate.name,
        "held_out": formatting.held_out(comparison.measured_rows),
        "metric": METRICS[comparison.metric].label,
        "value": formatting.score(comparison.metric, comparison.value(candidate)),
    }


def _change(comparison: Comparison, change: Estimate) -> dict[str, object]:
    low, high = change.interval or (change.value, change.value)
    text = N_("{change} points") if METRICS[comparison.metric].kind == "share" else "{change}"
    return {
        "change": Phrase(text, change=formatting.signed(comparison.metric, change.value)),
        "low": formatting.signed(comparison.metric, low),
        "high": formatting.signed(comparison.metric, high),
    }


def _names(candidates: Sequence[Candidate]) -> str:
    names = [candidate.name for candidate in candidates[:MOST_NAMES]]
    return ", ".join(names + (["..."] if len(candidates) > MOST_NAMES else []))


def _gain(take: Candidate, best: Candidate) -> Phrase:
    """What the recommended candidate saves: time if it is clearly faster, else trained parameters."""
    mine, its = _seconds(take), _seconds(best)
    sizes = {"few": take.trainable_parameters or 0, "many": best.trainable_parameters or 0}
    if mine * SAME_SECONDS >= its and sizes["few"] < sizes["many"]:
        counts = {name: formatting.count(size) for name, size in sizes.items()}
        return Phrase(N_("trains {few} parameters instead of {many}"), **counts)
    return Phrase(N_("trains {share} faster"), share=formatting.with_sign(f"{100 * (1 - mine / its):.0f}"))
