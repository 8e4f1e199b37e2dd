"""Facts as values, so that plans are made in milliseconds."""

from collections.abc import Callable

import pytest

from tunewright.inspection.data_info import DataInfo
from tunewright.inspection.machine_info import MachineInfo, SpeedProbe
from tunewright.inspection.model_info import LinearGroup, ModelInfo
from tunewright.planning.run_plan import InspectedFacts

GIB = 2**30
SHAPES = {"q_proj": 576, "k_proj": 192, "v_proj": 192, "o_proj": 576, "gate_proj": 1536, "up_proj": 1536}


def smollm2(**changes: object) -> ModelInfo:
    linear = [
        LinearGroup(name=n, in_features=576, out_features=o, count=30, paths=(f"model.layers.0.self_attn.{n}",))
        for n, o in SHAPES.items()
    ]
    linear.append(LinearGroup(name="down_proj", in_features=1536, out_features=576, count=30))
    fields: dict[str, object] = {
        "name": "smollm2", "folder": "/models/smollm2", "tokenizer_folder": "/models/smollm2", "digest": "0" * 16,
        "model_type": "llama", "architecture": "LlamaForCausalLM", "num_layers": 30, "hidden_size": 576,
        "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
        "head_dim": 64, "max_position_embeddings": 8192, "num_parameters": 134_515_008, "weight_bytes": 538_060_032,
        "linear": tuple(linear), "has_chat_template": True,
    }  # fmt: skip
    return ModelInfo.model_validate(fields | changes)


def seven_billion(name: str) -> ModelInfo:
    """LLaMA-2-7B, Qwen2.5-7B or Llama-3-8B by the sizes of their config.json, as bf16 checkpoints."""
    hidden, inner, blocks, heads, groups, vocabulary = {
        "llama2": (4096, 11008, 32, 32, 32, 32000), "qwen25": (3584, 18944, 28, 28, 4, 152064),
        "llama3": (4096, 14336, 32, 32, 8, 128256),
    }[name]  # fmt: skip
    narrow = 128 * groups
    sizes = {
        "q_proj": (hidden, hidden), "k_proj": (hidden, narrow), "v_proj": (hidden, narrow), "o_proj": (hidden, hidden),
        "gate_proj": (hidden, inner), "up_proj": (hidden, inner), "down_proj": (inner, hidden),
    }  # fmt: skip
    linear = tuple(
        LinearGroup(
            name=n,
            in_features=i,
            out_features=o,
            count=blocks,
            paths=tuple(f"model.layers.{b}.x.{n}" for b in range(blocks)),
        )
        for n, (i, o) in sizes.items()
    )
    numbers = sum(i * o for i, o in sizes.values()) * blocks + 2 * hidden * vocabulary + (2 * blocks + 1) * hidden
    return smollm2(
        name=name, num_layers=blocks, hidden_size=hidden, intermediate_size=inner, num_attention_heads=heads,
        num_key_value_heads=groups, head_dim=128, vocab_size=vocabulary, max_position_embeddings=4096,
        num_parameters=numbers, weight_bytes=2 * numbers, linear=linear,
    )  # fmt: skip


@pytest.fixture
def facts() -> Callable[..., InspectedFacts]:
    """Facts of SmolLM2 with 1,000 rows on a 24 GiB machine without GPU; keywords change one thing."""

    def build(
        *, rows: int = 1000, held_out: int = 100, memory: float = 24, free: float = 21, longest: int = 512,
        p99: int = 300, answer: int = 150, probe: SpeedProbe | None = None, model: ModelInfo | None = None, form: str = "alpaca",
    ) -> InspectedFacts:  # fmt: skip
        machine = MachineInfo(
            num_cpus=2, memory_bytes=int(memory * GIB), free_bytes=int(free * GIB), disk_free_bytes=100 * GIB,
            system="Linux", probe=probe,
        )  # fmt: skip
        data = DataInfo(
            path="rows.jsonl", fingerprint="f" * 64, format=form, columns={}, num_train=rows, num_held_out=held_out,
            num_bad=0, is_single_turn=True, lengths={"median": 150, "p95": 280, "p99": p99, "longest": longest}, longest_prompt=40,
            mean_length=160.0, mean_label_tokens=100.0, answer_lengths={"p95": answer, "longest": answer + 10}, sampled_rows=rows,
        )  # fmt: skip
        return InspectedFacts(machine=machine, model=model or smollm2(), data=data)

    return build
