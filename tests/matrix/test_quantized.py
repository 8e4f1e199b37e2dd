"""8 and 4 bit: what is stored, what is trained, what leaves, on real bitsandbytes layers on this CPU.

Tolerances: a 4-bit layer computes with the very numbers that `dequantized` writes down. An 8-bit one does so while it
trains; in evaluation mode it also rounds its inputs to 8 bits, which moved logits of size 1 by up to 0.01. A plain base
differs by the rounding of the weights: 1/127 of a row's largest in 8 bit, up to a tenth of a block's largest in 4 bit.
"""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from tunewright.engine.models.quantization import (
    dequantized,
    plain_weight_bytes,
    prepare,
    quantization_config,
    quantized_layers,
    weight_bytes,
)
from tunewright.engine.session_server import SessionServer
from tunewright.errors import TunewrightError
from tunewright.planning.peft_kwargs import HEADS
from tunewright.rundir.session_protocol import MergeRequest

from .test_causal_lm import run_for

KINDS = ("8bit", "4bit")
BY_PLAIN_WEIGHTS = {"8bit": 0.02, "4bit": 0.25}
METHODS: dict[str, dict[str, object]] = {
    "lora": {}, "adalora": {}, "ia3": {},
    **{name: {"peft.num_virtual_tokens": 4} for name in ("prefix_tuning", "prompt_tuning", "p_tuning")},
}  # fmt: skip
IDS = torch.tensor([[5, 6, 7, 8, 9, 11]])
DECODED = {"decoder_input_ids": torch.tensor([[0, 5, 6]])}


def load(folder: Path, kind: str, auto: Any = AutoModelForCausalLM, *, heads: list[str] | None = None) -> Any:
    settings = quantization_config(kind, torch.float32, heads or ())
    return prepare(auto.from_pretrained(folder, dtype=torch.float32, quantization_config=settings))


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    model.train()
    model.zero_grad()
    model(input_ids=IDS, labels=IDS).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad and p.grad is not None}


def with_lora(model: Any) -> PeftModel:
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "down_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.02)
    return adapted


@pytest.mark.parametrize(("kind", "bits"), [("8bit", 8), ("4bit", 4)])
def test_linear_layers_shrink_and_nothing_else(kind: str, bits: int, tiny_model: Callable[..., Path]) -> None:
    model = load(tiny_model(), kind)
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert {layer for layer in linear if layer not in quantized_layers(model).values()} == {model.lm_head}
    values = sum(layer.in_features * layer.out_features for layer in quantized_layers(model).values())
    saved = plain_weight_bytes(model, torch.float32) - weight_bytes(model)
    scales = values * (4 - bits / 8) - saved
    assert plain_weight_bytes(model, torch.float32) == weight_bytes(AutoModelForCausalLM.from_pretrained(tiny_model()))
    # 8 bit: one fp32 for each row; 4 bit: a byte for 64 values, and two tables of together 1.1 kB for each layer.
    assert 0 < scales < values * 4 / 64 + 1500 * len(quantized_layers(model))


@pytest.mark.parametrize("kind", KINDS)
def test_the_checkpoint_is_let_go(kind: str, tiny_model: Callable[..., Path]) -> None:
    def mapped() -> bool:
        return str(tiny_model()) in Path("/proc/self/maps").read_text()

    plain = AutoModelForCausalLM.from_pretrained(tiny_model())
    assert mapped()
    del plain
    gc.collect()
    model = load(tiny_model(), kind)
    assert quantized_layers(model)
    assert not mapped()


