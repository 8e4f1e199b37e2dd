"""Answers of base and tuned model side by side: which became right, which became wrong, and where they differ."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
    """One held-out row with both answers; None stands for an answer that was not written."""

    row: int
    prompt: str
    reference: str
    base: str | None
    tuned: str | None
    outcome: Outcome
    share_right: float
    differences: tuple[str, ...]

    @property
    def is_base_right(self) -> bool:
        return self.outcome in ("right", "broken")

    @property
    def is_tuned_right(self) -> bool:
        return self.outcome in ("right", "fixed")


def pairs(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Pair]:
    """The samples of both measurements by row. Free text, where no answer equals its reference, is not marked."""
    tuned = {sample["row"]: sample for sample in after}
    base = {sample["row"]: sample for sample in before}
    rows = {**tuned, **base}
    references = [sample["reference"] for sample in rows.values()]
    is_marked = is_json_task(references) or any(_is_right(s["answer"], s["reference"]) for s in (*before, *after))
    return [_pair(row, base.get(number), tuned.get(number), is_marked) for number, row in rows.items()]


def _pair(
    row: Mapping[str, Any], base: Mapping[str, Any] | None, tuned: Mapping[str, Any] | None, is_marked: bool
) -> Pair:
    reference = row["reference"]
    was = base is not None and _is_right(base["answer"], reference)
    now = tuned is not None and _is_right(tuned["answer"], reference)
    outcome: Outcome = ("right" if now else "broken") if was else ("fixed" if now else "wrong")
    last = tuned or row
    return Pair(
        row=row["row"],
        prompt=row["prompt"],
        reference=reference,
        base=base["answer"] if base else None,
        tuned=tuned["answer"] if tuned else None,
        outcome=outcome if is_marked and base and tuned else "unmarked",
        share_right=json_scores([last["answer"]], [reference])["field_f1"],
        differences=() if now or not is_marked else differences(last["answer"], reference),
    )


def _is_right(answer: str, reference: str) -> bool:
    return exact_match([answer], [reference]) == 1.0


def shown(found: Sequence[Pair]) -> list[Pair]:
    """Up to 20 to look at: some that became right, all kinds of wrong with the worst first, then the near misses."""
    of: dict[Outcome, list[Pair]] = {outcome: [] for outcome in OUTCOMES}
    for pair in sorted(found, key=lambda pair: pair.share_right):
        of[pair.outcome].append(pair)
    first = [pair for kind in (of["fixed"], of["broken"], of["wrong"]) for pair in kind[:MOST_OF_A_KIND]]
    near_misses = of["wrong"][: MOST_OF_A_KIND - 1 : -1]
    rest = [*of["unmarked"], *near_misses, *of["broken"][MOST_OF_A_KIND:], *of["fixed"][MOST_OF_A_KIND:], *of["right"]]
    chosen = (first + rest)[:MOST_SHOWN]
    order = list(OUTCOMES)
    return sorted(chosen, key=lambda pair: order.index(pair.outcome))


def count(found: Sequence[Pair]) -> dict[Outcome, int]:
    """How many rows had each outcome; only marked ones."""
    counted = Counter(pair.outcome for pair in found)
    return {outcome: counted[outcome] for outcome in OUTCOMES if outcome != "unmarked"}


def differences(answer: str, reference: str) -> tuple[str, ...]:
    """What is wrong with an answer that should be a JSON object, field by field; nothing for other text."""
    gold, found = _fields(reference), _fields(answer)
    if gold is None:
        return ()
    if found is None:
        return (_("not a JSON object"),)
    hints = []
    for key in dict.fromkeys((*gold, *found)):
        if key not in found:
            hints.append(_("{key} is missing").format(key=key))
        elif key not in gold:
            hints.append(_("{key} was not asked for").format(key=key))
        elif not _is_right(*(json.dumps({key: side[key]}) for side in (found, gold))):
            hints.append(_("{key} should be {value}").format(key=key, value=json.dumps(gold[key], ensure_ascii=False)))
    more = len(hints) - MOST_FIELDS
    return (*hints[:MOST_FIELDS], *([_("and {count} more").format(count=more)] if more > 0 else []))


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
