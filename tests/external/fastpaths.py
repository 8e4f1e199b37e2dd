"""A pytest plugin that switches our fast paths on in tests that know nothing of them, and counts where they ran.

What can be switched on around a test of PEFT's: oneDNN's products, for all of it; merged LoRA, for each text that is written
and each forward pass without gradient; and our attention, for causal language models, which computes as torch's does as long
as rows are padded. Packed rows, shared beginnings and the loss over answers cannot: they begin with rows and labels, which
these tests do not have.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import peft
import pytest
import torch
from peft.tuners.lora import Linear as LoraLinear
from recorded import COUNTED
from torch import nn
from transformers import AttentionInterface, PreTrainedModel

from tunewright.kernels import document_attention
from tunewright.kernels.cpu_matmul import EXACT, onednn_error, onednn_matmul
from tunewright.kernels.merged_lora import merged_lora
from tunewright.kernels.packing import attend_by_document, packing_unsupported

WRITERS = (peft.PeftModelForCausalLM, peft.PeftModelForSeq2SeqLM)
counts: Counter[str] = Counter()  # of the test that is running
Method = Callable[..., Any]


def pytest_configure(config: pytest.Config) -> None:
    error = onednn_error()
    if error >= EXACT:
        raise pytest.UsageError(f"oneDNN's products are off by {error:.1g} here: a run would not take them")
    AttentionInterface.register(document_attention.NAME, _counted_attention)


def _counted_attention(*arguments: Any, **named: Any) -> Any:
    counts["document_attention"] += 1
    return document_attention.document_attention(*arguments, **named)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    counts.clear()
    with pytest.MonkeyPatch.context() as patch, ExitStack() as until_end, onednn_matmul():
        for kind in WRITERS:
            patch.setattr(kind, "generate", _fast(kind.generate, lambda: True, until_end))
        reads = _fast(peft.PeftModel.__call__, lambda: not torch.is_grad_enabled(), until_end)
        patch.setattr(peft.PeftModel, "__call__", reads, raising=False)
        try:
            return (yield)
        finally:
            item.user_properties.append((COUNTED, dict(counts)))


def _fast(method: Method, may_merge: Callable[[], bool], until_end: ExitStack) -> Method:
    """A method of a PEFT model with our attention, and with LoRA merged unless dropout or an adapter for each row forbids it."""

    @wraps(method)
    def call(model: peft.PeftModel, *arguments: Any, **named: Any) -> Any:
        _attend(model, until_end)
        if not may_merge() or "adapter_names" in named or _drops(model):
            return method(model, *arguments, **named)
        with _merged(model):
            return method(model, *arguments, **named)

    return call


def _attend(model: peft.PeftModel, until_end: ExitStack) -> None:
    """Our attention until the test ends, as a checkpointed layer calls it once more in the backward pass."""
    base = model.get_base_model()
    if not isinstance(base, PreTrainedModel) or not base.can_generate() or base.config.is_encoder_decoder:
        return
    if packing_unsupported(model, 0) is None:
        until_end.callback(attend_by_document(model))


@contextmanager
def _merged(model: nn.Module) -> Iterator[None]:
    before = _num_merged(model)
    with merged_lora(model):
        counts["merged_lora"] += _num_merged(model) - before
        yield


def _drops(model: nn.Module) -> bool:
    return any(isinstance(m, nn.Dropout) and m.training and m.p > 0 for m in model.modules())


def _num_merged(model: nn.Module) -> int:
    return sum(isinstance(m, LoraLinear) and m.merged for m in model.modules())
