"""Answers of base and tuned model side by side: which became right, which became wrong, and where they differ."""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Literal, TypeVar

from tunewright.data.word_text import split_words
from tunewright.i18n import N_, _
from tunewright.metrics.confusion_matrix import items
from tunewright.metrics.evaluated_rows import Sample
from tunewright.metrics.metric_table import AnswerKind
from tunewright.metrics.scoring import entities, entity_text, exact_match, is_json_object, is_json_task, json_scores
from tunewright.report import formatting
from tunewright.report.text_diff import DiffPart, differing

T = TypeVar("T")
PairOutcome = Literal["fixed", "broken", "wrong", "right", "unmarked"]

MOST_SHOWN = 20
MOST_OF_A_KIND = 6  # of the best and of the worst, before the rest fills up
MOST_CHARACTERS = 3000
MOST_FIELDS = 6

OUTCOMES: Mapping[PairOutcome, str] = {
    "fixed": N_("now right"),
    "broken": N_("right before, now wrong"),
    "wrong": N_("wrong before and now"),
    "right": N_("right before and now"),
    "unmarked": N_("not marked"),
}


@dataclass(frozen=True)
class SamplePair:
    """One held-out row with both answers; None means that no answer was generated.

    `closeness` is larger the nearer the last answer comes to the reference. `probability` is what the tuned model gives its
    label, None for other answers; `losses` are the mean losses of the reference before and after, None if not known. Numbers
    (`are_numbers`) are texts with all their digits.
    """

    row: int
    prompt: str
    reference: str
    base: str | None
    tuned: str | None
    outcome: PairOutcome
    closeness: float
    differences: tuple[str, ...]
    probability: float | None = None
    losses: tuple[float, float] | None = None
    are_numbers: bool = False

    @property
    def is_base_right(self) -> bool:
        return self.outcome in ("right", "broken")

    @property
    def is_tuned_right(self) -> bool:
        return self.outcome in ("right", "fixed")

    @property
    def hints(self) -> tuple[str, ...]:
        """What is shown below the tuned model's answer: what is wrong with it, and what was measured of it."""
        return (*self.differences, *self.measured)

    @property
    def measured(self) -> tuple[str, ...]:
        """How sure the model is of its label; of free text how well it predicts the reference."""
        if self.probability is not None:
            return (_("{share} sure").format(share=formatting.percent(self.probability)),)
        if self.losses is None or self.outcome != "unmarked":
            return ()
        before, after = (f"{loss:.2f}" for loss in self.losses)
        return (_("loss of the reference {before} → {after}").format(before=before, after=after),)

    @cached_property
    def parts(self) -> tuple[list[DiffPart], list[DiffPart]]:
        """Reference and tuned answer, as far as they are shown; in each is marked what the other does not have."""
        gold, answer = self.reference, self.tuned or ""
        if self.is_tuned_right or self.are_numbers:
            return [DiffPart(self.shown(gold))], [DiffPart(self.shown(answer))]
        return _marked(gold, answer), _marked(answer, gold)

    def shown(self, text: str) -> str:
        """The reference or an answer as people read it: a number with few digits, a long text cut."""
        return formatting.numeral(text) if self.are_numbers and text else cut(text)


@dataclass(frozen=True)
class SampleGroup:
    """Pairs that belong together, with what they have in common."""

    title: str
    pairs: Sequence[SamplePair]


def pairs(
    kind: AnswerKind,
    before: Sequence[Sample],
    after: Sequence[Sample],
    losses: Mapping[int, tuple[float, float]] = MappingProxyType({}),
) -> list[SamplePair]:
    """The samples of both measurements by row. Numbers are not marked, nor is free text that never equals its reference.

    `losses` are the mean losses of rows before and after.
    """
    tuned = {sample.row: sample for sample in after}
    base = {sample.row: sample for sample in before}
    rows = {**tuned, **base}
    is_marked = kind != "number" and (kind != "text" or _can_be_marked(list(rows.values()), [*before, *after]))
    samples = [_pair(kind, row, base.get(number), tuned.get(number), is_marked) for number, row in rows.items()]
    return [replace(pair, losses=losses.get(pair.row)) for pair in samples] if kind == "text" else samples


