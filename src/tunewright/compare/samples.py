"""Answers of base and tuned model side by side: which became right, which became wrong, and where they differ."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunewright.compare import words
from tunewright.compare.labels import SEPARATORS, parts
from tunewright.compare.metrics import AnswerKind
from tunewright.data.score import exact_match, is_json_task, json_scores
from tunewright.i18n import N_, _

Outcome = Literal["fixed", "broken", "wrong", "right", "unmarked"]

MOST_SHOWN = 20
MOST_OF_A_KIND = 6  # of the best and of the worst, before the rest fills up
MOST_CHARACTERS = 3000
MOST_FIELDS = 6

OUTCOMES: Mapping[Outcome, str] = {
    "fixed": N_("now right"),
    "broken": N_("right before, now wrong"),
    "wrong": N_("wrong before and now"),
    "right": N_("right before and now"),
    "unmarked": N_("not marked"),
}


@dataclass(frozen=True)
class Pair:
    """One held-out row with both answers; None stands for an answer that was not written.

    `closeness` is larger the nearer the last answer comes to the reference.
    """

    row: int
    prompt: str
    reference: str
    base: str | None
    tuned: str | None
    outcome: Outcome
    closeness: float
    differences: tuple[str, ...]

    @property
    def is_base_right(self) -> bool:
        return self.outcome in ("right", "broken")

    @property
    def is_tuned_right(self) -> bool:
        return self.outcome in ("right", "fixed")


def pairs(kind: AnswerKind, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Pair]:
    """The samples of both measurements by row. Numbers are not marked, nor is free text that never equals its reference."""
    tuned = {sample["row"]: sample for sample in after}
    base = {sample["row"]: sample for sample in before}
    rows = {**tuned, **base}
    is_marked = kind != "number" and (kind != "text" or _can_be_marked(list(rows.values()), [*before, *after]))
    return [_pair(kind, row, base.get(number), tuned.get(number), is_marked) for number, row in rows.items()]


def _can_be_marked(rows: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> bool:
    is_json = is_json_task([sample["reference"] for sample in rows])
    return is_json or any(_is_right("text", sample["answer"], sample["reference"]) for sample in answers)


def _pair(
    kind: AnswerKind,
    row: Mapping[str, Any],
    base: Mapping[str, Any] | None,
    tuned: Mapping[str, Any] | None,
    is_marked: bool,
) -> Pair:
    reference = row["reference"]
    was = base is not None and _is_right(kind, base["answer"], reference)
    now = tuned is not None and _is_right(kind, tuned["answer"], reference)
    outcome: Outcome = ("right" if now else "broken") if was else ("fixed" if now else "wrong")
    last = (tuned or row)["answer"]
    return Pair(
        row=row["row"],
        prompt=row["prompt"],
        reference=reference,
        base=base["answer"] if base else None,
        tuned=tuned["answer"] if tuned else None,
        outcome=outcome if is_marked and base and tuned else "unmarked",
        closeness=_closeness(kind, last, reference),
        differences=differences(kind, last, reference) if (is_marked and not now) or kind == "number" else (),
    )


def _is_right(kind: AnswerKind, answer: str, reference: str) -> bool:
    if kind in SEPARATORS:
        return Counter(parts(kind, answer)) == Counter(parts(kind, reference))
    return exact_match([answer], [reference]) == 1.0


def _closeness(kind: AnswerKind, answer: str, reference: str) -> float:
    if kind == "number":
        return -abs(float(answer) - float(reference))
    if kind == "text":
        return json_scores([answer], [reference])["field_f1"]
    given, wanted = Counter(parts(kind, answer)), Counter(parts(kind, reference))
    total = given.total() + wanted.total()
    return 2 * (given & wanted).total() / total if total else 1.0


def shown(found: Sequence[Pair]) -> list[Pair]:
    """Up to 20 to look at: some that became right, all kinds of wrong with the worst first, then the near misses.

    Of answers that are not marked: the worst and the best.
    """
    of: dict[Outcome, list[Pair]] = {outcome: [] for outcome in OUTCOMES}
    for pair in sorted(found, key=lambda pair: pair.closeness):
        of[pair.outcome].append(pair)
    first = [pair for kind in (of["fixed"], of["broken"], of["wrong"]) for pair in kind[:MOST_OF_A_KIND]]
    near_misses = of["wrong"][: MOST_OF_A_KIND - 1 : -1]
    worst, others = of["unmarked"][: MOST_SHOWN // 2], of["unmarked"][MOST_SHOWN // 2 :]
    ends = [*worst, *others[-MOST_SHOWN // 2 :]]
    rest = [*ends, *near_misses, *of["broken"][MOST_OF_A_KIND:], *of["fixed"][MOST_OF_A_KIND:], *of["right"]]
    chosen = (first + rest)[:MOST_SHOWN]
    order = list(OUTCOMES)
    return sorted(chosen, key=lambda pair: order.index(pair.outcome))


def count(found: Sequence[Pair]) -> dict[Outcome, int]:
    """How many rows had each outcome; only marked ones."""
    counted = Counter(pair.outcome for pair in found)
    return {outcome: counted[outcome] for outcome in OUTCOMES if outcome != "unmarked"}


def differences(kind: AnswerKind, answer: str, reference: str) -> tuple[str, ...]:
    """What is wrong with an answer: field by field, label by label, or how far it is off; nothing for other text."""
    hints = _DIFFERENCES[kind](kind, answer, reference)
    more = len(hints) - MOST_FIELDS
    return (*hints[:MOST_FIELDS], *([_("and {count} more").format(count=more)] if more > 0 else []))


def _field_differences(kind: AnswerKind, answer: str, reference: str) -> list[str]:
    gold, found = _fields(reference), _fields(answer)
    if gold is None:
        return []
    if found is None:
        return [_("not a JSON object")]
    hints = []
    for key in dict.fromkeys((*gold, *found)):
        if key not in found:
            hints.append(_("{key} is missing").format(key=key))
        elif key not in gold:
            hints.append(_("{key} was not asked for").format(key=key))
        elif not _is_right(kind, *(json.dumps({key: side[key]}) for side in (found, gold))):
            hints.append(_("{key} should be {value}").format(key=key, value=json.dumps(gold[key], ensure_ascii=False)))
    return hints


def _part_differences(kind: AnswerKind, answer: str, reference: str) -> list[str]:
    given, wanted = Counter(parts(kind, answer)), Counter(parts(kind, reference))
    missing = [_("{key} is missing").format(key=part) for part in (wanted - given).elements()]
    return missing + [_("{key} was not asked for").format(key=part) for part in (given - wanted).elements()]


def _tag_differences(kind: AnswerKind, answer: str, reference: str) -> list[str]:
    words_of_both = zip(parts(kind, answer), parts(kind, reference), strict=False)
    return [
        _("{given} should be {wanted}").format(given=a, wanted=b.rpartition("/")[2]) for a, b in words_of_both if a != b
    ]


def _distance(kind: AnswerKind, answer: str, reference: str) -> list[str]:
    return [_("off by {distance}").format(distance=words.number(abs(float(answer) - float(reference))))]


def _no_differences(kind: AnswerKind, answer: str, reference: str) -> list[str]:
    """A single label is right or wrong, and both are shown."""
    return []


_DIFFERENCES: Mapping[AnswerKind, Callable[[AnswerKind, str, str], list[str]]] = {
    "text": _field_differences,
    "label": _no_differences,
    "labels": _part_differences,
    "number": _distance,
    "entities": _part_differences,
    "tags": _tag_differences,
}


def _fields(text: str) -> dict[str, object] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def cut(text: str) -> str:
    """The text, or its beginning with a word on what is left out."""
    left = len(text) - MOST_CHARACTERS
    return text if left <= 0 else text[:MOST_CHARACTERS] + " … " + _("[{count} more characters]").format(count=left)
