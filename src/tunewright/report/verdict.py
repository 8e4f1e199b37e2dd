"""Was it worth it? The answer that the held-out scores give, and how sure it is.

The tuned model is compared with the better of two: the base model, and, where there is one, the baseline that gives
every row the same answer. A score with an interval is decided by the interval of its difference. A loss that changed by
less than `SAME_LOSS` counts as the same, however sure the rows are of the change.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tunewright.config.tasks import Task
from tunewright.i18n import N_, _, counted, spoken
from tunewright.metrics import confidence_intervals
from tunewright.metrics.confidence_intervals import FEW_ROWS, Interval
from tunewright.metrics.metric_table import ASKED_WITHOUT, DECIDING, METRICS, in_reading_order, is_loss
from tunewright.report import formatting
from tunewright.rundir.events import ScoreEvent

VerdictKind = Literal["better", "unclear", "worse", "unknown"]
Side = Literal["before", "baseline", "after"]

SAME_LOSS = 0.01  # a share of the loss before


@dataclass(frozen=True)
class ScoreChange:
    """One metric on the held-out rows: of the base model, of the baseline, of the tuned model; None if not measured.

    `rows` are those it was measured on; `is_count` says that it is the share of them that are right; `paired` is the
    interval of what training won, where it was computed row by row.
    """

    metric: str
    rows: int
    before: float | None = None
    baseline: float | None = None
    after: float | None = None
    intervals: Mapping[Side, Interval] = field(default_factory=dict)
    is_count: bool = False
    paired: Interval | None = None

    @property
    def reference(self) -> Side:
        """What the tuned model is compared with: the better of base and baseline."""
        if self.before is None or self.baseline is None or self.metric not in METRICS:
            return "before"
        is_better = (
            self.baseline > self.before if METRICS[self.metric].is_higher_better else self.baseline < self.before
        )
        return "baseline" if is_better else "before"

    @property
    def to_beat(self) -> float | None:
        return self.baseline if self.reference == "baseline" else self.before

    @property
    def difference(self) -> Interval | None:
        """95 % interval of what training won over the reference."""
        if self.paired is not None:
            return self.paired
        around = self.intervals.get("after")
        if self.to_beat is None or self.after is None or around is None:
            return None
        exact = (self.to_beat, self.to_beat)
        return confidence_intervals.of_difference(
            self.to_beat, self.intervals.get(self.reference, exact), self.after, around
        )

    def to_json(self) -> dict[str, object]:
        return {
            "metric": self.metric,
            "before": self.before,
            "baseline": self.baseline,
            "after": self.after,
            "rows": self.rows,
            "interval_before": self.intervals.get("before"),
            "interval_after": self.intervals.get("after"),
            "interval_difference": self.difference,
        }


@dataclass(frozen=True)
class Verdict:
    """The answer: `reason` is a sentence of the catalogue, `values` fill it, `metric` is the one that decided.

    `reference` is what the tuned model was compared with, by its name in `words.REFERENCES`.
    """

    kind: VerdictKind
    metric: str | None
    reason: str
    values: Mapping[str, object] = field(default_factory=dict)
    reference: str = "base"

    def title(self) -> str:
        """The answer in a few words, in this process's language."""
        return _(self._title)

    @property
    def _title(self) -> str:
        if is_loss(self.metric):
            return TITLES_BY_LOSS.get(self.kind, TITLES[self.kind])
        is_baseline = self.reference not in ("base", "untrained head")
        return TITLES_AGAINST_BASELINE.get(self.kind, TITLES[self.kind]) if is_baseline else TITLES[self.kind]

    def sentence(self) -> str:
        """What the answer rests on, in this process's language."""
        return _(self.reason).format_map(spoken(self.values))

    def to_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "metric": self.metric,
            "reference": self.reference,
            "title": self._title,
            "sentence": self.reason.format_map(self.values),
        }


TITLES: Mapping[VerdictKind, str] = {
    "better": N_("Yes, clearly better"),
    "unclear": N_("No difference can be shown"),
    "worse": N_("No, worse than the base model"),
    "unknown": N_("Not measured"),
}

