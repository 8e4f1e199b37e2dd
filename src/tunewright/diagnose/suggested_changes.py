"""Remedies that several rules share: each a patch of the run and the command that tries it.

What concerns memory keeps the effective batch, so the result stays the same.
"""

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from tunewright.config.load_config import patch
from tunewright.config.methods import METHODS
from tunewright.config.run_config import CHANGEABLE
from tunewright.config.written_config import flags
from tunewright.diagnose.evidence import Evidence
from tunewright.i18n import N_
from tunewright.metrics.curve_statistics import rounded
from tunewright.planning.memory_ladder import RUNGS, LadderStep
from tunewright.rundir.finding import Remedy

FAR_SCALED = 20  # alpha to rank; the plan takes two to one, and learning rates forgive a factor of three, not of ten


def change(evidence: Evidence, text: str, changes: Mapping[str, object], **values: Any) -> Remedy:
    """A remedy that changes settings: by going on with the run where that is allowed, else by a new run."""
    if not evidence.can_resume or not set(changes) <= CHANGEABLE:
        return retrain_with(evidence, text, changes, **values)
    return Remedy(text, _command(["runs", "resume", evidence.handle], changes), changes, values)


def retrain_with(evidence: Evidence, text: str, changes: Mapping[str, object], **values: Any) -> Remedy:
    """A remedy that starts from the beginning, as the adapter so far is useless."""
    return Remedy(text, _command(["train", evidence.config], changes), changes, values)


def look_at_rows(evidence: Evidence, text: str) -> Remedy:
    """A remedy that only a person can carry out, in the rows; the command shows which."""
    run = evidence.plan.run
    words = ["tunewright", "data", "check", *run.data.paths, "--model", run.model.name, "--task", str(run.task)]
    return Remedy(text, shlex.join(words))


def usual_rate(evidence: Evidence) -> Remedy:
    """The learning rate that the plan would take."""
    text = N_("take the learning rate that is usual for {method} on a model of this size")
    return retrain_with(
        evidence, text, {"train.learning_rate": evidence.usual_rate}, method=METHODS[evidence.plan.run.method].title
    )


def lower_rate(evidence: Evidence, how: Callable[..., Remedy] = retrain_with) -> Remedy:
    """The usual learning rate where this one is above it, else a tenth of it; the usual scale where that is far above, too."""
    rate = evidence.usual_rate if evidence.rate > evidence.usual_rate else rounded(evidence.rate / 10)
    if not _is_scaled_far(evidence):
        return how(evidence, N_("lower the learning rate to {rate}"), {"train.learning_rate": rate}, rate=rate)
    text = N_("lower the learning rate to {rate}, and leave the scale of the update to the plan")
    return how(evidence, text, {"train.learning_rate": rate, "peft.lora_alpha": "auto"}, rate=rate)


def _is_scaled_far(evidence: Evidence) -> bool:
    """Whether the update counts so many times more than usual that the usual learning rate is too large as well."""
    peft = dict(evidence.plan.run.peft)
    alpha, rank = peft.get("lora_alpha"), peft.get("target_r", peft.get("r"))
    return isinstance(alpha, int) and isinstance(rank, int) and alpha > FAR_SCALED * rank


def smaller_batches(evidence: Evidence) -> list[Remedy]:
    """The same step in smaller micro-batches; nothing where that changes nothing."""
    return [remedy for rung in RUNGS if rung.is_split and (remedy := _saving(evidence, rung))]


def less_memory(evidence: Evidence) -> tuple[Remedy, ...]:
    """The ladder of savings, then shorter rows, which cost a little of the result."""
    run, lengths = evidence.plan.run, evidence.plan.facts.data.lengths
    remedies = [remedy for rung in RUNGS if (remedy := _saving(evidence, rung))]
    shorter = lengths["p95"]
    if shorter < min(run.data.max_length, lengths["longest"]):
        text = N_("cut the longest 5 % of the rows at {tokens} tokens")
        remedies.append(change(evidence, text, {"data.max_length": shorter}, tokens=shorter))
    return tuple(remedies)


def _saving(evidence: Evidence, rung: LadderStep) -> Remedy | None:
    """One step down the plan's ladder; None where it is used up."""
    run = evidence.plan.run
    changes = rung.changes(run, evidence.plan.facts)
    if changes is None:
        return None
    values = {"what": rung.name, "was": rung.setting(run), "now": rung.setting(patch(run, changes))}
    return change(evidence, N_("{what}: {now} instead of {was}"), changes, **values)


def fewer_epochs(evidence: Evidence, epochs: float) -> Remedy:
    """The number of epochs, rounded to a whole number."""
    count = max(1, round(epochs))
    text = N_("end where the held-out loss was best: after {count} epochs")
    by_steps = {"train.max_steps": -1} if evidence.plan.run.train.max_steps > 0 else {}
    return retrain_with(evidence, text, {"train.num_train_epochs": float(count), **by_steps}, count=count)


def _command(words: list[str], changes: Mapping[str, object]) -> str:
    return f"{shlex.join(['tunewright', *words])} {flags(changes)}".strip()
