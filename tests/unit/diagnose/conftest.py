"""Evidence made up: a healthy run of SmolLM2 on a plan made from handwritten facts, and ways to make it sick."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.records import event
from tunewright.config.load_config import load
from tunewright.data.summary import DataSummary
from tunewright.diagnose.evidence import Evidence
from tunewright.inspection.data_info import DataInfo
from tunewright.inspection.machine_info import MachineInfo, SpeedProbe
from tunewright.inspection.model_info import LinearGroup, ModelInfo
from tunewright.metrics.evaluated_rows import Sample
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts, Plan
from tunewright.rundir.events import EvalEvent, LogEvent
from tunewright.rundir.records import RunResult

GIB = 2**30
SHAPES = {
    "q_proj": (576, 576), "k_proj": (576, 192), "v_proj": (576, 192), "o_proj": (576, 576), "gate_proj": (576, 1536),
    "up_proj": (576, 1536), "down_proj": (1536, 576),
}  # fmt: skip
KINDS = ("masked_out", "truncated", "duplicate", "conflict", "control_tokens", "leaked")
STEPS = 60


def plan_of(**settings: Any) -> Plan:
    """A plan with settings by path (dots written as double underscores), each asked for as by `--set`."""
    named = {"model.name": "smollm2", "data.train": "my.jsonl", "task": "causal_lm"}
    loaded = load(named=named | {path.replace("__", "."): value for path, value in settings.items()})
    labels = ("cancel", "order", "refund") if loaded.run.task == "seq_cls" else ()
    data = DataInfo(
        path="my.jsonl", fingerprint="f" * 64, format="messages", columns={}, num_train=480, num_held_out=48, num_bad=0,
        is_single_turn=True, sampled_rows=480, mean_length=60.0, mean_label_tokens=24.0,
        lengths={"median": 60, "p95": 80, "p99": 90, "longest": 100}, longest_prompt=60,
        answer_lengths={"p95": 30, "longest": 36}, labels=labels,
        problem_type="single_label_classification" if labels else None,
    )  # fmt: skip
    probe = SpeedProbe(device="cpu", device_name="cpu", memory_bytes=24 * GIB, flops={"fp32": 1.2e11, "bf16": 4e10})
    machine = MachineInfo(
        num_cpus=2, memory_bytes=24 * GIB, free_bytes=20 * GIB, disk_free_bytes=100 * GIB, system="Linux", probe=probe
    )
    model = ModelInfo(
        name="smollm2", folder="/models/smollm2", tokenizer_folder="/models/smollm2", digest="0" * 16, model_type="llama",
        architecture="LlamaForCausalLM", num_layers=30, hidden_size=576, intermediate_size=1536, num_attention_heads=9,
        num_key_value_heads=3, head_dim=64, vocab_size=49152, max_position_embeddings=2048, num_parameters=134_515_008,
        weight_bytes=538_060_032, has_chat_template=True, tasks=("causal_lm", "seq_cls", "token_cls"),
        linear=tuple(LinearGroup(name=n, in_features=i, out_features=o, count=30) for n, (i, o) in SHAPES.items()),
    )  # fmt: skip
    return make_plan(loaded.run, InspectedFacts(machine=machine, model=model, data=data), loaded.origins)


def falling(steps: int = STEPS, *, start: float = 2.6, end: float = 0.3) -> list[float]:
    """A healthy training loss: quick at first, slow later, with the noise of single rows."""
    return [end + (start - end) * math.exp(-6 * i / steps) + 0.05 * math.sin(2.3 * i) for i in range(steps)]


def logged(losses: Sequence[float | None], *, epochs: float = 1.0, norm: float = 0.8, **fields: Any) -> list[LogEvent]:
    """Events as the worker logs them, one for each loss."""
    steps = len(losses)
    return [
        event(
            "log", **{
                "step": i + 1, "loss": loss, "grad_norm": norm, "learning_rate": 5e-4,
                "epoch": epochs * (i + 1) / steps, "rss_bytes": 2 * GIB, "padding_share": 0.02, "row_wait_share": 0.003,
                "core_wait_share": 0.01, **fields,
            }
        )
        for i, loss in enumerate(losses)
    ]  # fmt: skip


def measured(losses: Sequence[float], *, steps: int = STEPS) -> list[EvalEvent]:
    """Held-out losses at even distances up to the last step."""
    every = steps // len(losses)
    return [event("eval", step=every * (i + 1), held_out_loss=loss) for i, loss in enumerate(losses)]


def summary(**counts: int) -> DataSummary:
    """A data summary with rows of some kinds."""
    return DataSummary(
        format="messages", rows=528, used=480, held_out=48, dropped=0, counts={**dict.fromkeys(KINDS, 0), **counts},
        numbers={}, lengths={}, max_length=128, tokens=28_800, label_tokens=11_520, labels={}, problem_type=None,
    )  # fmt: skip


def answers(count: int, text: str = '{"intent":"order"}', *, is_cut: bool = False) -> list[Sample]:
    """Written answers to rows whose reference is short."""
    return [Sample(row=i, prompt="?", reference='{"intent":"order"}', answer=text, is_cut=is_cut) for i in range(count)]


@pytest.fixture
def healthy() -> Evidence:
    """A run that learned: nothing is wrong with it."""
    return Evidence(
        handle="mita", config="/runs/mita/config.yaml", state="finished", plan=plan_of(), summary=summary(),
        logs=logged(falling()), evals=measured([1.2, 0.7, 0.5, 0.42, 0.41]), before={"held_out_loss": 2.7},
        after={"held_out_loss": 0.41}, samples=answers(20), result=RunResult(peak_rss_bytes=3 * GIB),
    )  # fmt: skip


@pytest.fixture
def sick(healthy: Evidence) -> Callable[..., Evidence]:
    """The healthy run with some of its evidence replaced; `settings` make another plan."""

    def make(settings: dict[str, Any] | None = None, **changes: Any) -> Evidence:
        plan = {"plan": plan_of(**settings)} if settings else {}
        return replace(healthy, **plan, **changes)

    return make
