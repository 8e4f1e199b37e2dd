"""Activation checkpointing: the same gradients, and less kept, for every method that can have it.

Tolerance: 1e-5 of a gradient's length. The same numbers are computed a second time, but where several layers read one
input, as the decoder's do the encoder's output, their gradients are added in another order.
"""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    AdaLoraConfig,
    IA3Config,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from tunewright.engine.models.activation_checkpointing import checkpoint_activations
from tunewright.engine.models.quantization import prepare, quantization_config

from .conftest import FAMILIES

TASKS = {
    "CAUSAL_LM": AutoModelForCausalLM,
    "SEQ_2_SEQ_LM": AutoModelForSeq2SeqLM,
    "SEQ_CLS": AutoModelForSequenceClassification,
}
KINDS = {**dict.fromkeys(FAMILIES, "CAUSAL_LM"), "t5": "SEQ_2_SEQ_LM", "bert2bert": "SEQ_2_SEQ_LM", "bert": "SEQ_CLS"}
# Quantized bases: one family of each kind of layers and tasks.
CELLS = [(family, "none") for family in KINDS]
CELLS += [(family, kind) for family in ("llama", "gpt2", "t5", "bert") for kind in ("8bit", "4bit")]
GRADIENT = 1e-5
IDS = torch.randint(3, 250, (2, 12), generator=torch.Generator().manual_seed(0))
MASK = torch.ones_like(IDS).index_fill(1, torch.tensor([9, 10, 11]), 0)


def configs(task: str, family: str = "") -> dict[str, PeftConfig]:
    shape = {"num_layers": 2, "token_dim": 64, "num_attention_heads": 4} if family == "bert2bert" else {}
    known: dict[str, Any] = {"task_type": task}
    layers = (
        known | {"target_modules": "all-linear"} | ({"exclude_modules": ["classifier"]} if task == "SEQ_CLS" else {})
    )
    return {
        "lora": LoraConfig(r=4, lora_dropout=0.2, **layers),
        "adalora": AdaLoraConfig(init_r=6, target_r=3, total_step=20, tinit=2, tfinal=2, **layers),
        "ia3": IA3Config(feedforward_modules=[], **layers),
        "prompt_tuning": PromptTuningConfig(num_virtual_tokens=4, **known, **shape),
        "p_tuning": PromptEncoderConfig(num_virtual_tokens=4, encoder_hidden_size=16, **known, **shape),
    }


def adapted(model: Any, config: PeftConfig) -> PeftModel:
    """With an adapter that changes something: start values of zero would hide gradients."""
    torch.manual_seed(1)
    model.requires_grad_(False)
    peft_model = get_peft_model(model, config)
    for name, parameter in peft_model.named_parameters():
        if "lora_B" in name or "lora_E" in name:
            nn.init.normal_(parameter, std=0.05)
    return peft_model.train()


def gradients(model: PeftModel, task: str) -> dict[str, torch.Tensor | None]:
    torch.manual_seed(2)  # dropout
    more = {"decoder_input_ids": IDS[:, :7]} if task == "SEQ_2_SEQ_LM" else {}
    model(input_ids=IDS, attention_mask=MASK, **more).logits.logsumexp(-1).mean().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("method", configs("CAUSAL_LM"))
@pytest.mark.parametrize(("family", "quantization"), CELLS)
def test_gradients_stay_the_same(family: str, method: str, quantization: str, tiny_model: Callable[..., Path]) -> None:
    task, folder = KINDS[family], tiny_model(family)
    settings = quantization_config(quantization, torch.float32, ["classifier"] if task == "SEQ_CLS" else ())

    def gradients_of(*, checkpointed: bool) -> dict[str, torch.Tensor | None]:
        torch.manual_seed(0)  # an untrained head
        base = TASKS[task].from_pretrained(folder, quantization_config=settings)
        model = adapted(prepare(base) if settings else base, configs(task, family)[method])
        if checkpointed:
            checkpoint_activations(model)
        return gradients(model, task)

    plain, again = gradients_of(checkpointed=False), gradients_of(checkpointed=True)
    assert any(gradient is not None for gradient in plain.values())
    for name, gradient in plain.items():
        assert (again[name] is None) == (gradient is None), name
        if gradient is not None:
            difference = torch.linalg.vector_norm(again[name] - gradient)
            assert difference <= GRADIENT * torch.linalg.vector_norm(gradient), name


def stored_bytes(model: PeftModel, size: int) -> int:
    """Tensors of a width that are alive between forward and backward pass, as far as Python sees them."""
    output = model(input_ids=IDS).logits
    gc.collect()
    count = sum(1 for o in gc.get_objects() if type(o) is torch.Tensor and o.shape[-1:] == (size,) and o.dim() == 3)
    output.sum().backward()
    return count


def test_an_eight_bit_base_keeps_no_inputs_of_its_layers(tiny_model: Callable[..., Path]) -> None:
    """Its product keeps them as attributes, which the hooks of non-reentrant checkpointing do not see."""
    settings = quantization_config("8bit", torch.float32)
    model = adapted(
        prepare(AutoModelForCausalLM.from_pretrained(tiny_model(), quantization_config=settings)),
        configs("CAUSAL_LM")["lora"],
    )
    width = FAMILIES["llama"]["intermediate_size"]
    assert isinstance(width, int)
    assert stored_bytes(model, width) > 0
    checkpoint_activations(model)
    assert stored_bytes(model, width) == 0


def test_layers_below_the_lowest_adapter_stay_out_of_the_backward_pass(tiny_model: Callable[..., Path]) -> None:
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], layers_to_transform=[1])
    model = adapted(AutoModelForCausalLM.from_pretrained(tiny_model()), config)
    checkpoint_activations(model)
    calls: list[bool] = []
    layers = model.get_base_model().model.layers
    for layer in layers:
        layer.register_forward_hook(lambda module, inputs, output: calls.append(output.requires_grad))
    model(input_ids=IDS).logits.sum().backward()
    assert calls[:2] == [False, True]


def test_prefix_tuning_and_checkpointing_exclude_each_other(tiny_model: Callable[..., Path]) -> None:
    config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    model = adapted(AutoModelForCausalLM.from_pretrained(tiny_model()), config)
    with pytest.raises(AssertionError):
        checkpoint_activations(model)
