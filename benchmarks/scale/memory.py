"""Does each of several devices hold what the plan says? `python benchmarks/scale/memory.py [8B 70B]`: no GPU is needed.

Each cell is a training step of ours on the first of 8 or 64 devices, of which only this one is there: fake tensors, torch's fake
process group, and the memory that torch's own trackers count (`torch.distributed._tools`), beside the plan's formula
(planning/scale_out.py) for the same step. It is traced with 3 and 5 blocks, as each further block adds the same. Gradients are
summed as our processes do; fsdp2 shares out the frozen weights of each block among the devices of a machine, by torch's
`fully_shard`. Both are without the process's part. Writes memory.json and MEMORY.md.
"""

import argparse
import gc
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import LlamaConfig

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "memory"))

from traced_step import Card, InPlace, Step, batch, build, facts_of  # noqa: E402

from tunewright.config.run_config import RunConfig  # noqa: E402
from tunewright.engine.system.ranks import Ranks  # noqa: E402
from tunewright.inspection.data_info import DataInfo  # noqa: E402
from tunewright.inspection.machine_info import MachineInfo  # noqa: E402
from tunewright.inspection.model_info import ModelInfo  # noqa: E402
from tunewright.kernels.packing import varlen_loss  # noqa: E402
from tunewright.planning.cluster import cluster_of  # noqa: E402
from tunewright.planning.device_table import facts_on  # noqa: E402
from tunewright.planning.memory_estimate import GPU_CONTEXT_BYTES  # noqa: E402
from tunewright.planning.resolve import resolve  # noqa: E402
from tunewright.planning.run_plan import InspectedFacts  # noqa: E402
from tunewright.planning.scale_out import scale_out  # noqa: E402

RESULTS, PAGE = HERE / "memory.json", HERE / "MEMORY.md"
CPU = torch.device("cpu")
DEVICE = "h100-80"
# vocabulary, hidden, intermediate, layers, heads, key and value heads: Llama-3-8B and -70B
SHAPES = {"8B": (128256, 4096, 14336, 32, 32, 8), "70B": (128256, 8192, 28672, 80, 64, 8)}
ROWS, TOKENS, MICRO_BATCHES = 8, 1024, 2
FEW, MORE = 3, 5  # blocks
# Model, strategy, nodes, devices of each, activations recomputed.
Cell = tuple[str, str, int, int, bool]
CELLS: tuple[Cell, ...] = (
    ("8B", "ddp", 1, 8, False), ("8B", "ddp", 8, 8, True),
    ("8B", "fsdp2", 1, 8, False), ("8B", "fsdp2", 1, 8, True), ("8B", "fsdp2", 1, 64, True), ("8B", "fsdp2", 8, 8, True),
    ("70B", "fsdp2", 1, 8, True), ("70B", "fsdp2", 1, 64, True), ("70B", "fsdp2", 8, 8, True), ("70B", "fsdp2", 8, 8, False),
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A strategy on `nodes` machines with `each` devices."""

    strategy: str
    nodes: int
    each: int


class _NoHook:
    def remove(self) -> None:
        """Nothing was registered on a frozen parameter."""


def config_of(name: str, layers: int | None = None) -> LlamaConfig:
    """The config of a shape."""
    vocabulary, hidden, inner, depth, heads, shared = SHAPES[name]
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers or depth,
        num_attention_heads=heads, num_key_value_heads=shared, tie_word_embeddings=False, max_position_embeddings=8192,
    )  # fmt: skip


def traced(step: Step, place: Place) -> int:
    """Bytes at the peak of two optimizer steps of two micro-batches each, on the first device."""
    world = place.nodes * place.each
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world)
    try:
        micro_batch = batch(step, CPU)  # spans are looked at
        model = build(step)
        mesh = init_device_mesh("cpu", (place.nodes, place.each), mesh_dim_names=("copies", "shares"))
        with FakeTensorMode(allow_non_fake_inputs=True):
            _put_on_cpu(model)
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            optimizer = InPlace(trained, is_paged=False)
            if place.strategy == "ddp":
                tracker = _tracker(model, optimizer)
            else:
                tracker = _tracker_of_shares(model, optimizer, mesh["shares"])
            gc.collect()
            with tracker, Card(0):
                for _step in range(2):
                    for _micro_batch in range(MICRO_BATCHES):
                        varlen_loss(model, micro_batch).backward()
                        tracker.reset_mod_stats()
                    Ranks(0, world).sum(parameter.grad for parameter in trained if parameter.grad is not None)
                    optimizer.step()
                    optimizer.zero_grad()
            return int(tracker.get_tracker_snapshot("peak")[CPU]["Total"])
    finally:
        dist.destroy_process_group()


def _put_on_cpu(module: nn.Module) -> None:
    """Fake tensors in the place of those on the meta device, which nothing can be sharded from."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            fake = torch.empty(parameter.shape, dtype=parameter.dtype)
            part.register_parameter(name, nn.Parameter(fake, parameter.requires_grad))
        for name, buffer in part.named_buffers(recurse=False):
            part.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype), persistent=False)


def _tracker(model: nn.Module, optimizer: torch.optim.Optimizer) -> MemTracker:
    tracker = MemTracker()
    for parameter in model.parameters():
        if not parameter.requires_grad:
            tracker._param_to_grad_hook_handles[parameter] = (_NoHook(), _NoHook())
    tracker.track_external(model, optimizer)
    return tracker


