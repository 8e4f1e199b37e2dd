"""A plan with one saving more: what becomes of a run in which memory ran out. The effective batch is never changed.

Other changes during a run are recorded in its plan in the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tunewright.config.dotted_paths import value_at
from tunewright.config.load_config import patch
from tunewright.errors import TunewrightError
from tunewright.i18n import N_
from tunewright.planning.make_plan import make_plan
from tunewright.planning.memory_ladder import RUNGS, Changes, LadderStep, works
from tunewright.planning.run_plan import Plan, PlannedChoice

ORIGIN, LOADER_ORIGIN = "remedy D101", "remedy W504"
REASONS: Mapping[str, str] = {
    ORIGIN: N_("memory ran out, so this was changed while the run went on"),
    LOADER_ORIGIN: N_("a process that loads rows died, so this was changed while the run went on"),
}
SHORTEST = 64


@dataclass(frozen=True)
class MemoryFallback:
    """The plan as it will be; `what` was changed, how it `was` and how it is `now`, in words."""

    plan: Plan
    what: str
    was: str
    now: str


def wishes(plan: Plan) -> dict[str, str]:
    """Origin of each value that was asked for."""
    return {choice.path: choice.origin for choice in plan.choices if choice.origin not in ("plan", *REASONS)}


def remedies(plan: Plan, origin: str = ORIGIN) -> Changes:
    """Values that savings, or what else has such an origin, have changed since the run was planned."""
    return {choice.path: choice.value for choice in plan.choices if choice.origin == origin}


def next_saving(plan: Plan, *, in_training: bool) -> MemoryFallback | None:
    """The first saving left on the ladder that no setting excludes; None at its end.

    How a step is cut into micro-batches may have been asked otherwise: its result is the same. What saves memory in
    training alone is of no use elsewhere.
    """
    for rung in RUNGS:
        changes = rung.changes(plan.run, plan.facts)
        if changes is None or not _may(plan, rung, changes) or (rung.in_training and not in_training):
            continue
        try:
            saved = remedied(plan, changes)
        except TunewrightError:  # this run cannot have it, as some methods cannot train on 8 bits
            continue
        return MemoryFallback(saved, rung.name, rung.setting(plan.run), rung.setting(saved.run))
    return None


def _may(plan: Plan, rung: LadderStep, changes: Changes) -> bool:
    return works(patch(plan.run, changes), plan.facts) and (rung.is_split or not wishes(plan).keys() & changes.keys())


def remedied(plan: Plan, changes: Mapping[str, object], origin: str = ORIGIN) -> Plan:
    """The plan with some values changed; all others stay as they were decided, and so do the promises of time.

    Raises: ConfigError if the values do not go together.
    """
    new_plan = make_plan(patch(plan.run, changes), plan.facts)
    assert new_plan.effective_batch == plan.effective_batch
    new = [
        PlannedChoice(path=path, value=value, origin=origin, reason=REASONS[origin]) for path, value in changes.items()
    ]
    replaced = changes.keys() | {choice.path for choice in new_plan.choices}
    unchanged = [choice for choice in plan.choices if choice.path not in replaced]
    changed = {"run": new_plan.run, "memory": new_plan.memory, "fits": new_plan.fits, "fast_paths": new_plan.fast_paths}
    return plan.model_copy(update={**changed, "choices": (*unchanged, *new, *new_plan.choices)})


def what_would_help(plan: Plan) -> dict[str, object]:
    """Values for the fixes of E405 that this run has not used yet."""
    run, user_settings = plan.run, wishes(plan)
    advice: dict[str, object] = {}
    if "train.activation_checkpointing" in user_settings and not run.train.activation_checkpointing:
        advice["checkpointing"] = "true"
    if run.model.quantization == "none" and "model.quantization" in user_settings:
        advice["quantization"] = "8bit" if plan.facts.is_on_cpu else "4bit"
    elif run.model.quantization == "none" and not plan.facts.machine.has_bitsandbytes:
        advice["package"] = "bitsandbytes"
    shorter = max(SHORTEST, plan.facts.data.lengths["median"])
    if shorter < run.data.max_length:
        advice["shorter"] = shorter
    rank = value_at(run, "peft.r")
    if isinstance(rank, int) and rank > 1:
        advice["rank"] = rank // 2
    return advice
