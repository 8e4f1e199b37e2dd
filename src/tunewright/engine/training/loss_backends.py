"""How rows become a loss: padded, from the model's own logits, or by the fast paths that the plan names.

Before step 1 the fastest backend is selected that supports the model and agrees with the plain one on the first rows of the
run. It is used for training and for held-out losses.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.engine.models.shard_base import forget_pass
from tunewright.engine.system.device import has_varlen_attention, is_on_cpu
from tunewright.engine.system.oom import ran_out, reason_of
from tunewright.engine.tasks.collator import Collate, Cut, StepCollator
from tunewright.engine.tasks.task_registry import task_of
from tunewright.errors import Problem
from tunewright.i18n import N_, Phrase
from tunewright.kernels.cross_entropy import LossFunction, answer_loss, answer_loss_unsupported
from tunewright.kernels.document_attention import NAME as DOCUMENTS
from tunewright.kernels.document_attention import CannotPack
from tunewright.kernels.int8 import unrounded_inputs
from tunewright.kernels.kernel_agreement import LossAndGradients, agreement, measure
from tunewright.kernels.packing import (
    attend_by_document,
    pack,
    pack_groups,
    packed_loss,
    packing_unsupported,
    varlen_loss,
)
from tunewright.kernels.varlen_attention import VARLEN, aligns_at_the_end, varlen_unsupported
from tunewright.planning.memory_estimate import COMPARED_ROWS, COMPARED_TOKENS, LEARNED_TOKENS
from tunewright.planning.run_plan import Plan
from tunewright.rundir.event_log import EventLog

logger = logging.getLogger(__name__)

# The shortest of the first rows are compared; the plain backend computes all their logits, so they are few, and cut.
CANDIDATES = 64


@dataclass(frozen=True)
class LossBackend:
    """A loss, and the micro-batches it reads; `paths` are the fast paths that it uses, and `attention` the name
    of ours that the model must have for it (kernels/packing.py::attend_by_document)."""

    loss: LossFunction
    collate: Collate
    cut: Cut | None = None
    paths: tuple[str, ...] = ()
    attention: str | None = None

    def adapt(self, collator: StepCollator) -> StepCollator:
        """The same collator with this backend's micro-batches."""
        return replace(collator, collate=self.collate, cut=self.cut)


def plain_backend(plan: Plan, rows: Sequence[TokenizedExample]) -> LossBackend:
    """The plain backend that every fast one is compared with."""
    task = task_of(plan)
    return LossBackend(task.loss(plan, rows), task.collate)


def fast_backends(plan: Plan) -> Iterator[LossBackend]:
    """The backends of the plan's fast paths, the fastest first."""
    paths = plan.fast_paths
    loss, attention = (packed_loss, DOCUMENTS) if is_on_cpu() else (varlen_loss, VARLEN)
    for share in (True, False) if "packing" in paths else ():
        if not share or "shared_prefix" in paths:
            names = ("packing", "shared_prefix") if share else ("packing",)
            cut = partial(pack_groups, share=share)
            yield LossBackend(loss, partial(_packed, share=share), cut, names, attention)
    if "answer_loss" in paths:
        yield LossBackend(answer_loss, task_of(plan).collate, None, ("answer_loss",))


def _packed(rows: Sequence[TokenizedExample], _pad_id: int, *, share: bool) -> dict[str, Tensor]:
    return pack(rows, share=share)


def unsupported_reason(
    backend: LossBackend, plan: Plan, model: PreTrainedModel | PeftModel, longest: int = 0
) -> str | None:
    """Why a backend does not support a loaded model, for the rows of a plan or rows of up to `longest` tokens; None if it does."""
    longest_row = max(longest, plan.run.data.max_length)
    reason = answer_loss_unsupported(model)
    if reason or "packing" not in backend.paths:
        return reason
    reason = _varlen_unsupported(backend, model) if backend.attention == VARLEN else None
    return reason or packing_unsupported(model, longest_row)