def _tracker_of_shares(model: nn.Module, optimizer: torch.optim.Optimizer, mesh: DeviceMesh) -> FSDPMemTracker:
    """Of blocks that are shared out as engine/models/shard_base.py does it."""
    stack = model.get_base_model().model
    for block in stack.layers:
        kept = {parameter for parameter in block.parameters() if parameter.requires_grad}
        fully_shard(block, mesh=mesh, reshard_after_forward=True, ignored_params=kept)
    fully_shard(stack, mesh=mesh, ignored_params=set(stack.parameters()))
    tracker = FSDPMemTracker(stack, optimizer)
    tracker.track_inputs(tuple(parameter for parameter in model.parameters() if not isinstance(parameter, DTensor)))
    return tracker


@cache
def _model(name: str, layers: int | None) -> ModelInfo:
    return facts_of(config_of(name, layers))


def planned(name: str, step: Step, place: Place, layers: int | None = None) -> int:
    """The plan's bytes of a device for the same step, without what the process takes beside it."""
    machine = MachineInfo(num_cpus=2, memory_bytes=0, free_bytes=0, disk_free_bytes=2**50, system="", probe=None)
    data = DataInfo(
        path="rows.jsonl", fingerprint="", format="alpaca", columns={}, num_train=10**6, num_held_out=0, num_bad=0,
        is_single_turn=True, lengths=dict.fromkeys(("median", "p95", "p99", "longest"), step.tokens), longest_prompt=8,
        mean_length=step.tokens, mean_label_tokens=step.learned * step.tokens, answer_lengths={}, sampled_rows=10**6,
    )  # fmt: skip
    facts = facts_on(InspectedFacts(machine=machine, model=_model(name, layers), data=data), DEVICE)
    run = RunConfig.model_validate({
        "model": {"name": "traced", "quantization": "none", "precision": "bf16"}, "task": "causal_lm",
        "data": {"train": "rows.jsonl", "max_length": step.tokens, "holdout": 0}, "eval": {"rows": 0},
        "train": {
            "per_device_train_batch_size": step.rows, "activation_checkpointing": step.checkpointing, "optim": step.optim,
            "gradient_accumulation_steps": MICRO_BATCHES * place.nodes * place.each,
        },
        "peft": {"r": step.r, "target_modules": list(step.targets), "lora_dropout": step.dropout},
    })  # fmt: skip
    cluster = cluster_of(f"{place.nodes}x{place.each} {DEVICE} 100G" if place.nodes > 1 else f"{place.each}x {DEVICE}")
    assert cluster
    rows = scale_out(resolve(run, facts)[0], facts, cluster).rows
    row = next(row for row in rows if (row.strategy, row.quantization) == (place.strategy, "none"))
    return row.device_bytes - GPU_CONTEXT_BYTES


def step_of(name: str, recomputed: bool, layers: int | None = None) -> Step:
    """The step of a cell, at the model's full depth or with so many `layers`."""
    return Step(config_of(name, layers), "lora", ROWS, TOKENS, packed=True, checkpointing=recomputed)


def traced_in_full(name: str, place: Place, recomputed: bool) -> int:
    """The traced peak at the model's full depth."""
    few, more = (traced(step_of(name, recomputed, layers), place) for layers in (FEW, MORE))
    return few + (config_of(name).num_hidden_layers - FEW) * (more - few) // (MORE - FEW)


def page(cells: Mapping[Cell, int]) -> str:
    """The table, with what is planned today."""
    lines, worst = [], 0.0
    for (name, strategy, nodes, each, recomputed), counted in cells.items():
        expected = planned(name, step_of(name, recomputed), Place(strategy, nodes, each))
        off = expected / counted - 1
        worst = max(worst, abs(off))
        lines.append(
            f"| {name} | {strategy} | {f'{nodes} x {each}' if nodes > 1 else each} | {'yes' if recomputed else 'no'} "
            f"| {counted / 2**30:.2f} GiB | {expected / 2**30:.2f} GiB | {off:+.1%} |"
        )
    head = [
        f"{len(cells)} cells, LoRA r=16 on all layers in bf16, micro-batches of {ROWS} rows of {TOKENS} tokens, {MICRO_BATCHES} a "
        f"step. Furthest off: {math.ceil(1000 * worst) / 10:.1f} %.\n",
        "| model | strategy | devices | checkpointing | traced | planned | off |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *lines]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="some of: " + ", ".join(SHAPES))
    parser.add_argument(
        "--only-missing", action="store_true", help="trace only what memory.json lacks, and plan all anew"
    )
    asked = parser.parse_args()
    known = json.loads(RESULTS.read_text())["cells"] if RESULTS.is_file() else []
    found: dict[Cell, int] = {tuple(cell["cell"]): cell["traced"] for cell in known}
    for cell in CELLS:
        name, strategy, nodes, each, recomputed = cell
        if name not in (asked.models or SHAPES) or (asked.only_missing and cell in found):
            continue
        found[cell] = traced_in_full(name, Place(strategy, nodes, each), recomputed)
        print(*cell, found[cell], file=sys.stderr, flush=True)
        cells = [{"cell": cell, "traced": found[cell]} for cell in CELLS if cell in found]
        RESULTS.write_text(json.dumps({"torch": torch.__version__, "cells": cells}, indent=1) + "\n")
    title = "# Memory of each of several devices\n\n" + __doc__.partition("\n")[2].strip() + "\n\n"
    PAGE.write_text(title + page({cell: found[cell] for cell in CELLS if cell in found}))


if __name__ == "__main__":
    main()
