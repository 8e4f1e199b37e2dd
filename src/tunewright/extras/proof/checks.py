"""The seven checks of a deployed model against its run: pure functions of what both answered.

Each gives a `ProofCheck`. None of them can be replaced by another: with another pre-tokenizer all answers of four rows were
equal, with another end token too, and half of them with another chat template (SmolLM2, llama.cpp).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tunewright.extras.proof.endpoint_client import Answer
from tunewright.extras.proof.exactness import Exactness
from tunewright.extras.proof.observed import Observed, ObservedPrompt
from tunewright.extras.proof.reference import Reference, ReferencePrompt, ReferenceRow
from tunewright.i18n import N_
from tunewright.metrics import confidence_intervals, paired_differences
from tunewright.metrics.evaluated_rows import Sample
from tunewright.metrics.per_example_scores import marks
from tunewright.metrics.scoring import final_answer
from tunewright.rundir.records import CheckName, CheckOutcome, ProofCheck

Figures = dict[str, float | None]
NAMED_ROWS = 20
TUNED_SHARE = 0.9  # of the rows on which the run and its base differ
SEPARATION = 0.05  # of log-probabilities, mean: run and base are told apart by it
SCORES = ("exact_match", "valid")  # the first on which the run has any


@dataclass(frozen=True)
class Compared:
    """What the run and the deployed model answered, and how they are judged.

    `file_ends` are the end tokens that the deployed file names, None where no file is here.
    """

    reference: Reference
    observed: Observed
    exactness: Exactness
    file_ends: Collection[int] | None = None

    def answered(self) -> list[tuple[ReferenceRow, Answer]]:
        """The rows that the deployed model answered as text."""
        pairs = zip(self.reference.rows, self.observed.rows, strict=True)
        return [(row, seen.answer) for row, seen in pairs if seen.answer is not None]


def all_checks(compared: Compared) -> list[ProofCheck]:
    """The checks in the order in which they are read."""
    return [check(compared) for check in (template, ids, end, answers, logits, tuned, score)]


def template(compared: Compared) -> ProofCheck:
    """The text of each prompt; where the server does not tell it, tokens or their number of the prompts of three kinds."""
    pairs = _prompts(compared, with_rows=True)
    if any(seen.text is not None for _name, _expected, seen in pairs):
        faults = [name for name, expected, seen in pairs if not _same_text(expected, seen, compared.reference.bos)]
        return _of_prompts("template", pairs, faults, N_("the text of the prompt is another one"))
    pairs = _prompts(compared, with_rows=False)
    if not pairs:
        return ProofCheck(name="template", outcome="not_applicable", reason=N_("the rows are plain text"))
    return _by_tokens("template", pairs)


def ids(compared: Compared) -> ProofCheck:
    """The tokens of each prompt, and how many of them the answering request had."""
    return _by_tokens("ids", _prompts(compared, with_rows=True))


def end(compared: Compared) -> ProofCheck:
    """Each row that ended in the run ends here, and the end tokens of the run are end tokens of the file.

    An answer that turned elsewhere before its end, which `answers` judges, may well be longer than the run's could be: it counts
    where it ended, or where all turned.
    """
    ended = [(row, answer) for row, answer in compared.answered() if row.end_id is not None]
    pairs = [(row, answer) for row, answer in ended if answer.is_ended or not _turned(row, answer)] or ended
    open_rows = [row.number for row, answer in pairs if not answer.is_ended]
    first = list(compared.reference.end_tokens)[:1]
    needed = {row.end_id for row, _answer in pairs if row.end_id is not None} or set(first)
    unknown = sorted(needed - set(compared.file_ends)) if compared.file_ends is not None else []
    reason = N_("answers do not end") if open_rows else ""
    if unknown:
        reason = N_("an end token of the run is none of the file's")
    outcome: CheckOutcome = "failed" if open_rows or unknown else "ok" if pairs else "not_applicable"
    if outcome == "not_applicable":
        reason = N_("no answer of the run ended")
    figures: Figures = {"missing_end_id": float(unknown[0])} if unknown else {}
    return ProofCheck(
        name="end", outcome=outcome, held=len(pairs) - len(open_rows), total=len(pairs), rows=open_rows[:NAMED_ROWS],
        figures=figures, reason=reason,
    )  # fmt: skip


def answers(compared: Compared) -> ProofCheck:
    """Greedy answers are the run's; one that first differs where the run's two tokens are as likely is a tie."""
    pairs = compared.answered()
    gaps = _gaps(compared)
    ties = _ties(gaps, compared.exactness)
    faults = [number for number in gaps if number not in ties]
    known = [gap for gap in gaps.values() if gap is not None]
    figures: Figures = {"ties": float(len(ties)), **({"largest_gap": max(known)} if known else {})}
    reason = N_("answers differ from the run's") if faults else ""
    outcome = _judged(not faults, compared.exactness) if pairs else "not_applicable"
    return ProofCheck(
        name="answers", outcome=outcome, held=len(pairs) - len(gaps), total=len(pairs), rows=faults[:NAMED_ROWS],
        figures=figures, reason=reason if pairs else N_("the answers do not come as text"),
    )  # fmt: skip


def logits(compared: Compared) -> ProofCheck:
    """Log-probabilities of the likeliest tokens, at each place up to which both wrote the same.

    Of all of them, as the first of a model that is sure of itself hardly moves.
    """
    gaps = [
        (row.number, abs(seen - of_run))
        for row, answer in compared.answered()
        for of_run, seen in _likeliest(row, answer, compared.reference)
    ]
    if not gaps:
        return ProofCheck(name="logits", outcome="not_applicable", reason=N_("the server gives no log-probabilities"))
    values = [gap for _number, gap in gaps]
    figures: Figures = {"largest_gap": max(values), "mean_gap": sum(values) / len(values)}
    tolerance = compared.exactness.tolerance
    if tolerance is None:
        return ProofCheck(name="logits", outcome="measured", held=0, total=len(values), figures=figures)
    faults = list(dict.fromkeys(number for number, gap in gaps if not gap <= tolerance.largest))
    holds = not faults and sum(values) <= tolerance.mean * len(values)
    figures |= {"tolerance": tolerance.largest, "mean_tolerance": tolerance.mean}
    return ProofCheck(
        name="logits", outcome="ok" if holds else "failed", held=sum(gap <= tolerance.largest for gap in values),
        total=len(values), rows=faults[:NAMED_ROWS], figures=figures,
        reason="" if holds else N_("log-probabilities differ by more than rounding"),
    )  # fmt: skip


def tuned(compared: Compared) -> ProofCheck:
    """It is the tuned model: answers differ from the base's where the run's do, and its figures are nearer to the run's.

    Of a tie between the run's answer and the base's nothing is learned.
    """
    ties = _ties(_gaps(compared), compared.exactness)
    pairs = [
        (row, answer)
        for row, answer in compared.answered()
        if row.answer.strip() != row.base.strip() and row.number not in ties
    ]
    as_base = [row.number for row, answer in pairs if answer.text.strip() == row.base.strip()]
    changed = len(pairs) - len(as_base)
    separation, to_run, to_base = _distances(compared)
    is_apart = separation is not None and separation > SEPARATION
    if not pairs and not is_apart:
        reason = N_("the run answers as its base does")
        return ProofCheck(name="tuned", outcome="not_applicable", reason=reason)
    is_base = bool(pairs) and changed < TUNED_SHARE * len(pairs)
    is_nearer_to_base = is_apart and to_base <= to_run
    figures: Figures = {"distance_to_run": to_run, "distance_to_base": to_base} if separation is not None else {}
    return ProofCheck(
        name="tuned", outcome="failed" if is_base or is_nearer_to_base else "ok", held=changed, total=len(pairs),
        rows=as_base[:NAMED_ROWS], figures=figures,
        reason=N_("it answers as the base does") if is_base or is_nearer_to_base else "",
    )  # fmt: skip


def score(compared: Compared) -> ProofCheck:
    """The score on these rows, with its 95 % interval; it fails where that of its difference from the run's is below zero."""
    pairs = [(row, answer) for row, answer in compared.answered() if row.reference]
    total = len(pairs)
    for metric in SCORES:
        of_run = marks(metric, "text", [_sample(row, row.answer) for row, _answer in pairs])
        seen = marks(metric, "text", [_sample(row, answer.text) for row, answer in pairs])
        if of_run is None or seen is None or not of_run.value:
            continue
        around = confidence_intervals.of_share(seen.value, total)
        change = paired_differences.difference([of_run], [seen])
        assert around is not None and change.low is not None and change.high is not None  # both are shares of rows
        rows = [row.number for (row, _answer), run, now in zip(pairs, of_run.tops, seen.tops, strict=True) if now < run]
        is_worse = change.high < 0
        figures: Figures = {"run_score": of_run.value, "score": seen.value, "low": around[0], "high": around[1]}
        figures |= {"change_low": change.low, "change_high": change.high}
        return ProofCheck(
            name="score", outcome="failed" if is_worse else "ok", held=round(seen.value * total), total=total,
            rows=rows[:NAMED_ROWS], figures=figures, reason=N_("the score is below the run's") if is_worse else "",
        )  # fmt: skip
    return ProofCheck(
        name="score", outcome="not_applicable", reason=N_("the run answers none of these rows as the data do")
    )


