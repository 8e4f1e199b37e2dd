"""How does the cost of a step grow, and what do shared beginnings save? `python benchmarks/speed/growth.py`

Writes growth.json and GROWTH.md, in about ten minutes. Run it on an idle machine.
"""

import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from tunewright.launch.worker_environment import WORKER_ENVIRONMENT

if os.environ.get("MALLOC_TOP_PAD_") != WORKER_ENVIRONMENT["MALLOC_TOP_PAD_"]:  # glibc reads it when a process starts
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **WORKER_ENVIRONMENT})

from datetime import date

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config

from tunewright import api
from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.kernels.cpu_matmul import onednn_matmul
from tunewright.kernels.packing import attend_by_document, pack, pack_groups, packed_loss

WHAT = """Everything else held still, one thing grows: the length of the rows, the rows of a step, the adapter's rank, the model.
Rows are random tokens of one length (256 where length does not grow), half of them learned; LoRA (r=16 where the rank does not
grow) on q, k, v, o. Models have random weights, fp32: SmolLM2-135M and the shapes of Qwen2.5-0.5B and 1.5B, whose vocabulary
is three times as large. A step is forward and backward by the packed way with oneDNN, in micro-batches of 1,024 tokens; the
middle of three steps after one that is not counted."""
HERE = Path(__file__).parent
MICRO_BATCH_TOKENS = 1024
ROUNDS = 5
QWEN = {"vocab_size": 151936, "tie_word_embeddings": True, "num_key_value_heads": 2}
SHAPES: dict[str, dict[str, int]] = {
    "0.5B": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
    "1.5B": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
}


def model_of(name: str, rank: int) -> torch.nn.Module:
    """SmolLM2 or a model of random weights, with LoRA on q, k, v, o."""
    config = Qwen2Config(**QWEN, **SHAPES[name]) if name in SHAPES else AutoConfig.from_pretrained(api.fetch("smollm2"))
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    return get_peft_model(base, lora).train()


def rows_of(count: int, length: int, shared: int = 0, learned: int | None = None) -> list[TokenizedExample]:
    """Rows of random tokens; the first `shared` are alike in all of them."""
    generator = torch.Generator().manual_seed(0)
    beginning = torch.randint(0, 40000, (shared,), generator=generator).tolist()
    prompt = length - (length // 2 if learned is None else learned)
    rows = []
    for number in range(count):
        ids = beginning + torch.randint(0, 40000, (length - shared,), generator=generator).tolist()
        rows.append(TokenizedExample(number, ids, [IGNORED] * prompt + ids[prompt:], prompt, length))
    return rows


def step_seconds(model: torch.nn.Module, rows: list[TokenizedExample], *, share: bool = False) -> tuple[float, float]:
    """Seconds of a step and its loss."""
    groups = pack_groups(rows, MICRO_BATCH_TOKENS, share=share)
    batches = [pack([rows[i] for i in group], share=share) for group in groups]
    labels, seconds, loss = sum(len(batch["labels"]) for batch in batches), [], 0.0
    undo = attend_by_document(model)
    with onednn_matmul():
        for _number in range(4):
            started, loss = time.perf_counter(), 0.0
            for batch in batches:
                part = packed_loss(model, batch) / labels
                part.backward()
                loss += part.item()
            seconds.append(time.perf_counter() - started)
            model.zero_grad()
    undo()
    return median(seconds[1:]), loss


def point(name: str, value: Any, model: torch.nn.Module, count: int, length: int) -> dict[str, Any]:
    """One line of a curve."""
    seconds, _loss = step_seconds(model, rows_of(count, length))
    line = {
        name: value,
        "rows": count,
        "length": length,
        "seconds": seconds,
        "tokens_per_second": count * length / seconds,
    }
    print(json.dumps(line), file=sys.stderr, flush=True)
    return line


def scaling() -> dict[str, Any]:
    """Tokens a second against each of the things that grow."""
    small = model_of("135M", 16)
    return {
        "length": [point("length", n, small, 4096 // n, n) for n in (64, 256, 1024, 4096)],
        "batch": [point("batch", n, small, n, 256) for n in (1, 4, 16, 64)],
        "rank": [point("rank", r, model_of("135M", r), 8, 256) for r in (4, 16, 64, 256)],
        "model": [point("model", name, model_of(name, 16), 8, 256) for name in ("135M", *SHAPES)],
    }


def sharing() -> dict[str, Any]:
    """16 rows of 230 tokens, 200 of them shared and 8 learned: alternately with and without sharing."""
    model, rows = model_of("135M", 16), rows_of(16, 230, shared=200, learned=8)
    found = [(step_seconds(model, rows), step_seconds(model, rows, share=True)) for _round in range(ROUNDS)]
    ratios = [apart[0] / shared[0] for apart, shared in found]
    return {
        "seconds_apart": median(apart[0] for apart, _shared in found),
        "seconds_shared": median(shared[0] for _apart, shared in found),
        "ratio": round(median(ratios), 2), "loss_apart": found[0][0][1], "loss_shared": found[0][1][1],
    }  # fmt: skip


def page(results: dict[str, Any]) -> str:
    """GROWTH.md: a table for each curve."""
    where = f"{results['machine']['num_cpus']} cores, torch {results['versions']['torch']}"
    lines = [f"# How the cost of a step grows\n\n{WHAT}\n\nMeasured {results['date']} on {where}."]
    for name, points in results["scaling"].items():
        held = {key for key in ("rows", "length") if len({p[key] for p in points}) > 1 and key != name}
        lines += ["", f"| {name} |{' rows |' if 'rows' in held else ''} tokens/s | s/step |"]
        lines += ["|---" * (4 if "rows" in held else 3) + "|"]
        for p in points:
            rows = f" {p['rows']} |" if "rows" in held else ""
            lines += [f"| {p[name]} |{rows} {p['tokens_per_second']:.0f} | {p['seconds']:.2f} |"]
    found = results["sharing"]
    lines += ["", f"16 rows of 230 tokens that share the first 200 and learn 8, alternately ({ROUNDS} rounds): "
              f"{found['seconds_apart']:.2f} s a step without sharing, {found['seconds_shared']:.2f} s with it: "
              f"**{found['ratio']} times**; losses {found['loss_apart']:.6f} and {found['loss_shared']:.6f}."]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    results = {"date": str(date.today()), **api.environment(), "scaling": scaling(), "sharing": sharing()}
    (HERE / "growth.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "GROWTH.md").write_text(page(results))


if __name__ == "__main__":
    main()
