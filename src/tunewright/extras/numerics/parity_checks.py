"""The numerical equalities that a run relies on, measured on its own model and a few of its rows.

Each check compares two computations of one result: a step at once and row by row, a fast path and the plain one, the model without
its adapter and the base, the adapter in memory and on disk, the merged model and its adapter. Dropout is off. A difference is
a share of what it is measured by, so that one tolerance fits every model.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from peft import PeftModel
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import Tensor, nn

from tunewright.config.run_config import FastPath
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.engine.export.save_model import (
    MERGE_TOLERANCE,
    merged_model,
    next_logits,
    on_plain_base,
    refuse_to_merge,
)
from tunewright.engine.models.load_model import adapter_tensors, load_adapter, load_base
from tunewright.engine.models.peft_adapter import trains_biases, without_adapter
from tunewright.engine.system.heap import release_memory
from tunewright.engine.tasks.collator import StepCollator
from tunewright.engine.tasks.task_registry import make_collator
from tunewright.engine.training.loss_backends import (
    CANDIDATES,
    fast_backends,
    plain_backend,
    shortened,
    unsupported_reason,
)
from tunewright.errors import ExportError, ModelError
from tunewright.extras.session_requests import CheckRecord, ComparedRecord, ProveResult
from tunewright.i18n import N_
from tunewright.kernels.cpu_matmul import EXACT, default_matmul, onednn_error, onednn_matmul
from tunewright.kernels.cross_entropy import LossFunction, MicroBatch
from tunewright.kernels.document_attention import CannotPack
from tunewright.kernels.int8 import unrounded_inputs
from tunewright.kernels.kernel_agreement import TOLERANCE, LossAndGradients, difference, measure, tolerances
from tunewright.kernels.merged_lora import merged_lora
from tunewright.kernels.packing import attend_by_document
from tunewright.planning.fast_paths import PATHS
from tunewright.planning.run_plan import Plan
from tunewright.reporting import Reporter

ROWS, TOKENS = 6, 96  # the reference computes all logits of all rows at once
WITHOUT_LIMIT = 2**31
# Of the loss: inputs in 8 bits are meant to be rounded, so that they give another loss, but not a far one.
INT8_TOLERANCE = 3e-2
LOSS = "loss"
GRADIENTS = "gradients"
LOGITS = "logits"
TENSORS = "tensors"
BatchInputs = list[Tensor]


@dataclass(frozen=True)
class ParityResult:
    """The difference between two computations in one kind of result, and the tolerance."""

    what: str
    difference: float
    tolerance: float

    @property
    def is_within(self) -> bool:
        return self.difference <= self.tolerance  # NaN is not within

    def to_json(self) -> ComparedRecord:
        difference = self.difference if math.isfinite(self.difference) else None
        return {"what": self.what, "difference": difference, "tolerance": self.tolerance}


@dataclass(frozen=True)
class ParityCheck:
    """One equality: what was compared, or why it was not; `is_broken` if the comparison itself failed."""

    name: str
    compared: tuple[ParityResult, ...] = ()
    reason: str = ""
    is_broken: bool = False

    @property
    def outcome(self) -> str:
        if self.is_broken or not all(result.is_within for result in self.compared):
            return "failed"
        return "ok" if self.compared else "not_applicable"

    def to_json(self) -> CheckRecord:
        compared = [result.to_json() for result in self.compared]
        return {"name": self.name, "outcome": self.outcome, "reason": self.reason, "compared": compared}


@dataclass(frozen=True)
class _ModelUnderTest:
    """The model of a run with a few rows; `loss` is the reference loss of its task."""

    model: PeftModel
    plan: Plan
    rows: list[TokenizedExample]
    cut: StepCollator
    loss: LossFunction

    def measured(self, loss: LossFunction, cut: StepCollator, max_tokens: int) -> LossAndGradients:
        """Loss and gradients of the rows in micro-batches of this many tokens, summed as a step sums them."""
        groups = cut.groups(self.rows, max_tokens)
        batches = [cut.collate([self.rows[i] for i in group], cut.pad_id) for group in groups]
        with unrounded_inputs(self.model):
            return _summed(self.model, loss, batches)

    def whole(self) -> LossAndGradients:
        """The reference computation, all rows at once."""
        return self.measured(self.loss, self.cut, WITHOUT_LIMIT)

    @property
    def precision(self) -> str:
        return self.plan.run.model.precision

    @cached_property
    def plain(self) -> LossAndGradients:
        """The same, computed once."""
        return self.whole()

    def logits(self) -> BatchInputs:
        return logits_of(self.model, self.plan, self.rows)


def prove(
    model: PeftModel,
    plan: Plan,
    adapter: Path,
    tokenizer: TextTokenizer,
    rows: Sequence[TokenizedExample],
    reporter: Reporter,
) -> ProveResult:
    """All checks of a run. `model` was loaded from `adapter`, and is used up.

    Cost: memory of one model (of two where the base is quantized and merged); a few forward and backward passes of six short rows.
    """
    total = len(PATHS) + 4
    checks: list[ParityCheck] = []

    def add(check: ParityCheck) -> None:
        checks.append(check)
        reporter.progress(len(checks), total)

    some = few_rows(rows, plan)
    let_gradients_in(model)
    loss = plain_backend(plan, rows).loss
    subject = _ModelUnderTest(model, plan, some, make_collator(plan, tokenizer, WITHOUT_LIMIT), loss)
    add(_accumulated(subject))
    for name in PATHS:
        add(_fast_path(name, subject))
    switched_off = None if trains_biases(plan.run.peft) else _without_adapter(subject)
    tuned = subject.logits()
    tensors = _copied(model)
    precision = plan.run.model.precision
    del model, subject
    release_memory()
    base = load_base(plan, tokenizer)
    add(_switched_off(switched_off, logits_of(base, plan, some), precision))
    try:
        again = load_adapter(base, adapter)
    except ModelError as fault:
        add(ParityCheck("reloaded", reason=fault.problems[0].message(), is_broken=True))
        add(ParityCheck("merged", reason=N_("the adapter could not be loaded again")))
    else:
        add(_reloaded(tensors, tuned, again, logits_of(again, plan, some), precision))
        add(_merged(again, plan, some))
    return ProveResult(len(some), [check.to_json() for check in checks])


def few_rows(rows: Sequence[TokenizedExample], plan: Plan) -> list[TokenizedExample]:
    """A few of the first rows, of all lengths among them, and none longer than TOKENS."""
    ordered = sorted((_short(row, plan) for row in rows[:CANDIDATES]), key=lambda row: len(row.input_ids))
    count = min(ROWS, len(ordered))
    return [ordered[i * (len(ordered) - 1) // max(1, count - 1)] for i in range(count)]


def _short(row: TokenizedExample, plan: Plan) -> TokenizedExample:
    if plan.run.task == "causal_lm":
        return shortened(row, TOKENS)
    labels = row.labels if plan.run.task == "seq_cls" else row.labels[:TOKENS]
    return replace(row, input_ids=row.input_ids[:TOKENS], labels=labels)


def let_gradients_in(model: PeftModel) -> None:
    """Set requires_grad as in training, in a model that was loaded for inference."""
    if model.active_peft_config.is_prompt_learning:
        model.prompt_encoder.requires_grad_(True)
        for module in model.modules():
            if isinstance(module, AuxiliaryTrainingWrapper):
                module.set_requires_grad("default")
        return
    model.set_requires_grad("default")
    saved = adapter_tensors(model)
    for name, parameter in model.named_parameters():
        if name in saved:  # biases of the base
            parameter.requires_grad_(True)


@torch.no_grad()
def logits_of(model: nn.Module, plan: Plan, rows: Sequence[TokenizedExample]) -> BatchInputs:
    """Logits after each row, as a merge compares them."""
    model.eval()
    return [next_logits(model, plan, row.input_ids) for row in rows]


def _summed(model: nn.Module, loss: LossFunction, batches: Sequence[MicroBatch]) -> LossAndGradients:
    measured = [measure(model, loss, batch) for batch in batches]
    return LossAndGradients(
        sum(micro_batch.loss for micro_batch in measured),
        torch.stack([micro_batch.gradients for micro_batch in measured]).sum(0),
    )


def _agreement(name: str, precision: str, expected: LossAndGradients, actual: LossAndGradients) -> ParityCheck:
    """Losses and gradients compared; gradients that are all zero prove nothing."""
    if not expected.gradients.any():
        return ParityCheck(name, reason=N_("no gradient reaches the adapter"), is_broken=True)
    pairs = zip((LOSS, GRADIENTS), difference(expected, actual), tolerances(precision), strict=True)
    return ParityCheck(name, tuple(ParityResult(*pair) for pair in pairs))


def _same_logits(expected: BatchInputs, actual: BatchInputs, tolerance: float) -> ParityResult:
    """The largest difference as a share of the largest logit."""
    apart = torch.cat([(a - b).flatten() for a, b in zip(expected, actual, strict=True)]).abs().max()
    largest = torch.cat([a.flatten() for a in expected]).abs().max().clamp(min=1.0)
    return ParityResult(LOGITS, float(apart / largest), tolerance)


def _accumulated(subject: _ModelUnderTest) -> ParityCheck:
    """All rows at once, and row by row."""
    single = subject.measured(subject.loss, subject.cut, 1)
    return _agreement("accumulated", subject.precision, subject.plain, single)


def _fast_path(name: FastPath, subject: _ModelUnderTest) -> ParityCheck:
    """A fast path of the plan against the reference, or why the run does not use it."""
    plan = subject.plan
    if name not in plan.fast_paths:
        return ParityCheck(name, reason=PATHS[name].reason_not(plan.run, plan.facts) or N_("it was switched off"))
    return _OTHERS[name](subject) if name in _OTHERS else _loss_backend(name, subject)


def _loss_backend(name: FastPath, subject: _ModelUnderTest) -> ParityCheck:
    """A fast loss backend: in at least two micro-batches, where it forms them itself."""
    plan = subject.plan
    model = subject.model
    backend = next(backend for backend in fast_backends(plan) if backend.paths[-1] == name)
    if reason := unsupported_reason(backend, plan, model):
        return ParityCheck(name, reason=reason)
    half = sum(len(row.input_ids) for row in subject.rows) // 2
    expected = subject.plain
    undo = attend_by_document(model, backend.attention) if backend.attention else lambda: None
    try:
        actual = subject.measured(backend.loss, backend.adapt(subject.cut), half)
    except CannotPack as unknown:
        return ParityCheck(name, reason=str(unknown))
    finally:
        undo()
    return _agreement(name, subject.precision, expected, actual)


def _onednn(subject: _ModelUnderTest) -> ParityCheck:
    if onednn_error() >= EXACT:
        return ParityCheck("onednn_matmul", reason=N_("it is not exact in this process, and so not used"))
    with default_matmul():
        expected = subject.whole()
    with onednn_matmul():
        return _agreement("onednn_matmul", subject.precision, expected, subject.whole())


def _int8(subject: _ModelUnderTest) -> ParityCheck:
    batch = subject.cut.collate(subject.rows, subject.cut.pad_id)
    expected, actual = subject.plain, measure(subject.model, subject.loss, batch)
    return ParityCheck("int8", (ParityResult(LOSS, difference(expected, actual)[0], INT8_TOLERANCE),))


def _merged_lora(subject: _ModelUnderTest) -> ParityCheck:
    expected = subject.logits()
    with torch.no_grad(), merged_lora(subject.model):
        actual = subject.logits()
    return ParityCheck("merged_lora", (_same_logits(expected, actual, TOLERANCE["fp32"]),))


_OTHERS: Mapping[str, Callable[[_ModelUnderTest], ParityCheck]] = {
    "onednn_matmul": _onednn,
    "int8": _int8,
    "merged_lora": _merged_lora,
}


def _without_adapter(subject: _ModelUnderTest) -> BatchInputs:
    with without_adapter(subject.model) as base:
        return logits_of(base, subject.plan, subject.rows)


def _switched_off(actual: BatchInputs | None, expected: BatchInputs, precision: str) -> ParityCheck:
    if actual is None:
        return ParityCheck("switched_off", reason=N_("biases of the base were trained, and they stay in it"))
    return ParityCheck("switched_off", (_same_logits(expected, actual, TOLERANCE[precision]),))


def _copied(model: PeftModel) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in adapter_tensors(model).items()}


def _reloaded(
    in_memory: dict[str, Tensor], expected: BatchInputs, again: PeftModel, actual: BatchInputs, precision: str
) -> ParityCheck:
    """Adapter and logits as they were in memory, and as they are when all is read again."""
    loaded = _copied(again)
    if {name: tensor.shape for name, tensor in in_memory.items()} != {
        name: tensor.shape for name, tensor in loaded.items()
    }:
        return ParityCheck("reloaded", reason=N_("the file holds other tensors than the model"), is_broken=True)
    apart = torch.cat([(in_memory[name] - loaded[name]).float().flatten() for name in in_memory]).abs().max()
    return ParityCheck(
        "reloaded", (ParityResult(TENSORS, float(apart), 0.0), _same_logits(expected, actual, TOLERANCE[precision]))
    )


def _merged(model: PeftModel, plan: Plan, rows: Sequence[TokenizedExample]) -> ParityCheck:
    """The merged model against its adapter, both on the plain base where that is quantized."""
    try:
        refuse_to_merge(plan)
        if plan.run.model.quantization != "none":
            model = on_plain_base(model, plan)
        expected = logits_of(model, plan, rows)
        actual = logits_of(merged_model(model, plan), plan, rows)
    except ExportError as refusal:
        return ParityCheck("merged", reason=str(refusal.problems[0].values["reason"]))
    return ParityCheck("merged", (_same_logits(expected, actual, MERGE_TOLERANCE[plan.run.model.precision]),))