def _sample(row: ReferenceRow, answer: str) -> Sample:
    return Sample(row=row.number, prompt="", reference=row.reference, answer=final_answer(answer))


def _judged(holds: bool, exactness: Exactness) -> CheckOutcome:
    """What differs only decides for weights that are exact."""
    return "measured" if not exactness.is_exact else "ok" if holds else "failed"


_Pair = tuple[str, ReferencePrompt, ObservedPrompt]


def _prompts(compared: Compared, *, with_rows: bool) -> list[_Pair]:
    """The prompts by name, and those of rows by number, as they should be and as they are."""
    reference, observed = compared.reference, compared.observed
    pairs = [(name, expected, observed.prompts[name]) for name, expected in reference.prompts.items()]
    if with_rows:
        rows = zip(reference.rows, observed.rows, strict=True)
        pairs += [(str(row.number), row.prompt, seen.prompt) for row, seen in rows if _is_known(seen.prompt)]
    return pairs


def _is_known(seen: ObservedPrompt) -> bool:
    return seen.ids is not None or seen.text is not None or seen.num_tokens is not None


def _same_text(expected: ReferencePrompt, seen: ObservedPrompt, bos: str) -> bool:
    # llama.cpp leaves out a beginning token that its tokenizer will add; check `ids` sees whether it does.
    return seen.text is not None and expected.text in (seen.text, bos + seen.text)