@pytest.mark.parametrize("kind", KINDS)
def test_an_evaluation_leaves_the_gradients_as_they_were(kind: str, tiny_model: Callable[..., Path]) -> None:
    """bitsandbytes packs 4-bit weights at the first evaluation, for a kernel without a backward pass."""
    model = with_lora(load(tiny_model(), kind))
    before = gradients(model)
    with torch.no_grad():
        model.eval()(input_ids=IDS)
    after = gradients(model)
    assert len(before) == len(after) == sum(p.requires_grad for p in model.parameters())
    for name, gradient in before.items():
        torch.testing.assert_close(after[name], gradient, atol=0, rtol=0, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_numbers_that_are_stored(kind: str, tiny_model: Callable[..., Path]) -> None:
    quantized_gradients = gradients(with_lora(load(tiny_model(), kind)))
    plain = gradients(with_lora(dequantized(load(tiny_model(), kind), torch.float32)))
    for name, gradient in plain.items():
        torch.testing.assert_close(quantized_gradients[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3", "opt", "t5", "bert2bert"])
@torch.no_grad()
def test_a_dequantized_model_is_a_plain_one_of_its_family(
    family: str, kind: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    """GPT-2's transposed layers included; what is saved loads as the same model."""
    has_encoder = family in ("t5", "bert2bert")
    auto, more = (AutoModelForSeq2SeqLM, DECODED) if has_encoder else (AutoModelForCausalLM, {})
    model = load(tiny_model(family), kind, auto).eval()
    for layer in quantized_layers(model).values():
        layer.train()  # 8 bit: without rounding of the inputs
    stored = model(input_ids=IDS, **more).logits
    plain = dequantized(model, torch.float32)
    torch.testing.assert_close(plain(input_ids=IDS, **more).logits, stored, atol=1e-5, rtol=1e-5)
    assert not any(parameter.requires_grad for parameter in plain.parameters())
    plain.save_pretrained(tmp_path)
    again = auto.from_pretrained(tmp_path).eval()
    assert "quantization_config" not in again.config.to_dict()
    torch.testing.assert_close(again(input_ids=IDS, **more).logits, stored, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("auto", [AutoModelForSequenceClassification, AutoModelForTokenClassification])
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_head_is_not_quantized(family: str, auto: Any, kind: str, tiny_model: Callable[..., Path]) -> None:
    model = load(tiny_model(family), kind, auto, heads=HEADS)
    assert not {name.rpartition(".")[2] for name in quantized_layers(model)} & {"classifier", "score"}
    assert quantized_layers(model)


def test_a_family_whose_layers_cannot_be_quantized_is_refused(tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(TunewrightError, match="FalconForCausalLM") as caught:
        load(tiny_model("falcon"), "8bit")
    assert caught.value.problems[0].code == "E313"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_on_a_quantized_base_and_leaves_as_a_plain_adapter(
    method: str, kind: str, tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    folder = tiny_model("llama")
    settings = {"method": method, "model.quantization": kind, "train.learning_rate": 2e-2, **METHODS[method]}
    run = run_for(folder, shop_rows, tmp_path / "run", **settings)
    session = SessionServer(run.dir, lambda message: None)
    with torch.no_grad():
        here = session.model(input_ids=IDS).logits[:, -IDS.shape[1] :]
        base = AutoModelForCausalLM.from_pretrained(folder)
        untouched = base(input_ids=IDS).logits
        there = PeftModel.from_pretrained(base, run.adapter).eval()(input_ids=IDS).logits[:, -IDS.shape[1] :]
    torch.testing.assert_close(there, here, atol=BY_PLAIN_WEIGHTS[kind], rtol=0)
    assert float((there - untouched).abs().max()) > 1e-4, "the adapter changes nothing"

    if method in ("prefix_tuning", "prompt_tuning", "p_tuning"):
        with pytest.raises(TunewrightError) as caught:
            session.merge(MergeRequest(str(tmp_path / "merged")))
        assert caught.value.problems[0].code == "E603"
        return
    result = session.merge(MergeRequest(str(tmp_path / "merged")))
    assert result.base == f"dequantized from {kind}"
    assert result.equal == result.prompts
    assert result.max_logit_difference < 1e-4
    assert (result.quantized["max_logit_difference"] < 1e-4) == (kind == "4bit"), result
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    assert merged.dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(merged(input_ids=IDS).logits, here, atol=0.02, rtol=0)