def _can_be_marked(rows: Sequence[Sample], answers: Sequence[Sample]) -> bool:
    is_json = is_json_task([sample.reference for sample in rows])
    return is_json or any(_is_right("text", sample) for sample in answers)


def _pair(
    kind: AnswerKind,
    row: Sample,
    base: Sample | None,
    tuned: Sample | None,
    is_marked: bool,
) -> SamplePair:
    was = base is not None and _is_right(kind, base)
    now = tuned is not None and _is_right(kind, tuned)
    outcome: PairOutcome = ("right" if now else "broken") if was else ("fixed" if now else "wrong")
    last = tuned or row
    return SamplePair(
        row=row.row,
        prompt=row.prompt,
        reference=row.reference,
        base=base.answer if base else None,
        tuned=tuned.answer if tuned else None,
        outcome=outcome if is_marked and base and tuned else "unmarked",
        closeness=_closeness(kind, last),
        differences=differences(kind, last) if (is_marked and not now) or kind == "number" else (),
        probability=tuned.probability if tuned else None,
        are_numbers=kind == "number",
    )


def _is_right(kind: AnswerKind, sample: Sample) -> bool:
    if kind == "text":
        return exact_match([sample.answer], [sample.reference]) == 1.0
    predicted, gold = items(kind, sample)
    return predicted == gold


def _closeness(kind: AnswerKind, sample: Sample) -> float:
    """A wrong label is the farther off the surer the model is of it."""
    if kind == "number":
        return -_distance(sample)
    if kind == "label":
        sure = sample.probability or 0.0
        return sure if _is_right(kind, sample) else -sure
    if kind == "text" and is_json_object(sample.reference):
        return json_scores([sample.answer], [sample.reference])["field_f1"]
    if kind == "text":
        return _in_common(split_words(sample.answer), split_words(sample.reference))
    return _in_common(*items(kind, sample))


def _distance(sample: Sample) -> float:
    return abs(float(sample.answer) - float(sample.reference))


def _in_common(answer: Iterable[Hashable], reference: Iterable[Hashable]) -> float:
    """F1 of the parts of an answer, whatever their order."""
    in_answer, in_reference = Counter(answer), Counter(reference)
    total = in_answer.total() + in_reference.total()
    return 2 * (in_answer & in_reference).total() / total if total else 1.0