TITLES_BY_LOSS: Mapping[VerdictKind, str] = {
    "better": N_("Yes, as far as the loss can tell"),
    "worse": N_("No, the loss has become worse"),
}

TITLES_AGAINST_BASELINE: Mapping[VerdictKind, str] = {
    "unclear": N_("Not shown to be better than one answer for all"),
    "worse": N_("No, one answer for all would be better"),
}

_WHO: Mapping[str, str] = {
    "base": N_("the base model"),
    "untrained head": N_("the base model with an untrained head"),
    "majority class": N_("always answering the most frequent class"),
    "mean": N_("always answering the mean"),
}

_COUNT_REASONS: Mapping[tuple[str, VerdictKind], str] = {
    ("exact_match", "better"): N_(
        "{after} of {answers} came out exactly right, {before} did before training: "
        "{change} points (95 % interval {low} to {high})."
    ),
    ("exact_match", "unclear"): N_(
        "{after} of {answers} came out exactly right, {before} did before training. On {of_rows} that can "
        "be chance: {change} points, 95 % interval {low} to {high}."
    ),
    ("exact_match", "worse"): N_(
        "Only {after} of {answers} came out exactly right, {before} did before training: "
        "{change} points (95 % interval {low} to {high})."
    ),
    ("valid", "better"): N_(
        "No held-out answer is exactly right yet, but {after} of {rows} came out as valid JSON objects, {before} did before "
        "training: {change} points (95 % interval {low} to {high})."
    ),
    ("valid", "unclear"): N_(
        "No held-out answer is exactly right, before or after. {after} of {rows} came out as valid JSON objects, {before} did "
        "before training; on {of_rows} that can be chance: {change} points, 95 % interval {low} to {high}."
    ),
    ("valid", "worse"): N_(
        "No held-out answer is exactly right, and only {after} of {rows} came out as valid JSON objects, {before} did before "
        "training: {change} points (95 % interval {low} to {high})."
    ),
    ("accuracy", "better"): N_(
        "{share_after} of {held_out} came out right; {who} gives {share_before}: "
        "{change} points (95 % interval {low} to {high})."
    ),
    ("accuracy", "unclear"): N_(
        "{share_after} of {held_out} came out right; {who} gives {share_before}. On {of_rows} that can be "
        "chance: {change} points, 95 % interval {low} to {high}."
    ),
    ("accuracy", "worse"): N_(
        "Only {share_after} of {held_out} came out right; {who} gives {share_before}: "
        "{change} points (95 % interval {low} to {high})."
    ),
}

_SHARE_REASONS: Mapping[VerdictKind, str] = {
    "better": N_(
        "{metric}: {share_after} on {held_out}; {who} gives {share_before}. "
        "That is {change} points (95 % interval {low} to {high})."
    ),
    "unclear": N_(
        "{metric}: {share_after} on {held_out}; {who} gives {share_before}. "
        "That can be chance: {change} points, 95 % interval {low} to {high}."
    ),
    "worse": N_(
        "{metric}: only {share_after} on {held_out}; {who} gives {share_before}. "
        "That is {change} points (95 % interval {low} to {high})."
    ),
}

_ERROR_REASONS: Mapping[VerdictKind, str] = {
    "better": N_(
        "{metric}: {share_after} on {held_out}; {who} gives {share_before}. "
        "Less is better: {change} (95 % interval {low} to {high})."
    ),
    "unclear": N_(
        "{metric}: {share_after} on {held_out}; {who} gives {share_before}. "
        "That can be chance: {change}, 95 % interval {low} to {high}."
    ),
    "worse": N_(
        "{metric}: {share_after} on {held_out}; {who} gives {share_before}. "
        "More is worse: {change} (95 % interval {low} to {high})."
    ),
}