def _by_tokens(name: CheckName, pairs: Sequence[_Pair]) -> ProofCheck:
    known = [pair for pair in pairs if pair[2].ids is not None or pair[2].num_tokens is not None]
    if not known:
        return ProofCheck(
            name=name, outcome="not_applicable", reason=N_("the server does not count the tokens of a prompt")
        )
    faults = [key for key, expected, seen in known if not _same_ids(expected, seen)]
    if any(seen.ids is not None for _key, _expected, seen in known):
        return _of_prompts(name, known, faults, N_("the tokens of the prompt are others"))
    check = _of_prompts(name, known, faults, N_("the prompt has another number of tokens"))
    only_counted = check.reason or N_("only the number of tokens is known here")
    return check.model_copy(update={"reason": only_counted})


def _same_ids(expected: ReferencePrompt, seen: ObservedPrompt) -> bool:
    """Whether ids and number, as far as each is known, are those that should be."""
    has_ids = seen.ids is None or seen.ids == expected.ids
    has_number = seen.num_tokens is None or seen.num_tokens == len(expected.ids)
    return has_ids and has_number


def _of_prompts(name: CheckName, pairs: Sequence[_Pair], faults: Sequence[str], reason: str) -> ProofCheck:
    rows = [int(fault) for fault in faults if fault.isdigit()]
    return ProofCheck(
        name=name, outcome="failed" if faults else "ok", held=len(pairs) - len(faults), total=len(pairs),
        rows=rows[:NAMED_ROWS], prompts=[fault for fault in faults if not fault.isdigit()], reason=reason if faults else "",
    )  # fmt: skip


def _gaps(compared: Compared) -> dict[int, float | None]:
    """Of each row with another answer: how far apart the run's two tokens are where it first differs."""
    return {
        row.number: _gap_between(row, answer, compared.reference)
        for row, answer in compared.answered()
        if not _same_answer(row, answer)
    }