def shown(sample_pairs: Sequence[SamplePair]) -> list[SamplePair]:
    """Up to 20 to look at: some that became right, all kinds of wrong with the worst first, then the near misses.

    Of answers that are not marked: the worst and the best.
    """
    of = _by_outcome(sample_pairs)
    first = [pair for kind in (of["fixed"], of["broken"], of["wrong"]) for pair in kind[:MOST_OF_A_KIND]]
    near_misses = of["wrong"][: MOST_OF_A_KIND - 1 : -1]
    worst, others = of["unmarked"][: MOST_SHOWN // 2], of["unmarked"][MOST_SHOWN // 2 :]
    ends = [*worst, *others[-MOST_SHOWN // 2 :]]
    rest = [*ends, *near_misses, *of["broken"][MOST_OF_A_KIND:], *of["fixed"][MOST_OF_A_KIND:], *of["right"]]
    chosen = (first + rest)[:MOST_SHOWN]
    order = list(OUTCOMES)
    return sorted(chosen, key=lambda pair: order.index(pair.outcome))


def groups(chosen: Sequence[SamplePair]) -> list[SampleGroup]:
    """Pairs by outcome; those that are not marked as the nearest to their references and the farthest."""
    of = _by_outcome(chosen)
    unmarked = of.pop("unmarked")
    half = len(unmarked) // 2
    sample_groups = [
        *(SampleGroup(_(OUTCOMES[kind]), sample_pairs) for kind, sample_pairs in of.items()),
        SampleGroup(_("Nearest to the reference"), unmarked[half:][::-1]),
        SampleGroup(_("Farthest from the reference"), unmarked[:half]),
    ]
    return [group for group in sample_groups if group.pairs]


def _by_outcome(sample_pairs: Sequence[SamplePair]) -> dict[PairOutcome, list[SamplePair]]:
    """Of the right answers the surest come first, of all others the worst."""
    of: dict[PairOutcome, list[SamplePair]] = {outcome: [] for outcome in OUTCOMES}
    for pair in sorted(sample_pairs, key=lambda pair: -pair.closeness if pair.is_tuned_right else pair.closeness):
        of[pair.outcome].append(pair)
    return of


def count(sample_pairs: Sequence[SamplePair]) -> dict[PairOutcome, int]:
    """How many rows had each outcome; only marked ones."""
    counted = Counter(pair.outcome for pair in sample_pairs)
    return {outcome: counted[outcome] for outcome in OUTCOMES if outcome != "unmarked"}


def differences(kind: AnswerKind, sample: Sample) -> tuple[str, ...]:
    """What is wrong with an answer: field by field, label by label, or how far it is off; nothing for other text."""
    hints = _DIFFERENCES[kind](sample)
    more = len(hints) - MOST_FIELDS
    return (*hints[:MOST_FIELDS], *([_("and {count} more").format(count=more)] if more > 0 else []))


def _field_differences(sample: Sample) -> list[str]:
    gold, answered = _fields(sample.reference), _fields(sample.answer)
    if gold is None:
        return []
    if answered is None:
        return [_("not a JSON object")]
    hints = []
    for key in dict.fromkeys((*gold, *answered)):
        if key not in answered:
            hints.append(_("{key} is missing").format(key=key))
        elif key not in gold:
            hints.append(_("{key} is not in the reference").format(key=key))
        elif not exact_match(*([json.dumps({key: side[key]})] for side in (answered, gold))):
            hints.append(_("{key} should be {value}").format(key=key, value=json.dumps(gold[key], ensure_ascii=False)))
    return hints


def _label_differences(sample: Sample) -> list[str]:
    return _unequal(sample.labels, sample.gold_labels, str)


def _entity_differences(sample: Sample) -> list[str]:
    """An entity of the right words at another place of the row is missing, and one that is not in the reference."""
    return _unequal(entities(sample.tags), entities(sample.gold_tags), partial(entity_text, sample.words))


def _unequal(predicted: Sequence[T], gold: Sequence[T], text: Callable[[T], str]) -> list[str]:
    missing = [_("{key} is missing").format(key=text(item)) for item in gold if item not in predicted]
    return missing + [_("{key} is not in the reference").format(key=text(i)) for i in predicted if i not in gold]


def _tag_differences(sample: Sample) -> list[str]:
    return [
        _("{predicted} should be {reference}").format(predicted=f"{word}/{predicted}", reference=gold)
        for word, predicted, gold in zip(sample.words, sample.tags, sample.gold_tags, strict=True)
        if predicted != gold
    ]


def _off_by(sample: Sample) -> list[str]:
    return [_("off by {distance}").format(distance=formatting.number(_distance(sample)))]


def _no_differences(sample: Sample) -> list[str]:
    """A single label is right or wrong, and both are shown."""
    return []


_DIFFERENCES: Mapping[AnswerKind, Callable[[Sample], list[str]]] = {
    "text": _field_differences,
    "label": _no_differences,
    "labels": _label_differences,
    "number": _off_by,
    "entities": _entity_differences,
    "tags": _tag_differences,
}


def _fields(text: str) -> dict[str, object] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _marked(text: str, other: str) -> list[DiffPart]:
    """What is shown of a text, with what the other does not have marked in it."""
    rest = cut(text)[MOST_CHARACTERS:]
    return [*differing(text[:MOST_CHARACTERS], other[:MOST_CHARACTERS]), *([DiffPart(rest)] if rest else [])]


def cut(text: str) -> str:
    """The text, or its beginning with a word on what is left out."""
    left = len(text) - MOST_CHARACTERS
    return text if left <= 0 else text[:MOST_CHARACTERS] + " … " + _("[{count} more characters]").format(count=left)
