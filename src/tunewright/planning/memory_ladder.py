"""The ladder of savings: what is given up where memory does not suffice, cheapest loss of quality first.

A plan goes down it by its estimate, before a run; a parent goes down it when memory ran out in one (planning/memory_fallback.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt

from tunewright.config.dotted_paths import value_at
from tunewright.config.load_config import patch
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.run_config import RunConfig
from tunewright.config.section import AUTO
from tunewright.i18n import N_
from tunewright.planning.compatibility import check_method
from tunewright.planning.fast_paths import fast_paths
from tunewright.planning.resolve import SHARE_OF_FREE, effective_batch, estimate_for, largest_step, optimizer
from tunewright.planning.resolve_adapter import choice
from tunewright.planning.run_plan import InspectedFacts, PlannedChoice

Changes = dict[str, object]


@dataclass(frozen=True)
class LadderStep:
    """One saving of a run.

    `changes` are the values it changes, None where it is used up or saves nothing. `name` and `setting` tell what is
    changed and its value, `reason` why a plan takes it. `is_split` changes nothing but how a step is cut into
    micro-batches; `in_training` saves memory of the training alone.
    """

    changes: Callable[[ResolvedConfig, InspectedFacts], Changes | None]
    name: str
    setting: Callable[[ResolvedConfig], str]
    reason: str
    is_split: bool = False
    in_training: bool = True


def _smaller_micro_batch(run: ResolvedConfig, facts: InspectedFacts) -> Changes | None:
    """At most half the rows, and fewer where that alone leaves the largest micro-batch as it is."""
    rows, batch, now = run.train.per_device_train_batch_size, effective_batch(run), largest_step(run, facts)
    for smaller in reversed(_divisors(batch)):
        changes: Changes = {
            "train.per_device_train_batch_size": smaller,
            "train.gradient_accumulation_steps": batch // smaller,
        }
        if smaller <= rows // 2 and largest_step(patch(run, changes), facts).tokens < now.tokens:
            return changes
    return None


def _divisors(number: int) -> list[int]:
    """In ascending order; in as many steps as the root of the number, which may be of any size that a counter holds."""
    small = [divisor for divisor in range(1, isqrt(number) + 1) if number % divisor == 0]
    return sorted({*small, *(number // divisor for divisor in small)})


def _split(run: ResolvedConfig) -> str:
    return f"{run.train.per_device_train_batch_size} x {run.train.gradient_accumulation_steps}"


def _checkpoint_activations(run: ResolvedConfig, facts: InspectedFacts) -> Changes | None:
    is_out = run.train.activation_checkpointing or run.method == "prefix_tuning"  # its prefix is a cache
    return None if is_out else {"train.activation_checkpointing": True}


def _checkpointing(run: ResolvedConfig) -> str:
    return N_("on") if run.train.activation_checkpointing else N_("off")


def _in_bf16(run: ResolvedConfig, facts: InspectedFacts) -> Changes | None:
    """On a CPU with products of its own for it: half the memory costs less quality than 8 bits."""
    probe = facts.machine.probe
    is_next = facts.is_on_cpu and run.model.precision == "fp32" and probe is not None and "bf16" in probe.matmul
    return {"model.precision": "mixed"} if is_next else None


def _eight_bit(run: ResolvedConfig, facts: InspectedFacts) -> Changes | None:
    is_next = run.model.quantization == "none" and facts.is_on_cpu
    return {"model.quantization": "8bit"} if is_next else None


def _nf4(run: ResolvedConfig, facts: InspectedFacts) -> Changes | None:
    """On a GPU at once: QLoRA's 4 bits are what adapters are trained on there, and 8 bits compute outliers apart."""
    is_next = run.model.quantization == "none" and not facts.is_on_cpu
    return {"model.quantization": "4bit"} if is_next else None


def _four_bit(run: ResolvedConfig, facts: InspectedFacts) -> Changes | None:
    return {"model.quantization": "4bit"} if run.model.quantization == "8bit" else None


def _weights(run: ResolvedConfig) -> str:
    return run.model.precision if run.model.quantization == "none" else run.model.quantization


RUNGS = (
    LadderStep(
        _smaller_micro_batch, N_("rows at once x micro-batches"), _split,
        N_("fewer rows at once fit into {free} GiB; the effective batch stays {batch}"), is_split=True,
    ),
    LadderStep(
        _checkpoint_activations, N_("activation checkpointing"), _checkpointing,
        N_("activations are recomputed to fit into {free} GiB; nothing of the result changes"),
    ),
    LadderStep(
        _eight_bit, N_("weights of the base"), _weights,
        N_("the base in 8 bits fits into {free} GiB"), in_training=False,
    ),
    LadderStep(
        _nf4, N_("weights of the base"), _weights,
        N_("the base in 4 bits (NF4, its scales quantized once more) fits into {free} GiB"), in_training=False,
    ),
)  # fmt: skip
# Before a run the precision is open, and nothing is given up by a second rounding of the weights.
PLAN_RUNGS = (
    *RUNGS[:2],
    LadderStep(
        _in_bf16, N_("weights of the base"), _weights,
        N_("frozen weights and their products in bf16 fit into {free} GiB; everything else stays in fp32"), in_training=False,
    ),
    *RUNGS[2:],
    LadderStep(
        _four_bit,
        N_("weights of the base"),
        _weights,
        N_("the base in 4 bits fits into {free} GiB; in 8 it does not"),
        in_training=False,
    ),
)  # fmt: skip


def fit(run: ResolvedConfig, facts: InspectedFacts, *, config: RunConfig) -> tuple[ResolvedConfig, list[PlannedChoice]]:
    """The run made smaller until it fits; values that were asked for are never changed."""
    choices: dict[str, PlannedChoice] = {}
    room = SHARE_OF_FREE * facts.room_for_each(run.launch.processes)
    for rung in PLAN_RUNGS:
        while _peak(run, facts) > room:
            changes = rung.changes(run, facts)
            if changes is None or any(value_at(config, path) != AUTO for path in changes):
                break
            smaller = patch(run, changes)
            if not works(smaller, facts):
                break
            run = smaller
            values = {"free": f"{facts.room_bytes / 2**30:.1f}", "batch": effective_batch(run)}
            choices.update({path: choice(path, value, rung.reason, **values) for path, value in changes.items()})
    if value_at(config, "train.optim") == AUTO and (suited := optimizer(run, facts)).value != run.train.optim:
        run = patch(run, {"train.optim": suited.value})
        choices["train.optim"] = suited
    return run, list(choices.values())


def works(run: ResolvedConfig, facts: InspectedFacts) -> bool:
    """Whether this method goes with a base that is stored so, and what stores it is here."""
    is_stored = run.model.quantization == "none" or facts.machine.has_bitsandbytes or "int8" in fast_paths(run, facts)
    return is_stored and not check_method(run, facts)


def _peak(run: ResolvedConfig, facts: InspectedFacts) -> int:
    return estimate_for(run, facts).peak_bytes
