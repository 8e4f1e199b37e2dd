"""The plan's closed form against a trace of the real architecture. What the process takes beside it: benchmarks/plan."""

import pytest
from peft import LoraConfig
from transformers import LlamaConfig

from tunewright.config.run_config import RunConfig
from tunewright.inspection.model_info import LinearGroup
from tunewright.planning.memory_estimate import AdapterSize, BatchShape, ComputeMode, train_parts

from ..unit.planning.conftest import seven_billion, smollm2
from .memory_trace import traced_peak

QV = ["q_proj", "v_proj"]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(
    ("name", "targets", "r", "rows", "tokens"),
    [
        ("smollm2", QV, 8, 2, 512),
        ("smollm2", ALL, 16, 4, 128),
        ("smollm2", ALL, 64, 1, 1024),
        ("llama2", QV, 16, 1, 256),
        ("qwen25", ALL, 16, 1, 256),
    ],
)
def test_the_closed_form_is_near_the_trace(
    name: str, targets: list[str], r: int, rows: int, tokens: int, checkpointing: bool
) -> None:
    model = smollm2() if name == "smollm2" else seven_billion(name)
    config = LlamaConfig(
        vocab_size=model.vocab_size, hidden_size=model.hidden_size, intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_layers, num_attention_heads=model.num_attention_heads,
        num_key_value_heads=model.num_key_value_heads, tie_word_embeddings=name == "smollm2",
    )  # fmt: skip
    lora = LoraConfig(r=r, lora_alpha=2 * r, target_modules=targets)
    traced = traced_peak(config, lora, rows=rows, tokens=tokens, checkpointing=checkpointing)
    settings = {
        "model": {"name": name, "quantization": "none"},
        "data": "rows.jsonl",
        "task": "causal_lm",
        "peft": {"r": r, "lora_dropout": 0.0},
    }
    groups: tuple[LinearGroup, ...] = tuple(group for group in model.linear if group.name in targets)
    kind = ComputeMode(
        precision="fp32", checkpointing=checkpointing, answer_loss=True, merged=False, int8=False, is_gpu=True
    )  # without holes
    parts = train_parts(
        RunConfig.model_validate(settings),
        model,
        AdapterSize(groups),
        BatchShape(rows, rows * tokens),
        num_labels=1,
        kind=kind,
    )
    # The trace has one micro-batch, whose logits are gone before its gradients come.
    estimated = sum(size for part, size in parts.items() if part != "libraries") - min(
        parts["gradients"], parts["loss"]
    )
    assert estimated == pytest.approx(traced, rel=0.15)
    assert estimated > 0.95 * traced
