"""Full fine-tuning beside the adapters: every linear layer trained as a whole, and kept as a folder that bare PEFT loads."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM

from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.models.load_model import load_adapter, load_base

from .test_causal_lm import LOGITS, run_for

IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3"])
def test_every_linear_layer_is_trained_saved_loaded_and_merged(
    family: str, tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    folder = tiny_model(family)
    settings = {"method": "ln_tuning", "peft.target_modules": "all-linear", "train.learning_rate": 1e-3}
    run = run_for(folder, shop_rows, tmp_path / "run", **settings)
    losses = [event.loss for event in run.dir.read_events() if event.kind == "log"]
    assert losses[-1] < losses[0]
    plan = run.dir.plan()
    groups = plan.facts.model.linear
    weights = sum(group.in_features * group.out_features * group.count for group in groups)
    assert run.result["trainable_parameters"] == pytest.approx(weights, rel=0.05)

    bare = AutoPeftModelForCausalLM.from_pretrained(run.adapter).eval()
    ours = load_adapter(load_base(plan, load_tokenizer(folder)), run.adapter)
    with torch.no_grad():
        tuned = bare(input_ids=IDS).logits
        torch.testing.assert_close(ours(input_ids=IDS).logits, tuned, atol=0, rtol=0)
        with bare.disable_adapter():
            base = bare(input_ids=IDS).logits
        plain = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False).eval()(input_ids=IDS).logits
        torch.testing.assert_close(base, plain, atol=LOGITS, rtol=LOGITS)
        assert not torch.allclose(tuned, base, atol=1e-3)
        merged = bare.merge_and_unload()
        torch.testing.assert_close(merged(input_ids=IDS).logits, tuned, atol=LOGITS, rtol=LOGITS)
