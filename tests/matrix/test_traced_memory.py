"""The plan's closed form against a trace of the real architecture. What the process takes beside it: benchmarks/plan."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from peft import LoraConfig
from torch import nn
from torch.distributed._tools.mem_tracker import MemTracker
from transformers import LlamaConfig

from benchmarks.memory.traced_step import Card, Step, planned, traced
from benchmarks.scale import memory as of_several
from tunewright.config.resolved_config import ResolvedLaunchConfig
from tunewright.config.run_config import RunConfig
from tunewright.inspection.model_info import LinearGroup
from tunewright.planning.memory_estimate import AdapterSize, BatchShape, ComputeMode, train_parts

from ..unit.planning.conftest import seven_billion, smollm2
from .memory_trace import traced_peak

QV = ["q_proj", "v_proj"]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def each_once(*kinds: Sequence[Any], twice: Sequence[Sequence[Any]]) -> list[Any]:
    """Every kind in two ways, the first and the second in turn in `make test`, the others in `make test-slow`."""
    return [
        pytest.param(*kind, *way, marks=[] if (place + number) % 2 == 0 else pytest.mark.slow)
        for place, kind in enumerate(kinds)
        for number, way in enumerate(twice)
    ]


@pytest.mark.parametrize(
    ("name", "targets", "r", "rows", "tokens", "checkpointing"),
    each_once(
        ("smollm2", QV, 8, 2, 512),
        ("smollm2", ALL, 16, 4, 128),
        ("smollm2", ALL, 64, 1, 1024),
        ("llama2", QV, 16, 1, 256),
        ("qwen25", ALL, 16, 1, 256),
        twice=[(False,), (True,)],
    ),
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
        RunConfig.model_validate(settings).model_copy(update={"launch": ResolvedLaunchConfig()}),
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


@pytest.mark.parametrize(
    ("kind", "packed", "checkpointing", "targets", "rows", "tokens"),
    each_once(
        ("lora", True, False, ALL),
        ("lora", True, True, QV),
        ("lora", False, True, ALL),
        ("lora8", True, False, ALL),
        ("lora8", False, True, ALL),
        ("qlora", True, False, ALL),
        ("qlora", False, True, ALL),
        ("full", False, False, ALL),
        ("full", False, True, ALL),
        twice=[(1, 512), (4, 2048)],
    ),
)
def test_a_plan_for_a_gpu_is_near_our_own_step_as_it_would_run_there(
    kind: str, packed: bool, checkpointing: bool, targets: list[str], rows: int, tokens: int
) -> None:
    """Widths of Llama-3.2-1B, in bf16; all models at their full depth: benchmarks/memory/gpu.py."""
    config = LlamaConfig(
        vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=3, num_attention_heads=32,
        num_key_value_heads=8, tie_word_embeddings=True, max_position_embeddings=4096,
    )  # fmt: skip
    step = Step(config, kind, rows, tokens, packed, checkpointing, targets=tuple(targets))
    assert sum(planned(step).values()) == pytest.approx(traced(step), rel=0.05)


@pytest.mark.parametrize(
    "step",
    [
        {"rows": 4, "tokens": 1024},
        {"rows": 2, "tokens": 2048, "dropout": 0.1},
        {"rows": 2, "tokens": 2048, "packed": False, "checkpointing": True, "dropout": 0.1},
        {"kind": "qlora", "rows": 2, "tokens": 2048, "r": 128},
        {"rows": 8, "tokens": 1024, "targets": ("gate_proj", "up_proj", "down_proj")},
        {"rows": 8, "tokens": 1024, "checkpointing": True, "targets": ("o_proj",)},
        {"rows": 1, "tokens": 256, "r": 256, "learned": 1.0},
        {"rows": 1, "tokens": 256, "r": 512, "learned": 1.0, "checkpointing": True, "optim": "adamw_torch"},
        {"rows": 2, "tokens": 1024, "kind": "qlora", "r": 512, "optim": "paged_adamw_32bit"},
        {"rows": 16, "tokens": 600, "shared": 500},
    ],
    ids=str,
)
def test_shapes_and_settings_that_the_formula_was_not_written_by(step: dict[str, Any]) -> None:
    """Widths of Qwen3-0.6B, whose heads are together twice as wide as the model."""
    config = LlamaConfig(
        vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=4, num_attention_heads=16,
        num_key_value_heads=8, head_dim=128, tie_word_embeddings=True, max_position_embeddings=8192,
    )  # fmt: skip
    whole = Step(config, **{"kind": "lora", "packed": True, **step})
    assert sum(planned(whole).values()) == pytest.approx(traced(whole), rel=0.1)


@pytest.mark.parametrize(
    ("strategy", "nodes", "each", "checkpointing"),
    [("ddp", 8, 8, True), ("fsdp2", 1, 8, True), pytest.param("fsdp2", 1, 64, False, marks=pytest.mark.slow)],
)
def test_a_plan_for_several_devices_is_near_what_torch_counts_on_the_first(
    strategy: str, nodes: int, each: int, checkpointing: bool
) -> None:
    """Widths of Llama-3-8B, two blocks; at full depth, and 70B: benchmarks/scale/memory.py."""
    step, place = of_several.step_of("8B", checkpointing, layers=2), of_several.Place(strategy, nodes, each)
    expected = of_several.planned("8B", step, place, layers=2)
    assert expected == pytest.approx(of_several.traced(step, place), rel=0.15)


def test_our_count_is_torchs_own() -> None:
    """`MemTracker` of torch counts the same by weak references of its own; on meta it does not round, and scalars are small."""

    def build() -> nn.Module:
        with torch.device("meta"):
            return nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.LayerNorm(512), nn.Linear(512, 128))

    with Card(0) as card:
        model = build()
        model(torch.empty(128, 256, device="meta")).square().sum().backward()
    tracker, model = MemTracker(), build()
    tracker.track_external(model)
    with tracker:
        model(torch.empty(128, 256, device="meta")).square().sum().backward()
    counted = tracker.get_tracker_snapshot("peak")[torch.device("meta")]["Total"]
    assert card.peak == pytest.approx(counted, abs=4 * 512)
