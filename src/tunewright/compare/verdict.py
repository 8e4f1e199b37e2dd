"""Was it worth it? The answer that the held-out scores of base and tuned model give, and how sure it is.

A share of rows is judged by the 95 % interval of its difference (Newcombe's, made of the two Wilson intervals). It
takes the two shares as independent; they are of the same rows, so it is rather too wide than too narrow.
A loss has no interval, as the losses of single rows are not kept; below `SAME_LOSS` a change counts as none.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tunewright.data.score import interval
from tunewright.i18n import N_, _

Kind = Literal["better", "unclear", "worse", "unknown"]

SHARES = ("exact_match", "valid")  # metrics that count rows, in the order in which they decide
LOSSES = ("held_out_loss", "perplexity")  # metrics of all held-out rows; others are of the answers written
READING_ORDER = ("exact_match", "field_f1", "valid", *LOSSES)
SAME_LOSS = 0.01  # a share of the loss before
FEW_ROWS = 10  # below, a loss may be that of one odd row


def difference(before: tuple[int, int], after: tuple[int, int]) -> tuple[float, float]:
    """95 % interval of the difference of two shares, each given as successes and trials.

    Source: Newcombe (1998), Interval estimation for the difference between independent proportions, method 10.
    """
    (low_before, high_before), (low_after, high_after) = interval(*before), interval(*after)
    share_before, share_after = before[0] / before[1], after[0] / after[1]
    change = share_after - share_before
    low = change - math.hypot(share_after - low_after, high_before - share_before)
    high = change + math.hypot(high_after - share_after, share_before - low_before)
    return low, high


@dataclass(frozen=True)
class Score:
    """One metric on the held-out rows, of the base model and of the tuned one; None where it was not measured."""

    metric: str
    before: float | None
    after: float | None
    rows: int

    @property
    def is_share_of_rows(self) -> bool:
        return self.metric in SHARES and self.rows > 0

    @property
    def interval_before(self) -> tuple[float, float] | None:
        return self._interval(self.before)

    @property
    def interval_after(self) -> tuple[float, float] | None:
        return self._interval(self.after)

    @property
    def difference(self) -> tuple[float, float] | None:
        """95 % interval of after - before."""
        if self.before is None or self.after is None or not self.is_share_of_rows:
            return None
        before, after = round(self.before * self.rows), round(self.after * self.rows)
        return difference((before, self.rows), (after, self.rows))

    def _interval(self, share: float | None) -> tuple[float, float] | None:
        return interval(round(share * self.rows), self.rows) if share is not None and self.is_share_of_rows else None

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "before": self.before,
            "after": self.after,
            "rows": self.rows,
            "interval_before": self.interval_before,
            "interval_after": self.interval_after,
            "interval_difference": self.difference,
        }


@dataclass(frozen=True)
class Verdict:
    """The answer: `reason` is a sentence of the catalogue, `values` fill it, `metric` is the one that decided."""

    kind: Kind
    metric: str | None
    reason: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def title(self) -> str:
        """The answer in a few words, in this process's language."""
        return _(self._title)

    @property
    def _title(self) -> str:
        return TITLES_BY_LOSS.get(self.kind, TITLES[self.kind]) if self.metric in LOSSES else TITLES[self.kind]

    def sentence(self) -> str:
        """What the answer rests on, in this process's language."""
        return _(self.reason).format_map(self.values)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "metric": self.metric,
            "title": self._title,
            "sentence": self.reason.format_map(self.values),
        }


TITLES: Mapping[Kind, str] = {
    "better": N_("Yes, clearly better"),
    "unclear": N_("No difference can be shown"),
    "worse": N_("No, worse than the base model"),
    "unknown": N_("Not measured"),
}

TITLES_BY_LOSS: Mapping[Kind, str] = {
    "better": N_("Yes, as far as the loss can tell"),
    "worse": N_("No, the loss has become worse"),
}

_SHARE_REASONS: Mapping[tuple[str, str], str] = {
    ("exact_match", "better"): N_(
        "{after} of {rows} held-out answers are exactly right, {before} were before training: "
        "{change} points (95 % interval {low} to {high})."
    ),
    ("exact_match", "unclear"): N_(
        "{after} of {rows} held-out answers are exactly right, {before} were before training. On {rows} rows that can "
        "be chance: {change} points, 95 % interval {low} to {high}."
    ),
    ("exact_match", "worse"): N_(
        "Only {after} of {rows} held-out answers are exactly right, {before} were before training: "
        "{change} points (95 % interval {low} to {high})."
    ),
    ("valid", "better"): N_(
        "No held-out answer is exactly right yet, but {after} of {rows} are valid JSON objects, {before} were before "
        "training: {change} points (95 % interval {low} to {high})."
    ),
    ("valid", "unclear"): N_(
        "No held-out answer is exactly right, before or after. {after} of {rows} are valid JSON objects, {before} were "
        "before training; on {rows} rows that can be chance: {change} points, 95 % interval {low} to {high}."
    ),
    ("valid", "worse"): N_(
        "No held-out answer is exactly right, and only {after} of {rows} are valid JSON objects, {before} were before "
        "training: {change} points (95 % interval {low} to {high})."
    ),
}

