"""Which of the compared settings to take, in sentences that claim no more than the intervals of their differences.

The highest score is held against every other one, with intervals that hold for all these differences together. Those that
the rows cannot tell from it are as good as it is, and the cheapest of them is taken: the fastest, and among those about
as fast the smallest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    """The answer of a comparison: `best` scores highest, `take` is the one to use, None where nothing can be advised.

    `differences` are those of every contestant to the best, by name; `tied` are as good as it within the noise.
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
    "{best} scores best, {metric} {value}, though {held_out} cannot tell it from {others}; none of these "
    "trains clearly faster. Take {best}."
)
BLIND = N_("Differences below {least} cannot be seen on {of_rows}; four times as many would halve that.")
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
    "{best} has the lowest loss on {held_out}, {value}. {others}: within 1 % of it, or not to be told from it; none "
    "of these trains clearly faster. Take {best}."
)
ALONE = N_("{best} scores best on {held_out}: {metric} {value}. Take {best}.")
NOT_WORTH = N_(
    "Not told from {best} by these rows, but not shown to be better than what costs no training either: {others}."
)
NOTHING = N_("No held-out rows were measured, so nothing can be said about new data.")
WHO: Mapping[str, str] = {
    "base": N_("the base model"),
    "untrained head": N_("the base model with an untrained head"),
    "prompted": N_("the base model with examples in its prompt"),
}


def recommend(found: Comparison) -> Recommendation:
    """What a comparison comes to."""
    ranked = sorted(
        (one for one in found.tuned if found.value(one) is not None), key=lambda one: _worth(found, one), reverse=True
    )
    if not ranked:
        return Recommendation(None, None, (), {}, (Phrase(NOTHING),))
    best, others = ranked[0], ranked[1:]
    differences = _differences(found, best)
    tied = tuple(one for one in ranked if one is best or not _is_behind(found, differences[one.name]))
    worth = [one for one in tied if one is best or _is_worth_training(found, one)]
    take = _cheapest(found, worth)
    is_sure = not is_loss(found.metric) or all(found.marks(one, found.metric) for one in found.contestants)
    doubt = _doubt_by_loss(found, best)
    if is_sure:
        doubt = doubt or _doubt(found, best, others, differences)
    if doubt:
        free = [differences.get(one.name) for one in found.untrained]
        return Recommendation(best, None, tied, differences, (doubt, *_blind(found, free)))
    if not is_sure:
        return Recommendation(best, take, tied, differences, (_by_loss(found, best, take),))
    said = [_said(found, best, take, worth, tied, others, differences), *_gain_over_base(found, take)]
    if beside := [one for one in tied if one not in worth]:
        said.append(Phrase(NOT_WORTH, best=best.name, others=_names(beside)))
    said += _blind(found, [differences[one.name] for one in tied if one is not best])
    return Recommendation(best, take, tied, differences, tuple(said))


def _worth(found: Comparison, one: Candidate) -> float:
    value = found.value(one)
    assert value is not None
    return value if METRICS[found.metric].is_higher_better else -value


def _differences(found: Comparison, best: Candidate) -> dict[str, Estimate]:
    """From the best to every other one, the base model too."""
    told = {one.name: found.difference(best, one) for one in found.contestants if one is not best}
    return {name: change for name, change in told.items() if change is not None}


def _is_behind(found: Comparison, change: Estimate) -> bool:
    """Whether a difference to the best is shown to be more than chance; for a loss, whether it is one percent, too."""
    if is_loss(found.metric) and not _is_one_percent(found, change):
        return False
    if change.interval is None:
        return is_loss(found.metric)
    low, high = change.interval
    return high < 0 if METRICS[found.metric].is_higher_better else low > 0


def _is_one_percent(found: Comparison, change: Estimate) -> bool:
    lowest = min(value for one in found.tuned if (value := found.value(one)) is not None)
    return change.value > SAME_LOSS * lowest


def _is_worth_training(found: Comparison, one: Candidate) -> bool:
    """Whether it is shown to be better than all that cost no training."""
    against = [found.difference(rival, one) for rival in found.untrained]
    is_above = all(
        change is not None and (change.interval is None or _is_above(found, change.interval, 0)) for change in against
    )
    return is_above and _doubt_by_loss(found, one) is None and _doubt_by_baseline(found, one) is None


def _cheapest(found: Comparison, tied: Sequence[Candidate]) -> Candidate:
    """The smallest of those that train about as fast as the fastest; of equals the one that scores highest."""
    fastest = min(_seconds(one) for one in tied)
    quick = [one for one in tied if _seconds(one) <= SAME_SECONDS * fastest]
    return min(quick, key=lambda one: (one.trainable_parameters or math.inf, -_worth(found, one)))


def _seconds(one: Candidate) -> float:
    return math.inf if one.seconds is None else one.seconds


def _doubt(
    found: Comparison, best: Candidate, others: Sequence[Candidate], differences: Mapping[str, Estimate]
) -> Phrase | None:
    """What stands against taking any of them: what costs no training may be as good as the best, or the rows are few."""
    values = _values(found, best)
    against = {one.name: found.difference(one, best) for one in found.untrained}
    changes = [*against.values(), *(differences[one.name] for one in others)]
    if any(change is None or change.interval is None for change in changes):
        return Phrase(FEW, **values)
    for name, change in against.items():
        if change is not None and not _is_above(found, change.interval, 0):
            return Phrase(NOT_BETTER, **(values | _change(found, change) | {"who": WHO[name]}))
    return _doubt_by_baseline(found, best)