_LOSS_REASONS: Mapping[str, str] = {
    "better": N_(
        "The loss on {held_out} fell from {before} to {after}: where the base model hesitated among "
        "{perplexity_before} tokens, the tuned one hesitates among {perplexity_after}."
    ),
    "better, sure": N_(
        "The loss on {held_out} fell from {before} to {after} ({change}, 95 % interval {low} to {high}): where the base "
        "model hesitated among {perplexity_before} tokens, the tuned one hesitates among {perplexity_after}."
    ),
    "lower": N_("The loss on {held_out} fell from {before} to {after}."),
    "lower, sure": N_(
        "The loss on {held_out} fell from {before} to {after} ({change}, 95 % interval {low} to {high})."
    ),
    "unclear": N_("The loss on {held_out} was {before} and is {after}: a difference of less than 1 % shows nothing."),
    "chance": N_(
        "The loss on {held_out} was {before} and is {after}. That can be chance: {change}, 95 % interval {low} to "
        "{high}."
    ),
    "few": N_("The loss went from {before} to {after}, but with {held_out} nothing can be said."),
    "worse": N_("The loss on {held_out} rose from {before} to {after}: the run made the model worse at them."),
    "worse, sure": N_(
        "The loss on {held_out} rose from {before} to {after} ({change}, 95 % interval {low} to {high}): the run made "
        "the model worse at them."
    ),
}

NOTHING_HELD_OUT = N_(
    "No rows were held out, so nothing can be said about new data. Hold some out: --set data.holdout=0.1"
)
ONLY_BEFORE = N_("The base model was evaluated, the tuned one was not: the run did not get that far.")
NOT_REACHED = N_("The run did not get as far as measuring the held-out rows.")
NOT_ALIKE = N_("Base and tuned model were evaluated on different rows, so they cannot be compared.")


def pair(
    task: Task,
    before: ScoreEvent | None,
    after: ScoreEvent | None,
    *,
    baseline: Mapping[str, float | None] | None = None,
    intervals: Mapping[Side, Mapping[str, Interval]] | None = None,
    paired: Mapping[str, Interval] | None = None,
) -> list[ScoreChange]:
    """The scores of two `score` events and of the baseline side by side, in the order in which people read them.

    `intervals` are those over rows, `paired` those of differences row by row; intervals of shares
    of rows are made here.
    """
    event = after or before
    if event is None:
        return []
    scores_by_side: dict[Side, Mapping[str, float | None]] = {
        "before": before.scores if before else {},
        "baseline": baseline or {},
        "after": after.scores if after else {},
    }
    names, won = in_reading_order(event.scores), paired or {}
    return [_score(task, name, event, scores_by_side, intervals or {}, won.get(name)) for name in names]


def _score(
    task: Task,
    name: str,
    event: ScoreEvent,
    scores_by_side: Mapping[Side, Mapping[str, float | None]],
    intervals: Mapping[Side, Mapping[str, Interval]],
    paired: Interval | None,
) -> ScoreChange:
    metric = METRICS.get(name)
    is_count = metric is not None and task in metric.counts_rows
    rows = event.held_out_rows if is_loss(name) else event.rows
    values = {side: scores.get(name) for side, scores in scores_by_side.items()}
    around: dict[Side, Interval] = {
        side: side_intervals[name] for side, side_intervals in intervals.items() if name in side_intervals
    }
    if is_count or (metric is not None and metric.is_mean_of_rows):
        share_intervals = {
            side: confidence_intervals.of_share(value, rows) for side, value in values.items() if value is not None
        }
        around |= {side: interval for side, interval in share_intervals.items() if interval is not None}
    return ScoreChange(
        name, rows, values["before"], values["baseline"], values["after"], around, is_count=is_count, paired=paired
    )