_LOSS_REASONS: Mapping[str, str] = {
    "better": N_(
        "The loss on {rows} held-out rows fell from {before} to {after}: where the base model hesitated among "
        "{perplexity_before} tokens, the tuned one hesitates among {perplexity_after}."
    ),
    "unclear": N_(
        "The loss on {rows} held-out rows was {before} and is {after}: a difference of less than 1 % shows nothing."
    ),
    "few": N_("The loss went from {before} to {after}, but {rows} held-out rows are too few to tell."),
    "worse": N_(
        "The loss on {rows} held-out rows rose from {before} to {after}: the run made the model worse at them."
    ),
}

NOTHING_HELD_OUT = N_(
    "No rows were held out, so nothing can be said about new data. Hold some out: --set data.holdout=0.1"
)
ONLY_BEFORE = N_("The base model was measured, the tuned one was not: the run did not get that far.")
NOT_REACHED = N_("The run did not get as far as measuring the held-out rows.")
NOT_ALIKE = N_("Base and tuned model were measured on different rows, so they cannot be compared.")


def pair(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Score]:
    """The scores of two `score` events, side by side, in the order in which people read them."""
    event = after or before
    if event is None:
        return []
    names = [name for name in READING_ORDER if name in event["scores"]]
    names += [name for name in event["scores"] if name not in READING_ORDER]
    return [
        Score(
            name,
            before["scores"].get(name) if before else None,
            after["scores"].get(name) if after else None,
            event["held_out_rows" if name in LOSSES else "rows"],
        )
        for name in names
    ]


def judge(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, *, num_held_out: int) -> Verdict:
    """The verdict of two `score` events: the first metric that has something to say decides."""
    if before is None or after is None:
        reason = NOTHING_HELD_OUT if not num_held_out else ONLY_BEFORE if before else NOT_REACHED
        return Verdict("unknown", None, reason)
    if (before["rows"], before["held_out_rows"]) != (after["rows"], after["held_out_rows"]):
        return Verdict("unknown", None, NOT_ALIKE)
    scores = {score.metric: score for score in pair(before, after)}
    return _judge_shares([scores[name] for name in SHARES if name in scores]) or _judge_loss(scores)


def _judge_shares(shares: Sequence[Score]) -> Verdict | None:
    """None if no share can tell: nothing is right before or after, as in free text, and validity is the same."""
    for score in shares:
        assert score.before is not None and score.after is not None
        if score.difference is None or (score.before == score.after and (score.after == 0 or score.metric == "valid")):
            continue
        low, high = score.difference
        kind: Kind = "better" if low > 0 else "worse" if high < 0 else "unclear"
        values = {
            "rows": score.rows,
            "before": round(score.before * score.rows),
            "after": round(score.after * score.rows),
            "change": _points(score.after - score.before),
            "low": _points(low),
            "high": _points(high),
        }
        return Verdict(kind, score.metric, _SHARE_REASONS[score.metric, kind], values)
    return None


def _judge_loss(scores: Mapping[str, Score]) -> Verdict:
    score = scores.get("held_out_loss")
    if score is None or score.before is None or score.after is None:
        return Verdict("unknown", None, NOT_REACHED)
    change = (score.after - score.before) / score.before if score.before else 0.0
    kind: Kind = "unclear" if abs(change) < SAME_LOSS or score.rows < FEW_ROWS else "better" if change < 0 else "worse"
    reason = _LOSS_REASONS["few" if score.rows < FEW_ROWS else kind]
    values = {
        "rows": score.rows,
        "before": f"{score.before:.3f}",
        "after": f"{score.after:.3f}",
        "perplexity_before": f"{math.exp(min(score.before, 700.0)):.3g}",
        "perplexity_after": f"{math.exp(min(score.after, 700.0)):.3g}",
    }
    return Verdict(kind, score.metric, reason, values)


def _points(share: float) -> str:
    return f"{100 * share:+.0f}".replace("-", "−")