def _doubt_by_baseline(found: Comparison, one: Candidate) -> Phrase | None:
    """The same of giving every row the same answer."""
    around = found.estimates[one.name][found.metric]
    constant = (found.baseline or {"scores": {}})["scores"].get(found.metric)
    if constant is None or not around.interval or _is_above(found, around.interval, constant):
        return None
    low, high = (formatting.rounded(found.metric, end) for end in around.interval)
    told = {"baseline": formatting.score(found.metric, constant), "low": low, "high": high}
    return Phrase(NOT_ABOVE_BASELINE, **(_values(found, one) | told))


def _is_above(found: Comparison, interval: Interval | None, value: float) -> bool:
    """Whether all of an interval is better than a value."""
    if interval is None:
        return False
    return interval[0] > value if METRICS[found.metric].is_higher_better else interval[1] < value


def _doubt_by_loss(found: Comparison, best: Candidate) -> Phrase | None:
    """The same of losses: one that cost no training may be as low, but for one percent."""
    value = found.value(best)
    for one in found.untrained if is_loss(found.metric) else ():
        base = found.value(one)
        if base is not None and value is not None and value >= (1 - SAME_LOSS) * base:
            told = {"value": formatting.score(found.metric, value), "base": formatting.score(found.metric, base)}
            who = {"who": WHO[one.name], "best": best.name, "held_out": formatting.held_out(found.held_out_rows)}
            return Phrase(NOT_BY_LOSS, **(told | who))
    return None


def _said(
    found: Comparison,
    best: Candidate,
    take: Candidate,
    worth: Sequence[Candidate],
    tied: Sequence[Candidate],
    others: Sequence[Candidate],
    differences: Mapping[str, Estimate],
) -> Phrase:
    values = _values(found, best)
    if not others:
        return Phrase(ONLY, **values)
    if len(tied) == 1:
        return Phrase(BEST, **(values | _change(found, differences[others[0].name]) | {"other": others[0].name}))
    if len(worth) == 1:
        return Phrase(ALONE, **values)
    if take is best:
        text = LOSS_TIED_AND_BEST if is_loss(found.metric) else TIED_AND_BEST
        return Phrase(text, **(values | {"others": _names([one for one in worth if one is not best])}))
    change = differences[take.name]
    text = LOSS_TIED if is_loss(found.metric) and not _is_one_percent(found, change) else TIED
    told = {"take": take.name, "value": formatting.score(found.metric, found.value(take)), "other": values["value"]}
    return Phrase(text, **(values | _change(found, change) | told | {"gain": _gain(take, best)}))


def _by_loss(found: Comparison, best: Candidate, take: Candidate) -> Phrase:
    value = formatting.score(found.metric, found.value(best))
    values: dict[str, Any] = {"best": best.name, "held_out": formatting.held_out(found.held_out_rows), "value": value}
    if take is best:
        return Phrase(BY_LOSS, **values)
    mine = formatting.score(found.metric, found.value(take))
    return Phrase(
        BY_LOSS_TIED, **(values | {"take": take.name, "value": mine, "other": value, "gain": _gain(take, best)})
    )


def _gain_over_base(found: Comparison, take: Candidate) -> list[Phrase]:
    """What it has won over each of those that cost no training."""
    text = AGAINST_BASE if METRICS[found.metric].is_higher_better else BELOW_BASE
    said = []
    for one in found.untrained:
        against = found.difference(one, take)
        if against is not None and against.interval is not None:
            values = {
                "who": WHO[one.name], "name": take.name, "metric": METRICS[found.metric].label,
            }  # fmt: skip
            said.append(Phrase(text, **(_change(found, against) | values)))
    return said


def _blind(found: Comparison, differences: Sequence[Estimate | None]) -> list[Phrase]:
    """How large a difference must be to be seen, where one was too small."""
    widths = [(one.interval[1] - one.interval[0]) / 2 for one in differences if one and one.interval]
    if not any(widths):  # where all rows are alike, nothing was too small to be seen
        return []
    return [Phrase(BLIND, least=_amount(found.metric, max(widths)), of_rows=formatting.rows(found.measured_rows))]


def _amount(metric: str, size: float) -> Phrase:
    """The size of a difference, rounded up: points of percent for shares."""
    if METRICS[metric].kind == "share":
        return Phrase(N_("{change} points"), change=math.ceil(100 * size))
    return Phrase("{size}", size=f"{size:.2g}")


def _values(found: Comparison, one: Candidate) -> dict[str, Any]:
    return {
        "best": one.name,
        "held_out": formatting.held_out(found.measured_rows),
        "metric": METRICS[found.metric].label,
        "value": formatting.score(found.metric, found.value(one)),
    }


def _change(found: Comparison, change: Estimate) -> dict[str, Any]:
    low, high = change.interval or (change.value, change.value)
    moved, ends = (
        formatting.signed(found.metric, change.value),
        [formatting.signed(found.metric, end) for end in (low, high)],
    )
    text = N_("{change} points") if METRICS[found.metric].kind == "share" else "{change}"
    return {"change": Phrase(text, change=moved), "low": ends[0], "high": ends[1]}


def _names(ones: Sequence[Candidate]) -> str:
    told = [one.name for one in ones[:MOST_NAMES]]
    return ", ".join(told + (["..."] if len(ones) > MOST_NAMES else []))


def _gain(take: Candidate, best: Candidate) -> Phrase:
    """What the one that is taken saves: time if it is clearly faster, or else numbers to train."""
    mine, its = _seconds(take), _seconds(best)
    sizes = {"few": take.trainable_parameters or 0, "many": best.trainable_parameters or 0}
    if mine * SAME_SECONDS >= its and sizes["few"] < sizes["many"]:
        told = {name: formatting.count(size) for name, size in sizes.items()}
        return Phrase(N_("trains {few} numbers instead of {many}"), **told)
    return Phrase(N_("trains {share} faster"), share=formatting.with_sign(f"{100 * (1 - mine / its):.0f}"))
