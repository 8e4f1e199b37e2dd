"""How rows become a loss: padded with the model's own logits, or by the fast paths that the plan names.

The fastest way that this model can take and that agrees with the plain one on the first rows of the run is chosen before
step 1, and is taken for training and for held-out losses alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.engine.tasks.collator import Collate, Cut, StepCollator
from tunewright.engine.tasks.task_registry import task_of
from tunewright.errors import Problem
from tunewright.kernels.cross_entropy import LossFunction, answer_loss, answer_loss_reason_not
from tunewright.kernels.document_attention import CannotPack
from tunewright.kernels.int8 import unrounded_inputs
from tunewright.kernels.kernel_agreement import LossAndGradients, agreement, measure
from tunewright.kernels.packing import (
    attend_by_document,
    pack,
    pack_groups,
    packed_loss,
    packing_reason_not,
    varlen_loss,
)
from tunewright.planning.memory_estimate import COMPARED_ROWS, COMPARED_TOKENS, LEARNED_TOKENS
from tunewright.planning.resolve_adapter import is_cpu
from tunewright.planning.run_plan import Plan
from tunewright.rundir.event_log import EventLog

# Of the first rows the shortest are compared; the plain way computes all their logits, so there are few, and cut.
CANDIDATES = 64


@dataclass(frozen=True)
class LossBackend:
    """A loss, and the micro-batches it reads; `paths` are the fast paths that it stands on."""

    loss: LossFunction
    collate: Collate
    cut: Cut | None = None
    paths: tuple[str, ...] = ()

    def of(self, collator: StepCollator) -> StepCollator:
        """The same collator with this way's micro-batches."""
        return replace(collator, collate=self.collate, cut=self.cut)


def plain_backend(plan: Plan, rows: Sequence[TokenizedExample]) -> LossBackend:
    """The twin of every fast way."""
    task = task_of(plan)
    return LossBackend(task.loss(plan, rows), task.collate)


def fast_backends(plan: Plan) -> Iterator[LossBackend]:
    """What the plan's paths come to, the fastest first."""
    paths = plan.fast_paths
    if "packing" in paths and not is_cpu(plan.facts):
        yield LossBackend(varlen_loss, partial(_packed, share=False), partial(pack_groups, share=False), ("packing",))
    elif "packing" in paths:
        for share in (True, False):
            if not share or "shared_prefix" in paths:
                taken = ("packing", "shared_prefix") if share else ("packing",)
                yield LossBackend(packed_loss, partial(_packed, share=share), partial(pack_groups, share=share), taken)
    if "answer_loss" in paths:
        yield LossBackend(answer_loss, task_of(plan).collate, None, ("answer_loss",))


def _packed(rows: Sequence[TokenizedExample], _pad_id: int, *, share: bool) -> dict[str, Tensor]:
    return pack(rows, share=share)


def reason_not(way: LossBackend, plan: Plan, model: PreTrainedModel | PeftModel, longest: int = 0) -> str | None:
    """Why a loaded model cannot take a way for the rows of a plan, or for rows of up to `longest` tokens."""
    assert plan.run.data.max_length != "auto"
    most = max(longest, plan.run.data.max_length)
    reason = answer_loss_reason_not(model)
    return reason or (packing_reason_not(model, most) if "packing" in way.paths else None)


def known_backend(
    plan: Plan, model: PreTrainedModel | PeftModel, rows: Sequence[TokenizedExample], longest: int = 0
) -> LossBackend:
    """The way of a run that is over: the first that the model can take, without another comparison.

    `longest` is the length of the longest row to be read, where that is more than the run's own rows have.
    """
    fast = (way for way in fast_backends(plan) if reason_not(way, plan, model, longest) is None)
    way = next(fast, plain_backend(plan, rows))
    if way.loss is packed_loss:
        attend_by_document(model)
    return way


def select_backend(
    plan: Plan, model: PeftModel, rows: Sequence[TokenizedExample], pad_id: int, events: EventLog
) -> LossBackend:
    """The first planned way that the model can take and whose loss and gradients agree with the plain ones."""
    plain, some = plain_backend(plan, rows), short_rows(rows)
    right: LossAndGradients | None = None
    for way in fast_backends(plan):
        reason = reason_not(way, plan, model)
        if reason:
            events.write("note", text=f"{way.paths[-1]}: {reason}")
            continue
        undo = attend_by_document(model) if way.loss is packed_loss else None
        try:
            with unrounded_inputs(model):
                right = right or measure(model, plain.loss, plain.collate(some, pad_id))
                found = measure(model, way.loss, way.collate(some, pad_id))
        except CannotPack as unknown:
            events.write("note", text=f"{way.paths[-1]}: {unknown}")
        else:
            if agreement(model, right, found):
                return way
            values = {"name": way.paths[-1], "fast": f"{found.loss:.6g}", "plain": f"{right.loss:.6g}"}
            events.alert(Problem("W501", values=values))
        if undo:
            undo()
    return plain


def short_rows(rows: Sequence[TokenizedExample]) -> list[TokenizedExample]:
    """A few rows with the beginning of their prompts and of what is learned: the same tokens for both ways."""
    short = (shortened(row, COMPARED_TOKENS) for row in rows[:CANDIDATES])
    return sorted(short, key=lambda row: len(row.input_ids))[:COMPARED_ROWS]


def shortened(row: TokenizedExample, tokens: int) -> TokenizedExample:
    """A causal model's row with at most so many tokens: of the beginning of its prompt and of what is learned."""
    learned = next((i for i, label in enumerate(row.labels) if i > 0 and label >= 0), 0)
    begin = tokens - LEARNED_TOKENS
    rest = slice(max(begin, learned), max(begin, learned) + LEARNED_TOKENS)
    return replace(
        row, input_ids=[*row.input_ids[:begin], *row.input_ids[rest]], labels=[*row.labels[:begin], *row.labels[rest]]
    )
