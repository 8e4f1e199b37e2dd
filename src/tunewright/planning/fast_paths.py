"""Which fast paths a run takes, and why not the others. What each does is in `kernels/`, with its plain counterpart.

The plan decides by what it knows; the worker inspects the loaded model as well, compares each path with the plain one before
step 1, and says when it leaves one out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tunewright.config.methods import METHODS, Scaled
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.run_config import FastPath
from tunewright.config.tasks import TASKS
from tunewright.i18n import N_
from tunewright.planning.resolve_adapter import choice
from tunewright.planning.run_plan import InspectedFacts, PlannedChoice

# oneDNN must be faster by more than what one measurement differs from the next.
ONEDNN_GAIN = 1.15
# Rounding the inputs takes a third of what a product in 8 bits takes.
INT8_GAIN = 1.5
# Of torch.nn.attention.varlen (FlashAttention 2).
MOST_HEAD_SIZE, HEAD_SIZE_STEP = 256, 8


@dataclass(frozen=True)
class FastPathRow:
    """What a path is for, and why a run cannot take it (None if it can)."""

    gain: str
    reason_not: Callable[[ResolvedConfig, InspectedFacts], str | None]


def _onednn_matmul(run: ResolvedConfig, facts: InspectedFacts) -> str | None:
    probe = facts.machine.probe
    if probe is None or not facts.is_on_cpu:
        return N_("for CPUs that were measured")
    if run.model.precision != "fp32":
        return N_("only for fp32")
    rates = probe.matmul
    if rates.get("onednn", 0) < ONEDNN_GAIN * rates.get("mkl", float("inf")):
        return N_("MKL is as fast here, or oneDNN is not exact")
    return None


def _int8(run: ResolvedConfig, facts: InspectedFacts) -> str | None:
    probe = facts.machine.probe
    if run.model.quantization != "8bit":
        return N_("only for 8-bit bases")
    if probe is None or not facts.is_on_cpu:
        return N_("for CPUs that were measured")
    if facts.model.is_conv1d:
        return N_("this family keeps its weights transposed")
    rates = probe.matmul
    is_faster = rates.get("int8", 0) > INT8_GAIN * max(rates.get("onednn", 0), rates.get("mkl", 0))
    return None if is_faster else N_("products in 8 bits are no faster here")


def _answer_loss(run: ResolvedConfig, facts: InspectedFacts) -> str | None:
    if run.task != "causal_lm":
        return N_("only for causal language models")
    return _no_learned_positions(run)


def _packing(run: ResolvedConfig, facts: InspectedFacts) -> str | None:
    reason = _answer_loss(run, facts)
    if reason:
        return reason
    if not run.fast_paths.get("answer_loss", True):
        return N_("it needs answer_loss, which is switched off")
    probe = facts.machine.probe
    if facts.is_on_cpu or probe is None:
        return None
    if not probe.has_varlen_attention:
        return N_("torch has no kernel for packed rows on this device, and one mask over all of them would cost more")
    if run.model.precision == "fp32":
        return N_("on a GPU rows are packed only in bf16 and fp16")
    size = facts.model.head_dim
    is_possible = size <= MOST_HEAD_SIZE and size % HEAD_SIZE_STEP == 0
    return None if is_possible else N_("torch's kernel for packed rows needs heads of 8, 16, ... 256 numbers")


def _shared_prefix(run: ResolvedConfig, facts: InspectedFacts) -> str | None:
    reason = _packing(run, facts)
    if reason:
        return reason
    if not run.fast_paths.get("packing", True):
        return N_("it needs packing, which is switched off")
    has_dropout = isinstance(run.peft, Scaled) and run.peft.lora_dropout != 0
    return N_("with dropout each row draws its own mask") if has_dropout else None


def _merged_lora(run: ResolvedConfig, facts: InspectedFacts) -> str | None:
    if run.method != "lora":
        return N_("only for LoRA")
    if not TASKS[run.task].writes:
        return N_("only for models that generate text")
    if run.launch.is_sharded:
        return N_("each process holds only a share of the weights")
    is_exact = run.model.precision == "fp32" and run.model.quantization == "none"
    return None if is_exact else N_("merging is exact only in fp32")


def _no_learned_positions(run: ResolvedConfig) -> str | None:
    return N_("prompt learning wraps the forward pass") if METHODS[run.method].is_prompt_learning else None


PATHS: Mapping[FastPath, FastPathRow] = {
    "onednn_matmul": FastPathRow(N_("measured here: fp32 products are faster by oneDNN, and as exact"), _onednn_matmul),
    "int8": FastPathRow(N_("frozen layers are multiplied in 8 bits, which is faster here; outliers in fp32"), _int8),
    "answer_loss": FastPathRow(N_("logits are computed only for tokens in the loss, in chunks"), _answer_loss),
    "packing": FastPathRow(N_("sequences are packed without padding; attention stays inside each row"), _packing),
    "shared_prefix": FastPathRow(N_("the shared prefix of the rows of a step is computed once"), _shared_prefix),
    "merged_lora": FastPathRow(N_("LoRA is merged into the weights during generation"), _merged_lora),
}


def fast_paths(run: ResolvedConfig, facts: InspectedFacts) -> tuple[FastPath, ...]:
    """The paths of a run: those that are possible and not switched off."""
    return tuple(
        name for name, row in PATHS.items() if run.fast_paths.get(name, True) and not row.reason_not(run, facts)
    )


def path_choices(run: ResolvedConfig, facts: InspectedFacts) -> list[PlannedChoice]:
    """Each path with what it is for, or with why it is not used."""
    enabled = fast_paths(run, facts)
    return [
        choice(f"fast_paths.{name}", name in enabled, row.gain if name in enabled else str(row.reason_not(run, facts)))
        for name, row in PATHS.items()
        if name not in run.fast_paths
    ]