def _varlen_unsupported(backend: LossBackend, model: PreTrainedModel | PeftModel) -> str | None:
    if not has_varlen_attention():
        return N_("torch has no kernel for packed rows on this device")
    if reason := varlen_unsupported(model):
        return reason
    try:
        is_possible = "shared_prefix" not in backend.paths or aligns_at_the_end(model.device)
    except RuntimeError as fault:
        return reason_of(fault)
    return None if is_possible else N_("torch's kernel lets a row see the beginning of its prefix only")


def known_backend(
    plan: Plan, model: PreTrainedModel | PeftModel, rows: Sequence[TokenizedExample], longest: int = 0
) -> LossBackend:
    """The backend of a finished run: the first that supports the model, without another comparison.

    `longest` is the length of the longest row to be read, where it is more than that of the run's own rows.
    """
    fast = (backend for backend in fast_backends(plan) if unsupported_reason(backend, plan, model, longest) is None)
    backend = next(fast, plain_backend(plan, rows))
    if backend.attention:
        attend_by_document(model, backend.attention)
    return backend


def select_backend(
    plan: Plan, model: PeftModel, rows: Sequence[TokenizedExample], pad_id: int, events: EventLog
) -> LossBackend:
    """The first planned backend that supports the model and whose loss and gradients agree with the plain ones."""
    plain = plain_backend(plan, rows)
    sample = short_rows(rows)
    reference: LossAndGradients | None = None
    for backend in fast_backends(plan):
        reason = unsupported_reason(backend, plan, model)
        if reason:
            logger.info("loss backend %s is not supported: %s", backend.paths, reason)
            events.note(_not_used(backend, reason))
            continue
        undo = attend_by_document(model, backend.attention) if backend.attention else None
        try:
            with unrounded_inputs(model):
                reference = reference or measure(model, plain.loss, plain.collate(sample, pad_id))
                measured = measure(model, backend.loss, backend.collate(sample, pad_id))
        except CannotPack as unknown:
            forget_pass(model)
            events.note(_not_used(backend, unknown.args[0]))
        except RuntimeError as fault:
            if backend.attention != VARLEN or ran_out(fault):
                raise
            forget_pass(model)
            events.note(_not_used(backend, reason_of(fault)))  # what this card has no kernel for
        else:
            logger.debug("loss backend %s: %.8g, plain: %.8g", backend.paths, measured.loss, reference.loss)
            if agreement(plan.run.model.precision, reference, measured):
                logger.info("loss backend: %s", backend.paths)
                return backend
            logger.warning("loss backend %s does not agree with the plain loss", backend.paths)
            values = {"name": backend.paths[-1], "fast": f"{measured.loss:.6g}", "plain": f"{reference.loss:.6g}"}
            events.alert(Problem("W501", values=values))
        if undo:
            undo()
    logger.info("loss backend: plain")
    return plain


def _not_used(backend: LossBackend, reason: str) -> Phrase:
    """The note on a fast path that was planned; the reason is a phrase, or what torch says."""
    return Phrase(N_("{path}: {reason}"), path=backend.paths[-1], reason=reason)


def short_rows(rows: Sequence[TokenizedExample]) -> list[TokenizedExample]:
    """A few rows, cut to the beginning of their prompts and of their label tokens: the same tokens for both backends."""
    short = (shortened(row, COMPARED_TOKENS) for row in rows[:CANDIDATES])
    return sorted(short, key=lambda row: len(row.input_ids))[:COMPARED_ROWS]


def shortened(row: TokenizedExample, tokens: int) -> TokenizedExample:
    """A causal model's row with at most this many tokens, from the beginning of its prompt and of its label tokens."""
    first_label = next((i for i, label in enumerate(row.labels) if i > 0 and label >= 0), 0)
    prompt_end = tokens - LEARNED_TOKENS
    start = max(prompt_end, first_label)
    rest = slice(start, start + LEARNED_TOKENS)
    return replace(
        row,
        input_ids=[*row.input_ids[:prompt_end], *row.input_ids[rest]],
        labels=[*row.labels[:prompt_end], *row.labels[rest]],
    )
