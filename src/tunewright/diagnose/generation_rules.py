"""D6: answers that do not end, or that are written in the wrong template."""

from tunewright.diagnose.evidence import Evidence
from tunewright.diagnose.learning_rules import ENOUGH_STEPS
from tunewright.diagnose.suggested_changes import look_at_rows, retrain_with
from tunewright.errors import Problem
from tunewright.i18n import N_
from tunewright.metrics import curve_statistics
from tunewright.rundir.finding import Finding, Remedy

ENOUGH_ANSWERS = 4
ENDLESS = 0.5  # a half: single answers that ramble are mistakes, not a habit
LEARNED = 0.5  # of the loss at the start; a model that did not learn half of it answers as the base does
FOREIGN = 0.2
ROOM = 1.25  # of the longest answer of the rows: a model's own are of other lengths
# As text in an answer: the control tokens of this model's own template are left out when answers are read.
MARKS = (
    "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>",
    "<end_of_turn>", "[INST]", "[/INST]", "<<SYS>>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>", "</s>",
    "### Instruction:", "### Response:", "### Human:", "### Assistant:",
)  # fmt: skip


def endless(evidence: Evidence) -> Finding | None:
    """D601: most answers were still going on at the limit, and were longer than their references by then."""
    samples, losses = evidence.samples, evidence.losses
    if len(samples) < ENOUGH_ANSWERS or len(losses) < ENOUGH_STEPS:
        return None
    cut = [sample for sample in samples if sample.is_cut and len(sample.answer) > len(sample.reference)]
    if len(cut) < ENDLESS * len(samples) or curve_statistics.end(losses) > LEARNED * curve_statistics.beginning(losses):
        return None
    truncated, longest = evidence.count("truncated"), evidence.plan.facts.data.lengths["longest"]
    values = {
        "count": len(cut),
        "answers": len(samples),
        "limit": evidence.plan.run.eval.max_new_tokens,
        "truncated": truncated,
    }
    remedies: list[Remedy] = []
    if truncated:
        remedies.append(_uncut(evidence, longest))
    remedies.append(look_at_rows(evidence, N_("see whether the end token of each answer is in the loss")))
    return Finding(Problem("D601", values=values), "error", "likely", tuple(remedies))


def _uncut(evidence: Evidence, tokens: int) -> Remedy:
    """Rows with their end, and as much room for what is generated where the rows' own answers need it."""
    text, changes = (
        N_("do not cut the rows, so that their end is in the loss: {tokens} tokens"),
        {"data.max_length": tokens},
    )
    answer = evidence.plan.facts.data.answer_lengths["longest"]
    if answer < evidence.plan.run.eval.max_new_tokens:
        return retrain_with(evidence, text, changes, tokens=tokens)
    text = N_("do not cut the rows, so that their end is in the loss: {tokens} tokens; generate up to {room} tokens")
    room = round(ROOM * answer)
    return retrain_with(evidence, text, {**changes, "eval.max_new_tokens": room}, tokens=tokens, room=room)


def foreign_template(evidence: Evidence) -> Finding | None:
    """D602: answers hold marks of another chat template as text."""
    marks_by_answer = [[mark for mark in MARKS if mark in sample.answer] for sample in evidence.samples]
    count = sum(bool(marks) for marks in marks_by_answer)
    if len(marks_by_answer) < ENOUGH_ANSWERS or count < FOREIGN * len(marks_by_answer):
        return None
    marks = sorted({mark for marks in marks_by_answer for mark in marks})
    values = {"count": count, "answers": len(marks_by_answer), "marks": " ".join(marks)}
    remedy = look_at_rows(
        evidence, N_("take the marks of the template out of the texts, or give the turns as messages")
    )
    return Finding(Problem("D602", values=values), "error", "likely", (remedy,))
