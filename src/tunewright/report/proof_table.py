"""The checks of what was deployed of a run, as people read them: on the page and in the terminal."""

from collections.abc import Mapping

from tunewright.i18n import N_, _
from tunewright.report import formatting
from tunewright.rundir.records import CheckName, CheckOutcome, Proof, ProofCheck, ProofsRecord

CHECKS: Mapping[CheckName, str] = {
    "template": N_("text of the prompt"),
    "ids": N_("tokens of the prompt"),
    "end": N_("ends where the run ends"),
    "answers": N_("answers of the run"),
    "logits": N_("log-probabilities"),
    "tuned": N_("not the base's answers"),
    "score": N_("score"),
}
OUTCOMES: Mapping[CheckOutcome, str] = {
    "ok": N_("holds"),
    "failed": N_("DOES NOT HOLD"),
    "measured": N_("measured only"),
    "not_applicable": N_("does not apply"),
}


def cells(check: ProofCheck) -> tuple[str, str, str, str]:
    """What was checked, whether it holds, on how much, and what was seen, in this process's language."""
    count = _("{held} of {total}").format(held=check.held, total=check.total) if check.total else formatting.DASH
    if check.name == "logits":
        count = formatting.number(check.total) if check.total else formatting.DASH
    return _(CHECKS[check.name]), _(OUTCOMES[check.outcome]), count, _seen(check)


def _seen(check: ProofCheck) -> str:
    figures = {name: value for name, value in check.figures.items() if value is not None}
    parts = [_(check.reason)] if check.reason else []
    if check.name == "logits" and "largest_gap" in figures:
        parts.append(
            _("largest difference {largest}, mean {mean}").format(
                largest=f"{figures['largest_gap']:.2g}", mean=f"{figures['mean_gap']:.2g}"
            )
        )
    if figures.get("ties"):
        parts.append(_("{count} of them where two tokens are as likely").format(count=int(figures["ties"])))
    if "run_score" in figures:
        score, low, high, run = (f"{figures[name]:.3f}" for name in ("score", "low", "high", "run_score"))
        parts.append(_("{score} ({low} to {high}); the run {run}").format(score=score, low=low, high=high, run=run))
    if check.prompts:
        parts.append(_("prompts: {names}").format(names=", ".join(check.prompts)))
    if check.rows:
        parts.append(_("rows: {numbers}").format(numbers=", ".join(map(str, check.rows))))
    return "; ".join(parts)


def title(proof: Proof) -> str:
    """What was checked, and on what."""
    rows = formatting.rows(proof.compared_rows).spoken()
    return _("{what} through {engine}, {rows}").format(what=proof.what, engine=proof.engine, rows=rows)


def tables(record: ProofsRecord | None) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    """A title and the lines of each proof."""
    proofs = record.proofs.values() if record else ()
    return [(title(proof), [cells(check) for check in proof.checks]) for proof in proofs]