def _ties(gaps: Mapping[int, float | None], exactness: Exactness) -> list[int]:
    """The rows with another answer whose two tokens are as likely to the run; none where answers may change."""
    tolerance = exactness.tolerance
    if tolerance is None:
        return []
    return [number for number, gap in gaps.items() if gap is not None and gap <= tolerance.tie]


def _turned(row: ReferenceRow, answer: Answer) -> bool:
    """Whether the answers differ before one of them is at its end."""
    of_run, seen = row.answer.strip(), answer.text.strip()
    return not seen.startswith(of_run) and not of_run.startswith(seen)


def _same_answer(row: ReferenceRow, answer: Answer) -> bool:
    # Engines and tokenizers disagree on blanks around a text, not on its tokens.
    return answer.text.strip() == row.answer.strip() and (row.end_id is None or answer.is_ended)


def _written(row: ReferenceRow, answer: Answer, reference: Reference) -> int:
    """How many tokens the deployed model wrote as the run did, from the first; all of the run's if it never differed."""
    for place, (token, wanted) in enumerate(zip(answer.tokens or (), row.ids, strict=False)):
        if not token.is_token(wanted, reference.vocabulary.get(wanted, "")):
            return place
    return min(len(answer.tokens or ()), len(row.ids))


def _gap_between(row: ReferenceRow, answer: Answer, reference: Reference) -> float | None:
    """Where the answer first differs: how much less likely its token is to the run than the run's own.

    None where the engine tells no tokens; of a token that is not among the run's likeliest the least that it can be.
    """
    place = _written(row, answer, reference)
    if not answer.tokens or place >= len(row.ids):
        return None
    wanted, likely = row.ids[place], dict(row.next_tokens[place])
    if place >= len(answer.tokens):  # it ended, with a token that is not written
        others = [likely[token] for token in reference.end_tokens if token in likely and token != wanted]
    else:
        others = [
            lp for token, lp in likely.items() if answer.tokens[place].is_token(token, reference.vocabulary[token])
        ]
    return likely[wanted] - (max(others) if others else min(likely.values()))


def _num_places(row: ReferenceRow, answer: Answer, reference: Reference) -> int:
    """The places up to the first where they differ, with it."""
    return min(_written(row, answer, reference) + 1, len(answer.tokens or ()), len(row.ids))


def _likeliest(row: ReferenceRow, answer: Answer, reference: Reference) -> list[tuple[float, float]]:
    """Log-probabilities of all tokens that run and engine name as likely, by the run and by the engine; the run's own first."""
    pairs = _logprobs(row, answer, reference)
    for place in range(len(pairs)):
        others = [(token, of_run) for token, of_run in row.next_tokens[place] if token != row.ids[place]]
        for token, of_run in others:
            seen = (answer.tokens or ())[place].of(token, reference.vocabulary[token])
            pairs += [] if seen is None else [(of_run, seen)]
    return pairs


def _logprobs(row: ReferenceRow, answer: Answer, reference: Reference) -> list[tuple[float, float]]:
    """Log-probabilities of the run's token by the run and by the engine, up to the first place where they differ.

    Of a token that is not among the engine's likeliest the most that it can be.
    """
    tokens = answer.tokens or ()
    pairs = []
    for place in range(_num_places(row, answer, reference)):
        wanted = row.ids[place]
        seen = tokens[place].of(wanted, reference.vocabulary.get(wanted, ""))
        pairs.append((dict(row.next_tokens[place])[wanted], tokens[place].least if seen is None else seen))
    return pairs


def _distances(compared: Compared) -> tuple[float | None, float, float]:
    """Mean distances of log-probabilities: run to base, engine to run, engine to base; None without any."""
    triples = [
        (of_run, of_base, seen)
        for row, answer in compared.answered()
        for (of_run, seen), of_base in zip(_logprobs(row, answer, compared.reference), row.base_logprobs, strict=False)
    ]
    if not triples:
        return None, 0.0, 0.0
    count = len(triples)
    return (
        sum(abs(run - base) for run, base, _seen in triples) / count,
        sum(abs(seen - run) for run, _base, seen in triples) / count,
        sum(abs(seen - base) for _run, base, seen in triples) / count,
    )