def judge(
    task: Task,
    before: ScoreEvent | None,
    after: ScoreEvent | None,
    scores: Sequence[ScoreChange],
    *,
    num_held_out: int,
    references: tuple[str, str] = ("base", ""),
) -> Verdict:
    """The verdict of two `score` events and their `scores`; `references` name the base model and the baseline."""
    if before is None or after is None:
        reason = NOTHING_HELD_OUT if not num_held_out else ONLY_BEFORE if before else NOT_REACHED
        return Verdict("unknown", None, reason)
    if (before.rows, before.held_out_rows) != (after.rows, after.held_out_rows):
        return Verdict("unknown", None, NOT_ALIKE)
    by_name = {score.metric: score for score in scores}
    by_kind: dict[str, Verdict] = {}
    for name in DECIDING[task]:
        if name in by_name and ASKED_WITHOUT.get(name) not in by_kind and _has_something_to_say(by_name[name]):
            by_kind[name] = _judged(by_name[name], references)
    clear = [verdict for verdict in by_kind.values() if verdict.kind != "unclear"]
    verdicts = [*clear, *by_kind.values()]
    return verdicts[0] if verdicts else _judge_loss(by_name)


def _has_something_to_say(score: ScoreChange) -> bool:
    """Not if nothing is right before or after, as in free text, and not if validity is the same."""
    if score.difference is None:
        return False
    return score.after != score.to_beat or (score.after != 0 and score.metric != "valid")


def _judged(score: ScoreChange, references: tuple[str, str]) -> Verdict:
    """The sentence for the interval of the difference."""
    assert score.difference is not None and score.after is not None and score.to_beat is not None
    metric = METRICS[score.metric]
    low, high = score.difference
    gain, loss = (low > 0, high < 0) if metric.is_higher_better else (high < 0, low > 0)
    kind: VerdictKind = "better" if gain else "worse" if loss else "unclear"
    reference = references[score.reference == "baseline"]
    values = {
        "metric": metric.label,
        "who": _WHO.get(reference, reference),
        **_rows(score.rows),
        "before": round(score.to_beat * score.rows),
        "after": round(score.after * score.rows),
        "share_before": formatting.score(score.metric, score.to_beat),
        "share_after": formatting.score(score.metric, score.after),
        "change": formatting.signed(score.metric, score.after - score.to_beat),
        "low": formatting.signed(score.metric, low),
        "high": formatting.signed(score.metric, high),
    }
    general = _ERROR_REASONS if metric.kind == "error" else _SHARE_REASONS
    reason = _COUNT_REASONS.get((score.metric, kind), general[kind]) if score.is_count else general[kind]
    return Verdict(kind, score.metric, reason, values, reference)


def _rows(count: int) -> dict[str, object]:
    """A number of rows, alone and in sentences."""
    answers = counted("{count} held-out answer", "{count} held-out answers", count)
    return {
        "rows": count,
        "held_out": formatting.held_out(count),
        "of_rows": formatting.rows(count),
        "answers": answers,
    }


def _judge_loss(scores: Mapping[str, ScoreChange]) -> Verdict:
    score = scores.get("held_out_loss")
    if score is None or score.before is None or score.after is None:
        return Verdict("unknown", None, NOT_REACHED)
    share = (score.after - score.before) / score.before if score.before else 0.0
    low, high = score.difference or (0.0, 0.0)
    values = {
        **_rows(score.rows),
        "before": f"{score.before:.3f}",
        "after": f"{score.after:.3f}",
        "change": formatting.signed(score.metric, score.after - score.before),
        "low": formatting.signed(score.metric, low),
        "high": formatting.signed(score.metric, high),
        "perplexity_before": f"{math.exp(min(score.before, 700.0)):.3g}",
        "perplexity_after": f"{math.exp(min(score.after, 700.0)):.3g}",
    }
    if score.rows < FEW_ROWS:
        return Verdict("unclear", score.metric, _LOSS_REASONS["few"], values)
    if abs(share) < SAME_LOSS:
        return Verdict("unclear", score.metric, _LOSS_REASONS["unclear"], values)
    if score.difference and low <= 0 <= high:
        return Verdict("unclear", score.metric, _LOSS_REASONS["chance"], values)
    kind: VerdictKind = "better" if share < 0 else "worse"
    reason = "lower" if kind == "better" and "perplexity" not in scores else kind
    return Verdict(kind, score.metric, _LOSS_REASONS[f"{reason}, sure" if score.difference else reason], values)
