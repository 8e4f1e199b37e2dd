"""Does a GPU hold what its plan promised? `python benchmarks/memory/gpu.py [1B 7B 13B 70B]`: no GPU is needed, ten minutes.

Each cell is a training step of ours traced on the meta device at the model's full depth (`traced_step.py`), beside the plan's
formula for the same step (`planning/gpu_memory.py`). Both are without the process's part. Writes gpu.json and GPU.md.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from traced_step import Step, planned, traced
from transformers import LlamaConfig

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "gpu.json", HERE / "GPU.md"
# vocabulary, hidden, intermediate, layers, heads, key and value heads: Llama-3.2-1B, Llama-2-7B, -13B, -70B
SHAPES = {
    "1B": (128256, 2048, 8192, 16, 32, 8), "7B": (32000, 4096, 11008, 32, 32, 32),
    "13B": (32000, 5120, 13824, 40, 40, 40), "70B": (32000, 8192, 28672, 80, 64, 8),
}  # fmt: skip
ROWS, TOKENS = 4, 1024
# What is trained, rows packed or padded, activations recomputed.
CELLS = (
    ("lora", True, False), ("lora", True, True), ("lora", False, False), ("lora8", True, False), ("lora8", True, True),
    ("qlora", True, False), ("qlora", True, True), ("qlora", False, False), ("full", False, False), ("full", False, True),
)  # fmt: skip


def config_of(name: str) -> LlamaConfig:
    """The config of a shape."""
    vocabulary, hidden, inner, layers, heads, shared = SHAPES[name]
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=shared, tie_word_embeddings=name == "1B",
        max_position_embeddings=4096,
    )  # fmt: skip


def measure(name: str, kind: str, packed: bool, recomputed: bool) -> dict[str, Any]:
    """The traced and the planned peak of a cell."""
    optim = "paged_adamw_32bit" if kind == "qlora" else "adamw_torch_fused"  # as plans choose
    step = Step(config_of(name), kind, ROWS, TOKENS, packed, recomputed, optim=optim)
    counted, parts = traced(step), planned(step)
    return {
        "cell": [name, kind, packed, recomputed],
        "model": name,
        "kind": kind,
        "rows": "packed" if packed else "padded",
        "checkpointing": recomputed,
        "traced": counted,
        "planned": sum(parts.values()),
        "parts": parts,
        "off": sum(parts.values()) / counted - 1,
    }


def page(cells: list[dict[str, Any]]) -> str:
    """The table."""
    worst = max((abs(cell["off"]) for cell in cells), default=0.0)
    lines = [
        f"{len(cells)} cells, {ROWS} rows of {TOKENS} tokens in bf16, two micro-batches a step. Furthest off: {worst:.1%}.\n",
        "| model | trained | rows | checkpointing | traced | planned | off |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        gib = [cell[which] / 2**30 for which in ("traced", "planned")]
        lines.append(
            f"| {cell['model']} | {cell['kind']} | {cell['rows']} | {'yes' if cell['checkpointing'] else 'no'} "
            f"| {gib[0]:.2f} GiB | {gib[1]:.2f} GiB | {cell['off']:+.1%} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="some of: " + ", ".join(SHAPES))
    parser.add_argument("--only-missing", action="store_true", help="keep what gpu.json has")
    asked = parser.parse_args()
    wanted = [(name, *cell) for name in asked.models or SHAPES for cell in CELLS]
    old = {tuple(cell["cell"]): cell for cell in json.loads(RESULTS.read_text())["cells"]} if RESULTS.is_file() else {}
    found = {cell: old[cell] for cell in old if cell not in wanted or asked.only_missing}
    for cell in wanted:
        if cell in found:
            continue
        found[cell] = measure(*cell)
        print(*cell, f"{found[cell]['off']:+.1%}", file=sys.stderr, flush=True)
        order = [(name, *rest) for name in SHAPES for rest in CELLS]
        cells = [found[each] for each in order if each in found]
        about = {"torch": torch.__version__, "transformers": transformers.__version__}
        RESULTS.write_text(json.dumps({**about, "cells": cells}, indent=1) + "\n")
        PAGE.write_text(PAGE.read_text().partition("<!-- table -->")[0] + "<!-- table -->\n" + page(cells))


if __name__ == "__main__":
    main()
