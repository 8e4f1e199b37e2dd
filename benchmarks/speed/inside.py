"""How near the machine's limit is a step? `python benchmarks/speed/inside.py [DATA]`. JSON on the last line.

Useful floating point operations a second of an exact training step, over the rate of bare fp32 products at the
training's shapes, measured in the same process with the same library. Useful is what a step cannot do without: the frozen
layers forward and for the gradient of their inputs, the adapters, attention inside rows, the output layer where something
is learned. Padding and what is computed twice do not count; rows that share a beginning count it for each of them.
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

import torch

from tunewright import api
from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.models.load_model import load_base
from tunewright.engine.models.peft_adapter import attach_adapter, planned_config
from tunewright.engine.training.build_trainer import make_step_collator
from tunewright.engine.training.loss_backends import known_backend
from tunewright.kernels.cpu_matmul import planned_matmul

WIDTHS = ((576, 576), (576, 192), (576, 1536), (1536, 576))


def rows_from(path: Path, tokenizer: Any, count: int = 16) -> list[TokenizedExample]:
    """The benchmark's rows as token ids, loss on the answer."""
    from run import rows_of

    from tunewright.data.examples.formats import Message

    found = []
    for number, row in enumerate(rows_of(path, count)):
        user, answer = Message(role="user", content=row["prompt"]), Message(role="assistant", content=row["answer"])
        whole = tokenizer.encode(tokenizer.render([user, answer]))[:512]
        prompt = len(tokenizer.encode(tokenizer.render([user], add_generation_prompt=True)))
        found.append(TokenizedExample(number, whole, [IGNORED] * prompt + whole[prompt:], prompt, len(whole)))
    return found


def gemm_rate(tokens: int) -> float:
    """Operations a second of fp32 products at the shapes of a step, weighted as in a layer; the best of a few rounds."""
    best = 0.0
    tensors = [(torch.randn(tokens, i), torch.randn(o, i)) for i, o in WIDTHS for _ in range(1 if i == o else 2)]
    for _round in range(5):
        started = time.perf_counter()
        for x, w in tensors:
            torch.nn.functional.linear(x, w)
        best = max(best, sum(2 * x.numel() * len(w) for x, w in tensors) / (time.perf_counter() - started))
    return best


def useful(rows: list[TokenizedExample], plan: Any) -> float:
    """Floating point operations that a step cannot do without."""
    model = plan.facts.model
    frozen = sum(g.in_features * g.out_features * g.count for g in model.linear)
    tokens = sum(len(row.input_ids) for row in rows)
    labels = sum(label != IGNORED for row in rows for label in row.labels[1:])
    pairs = sum(len(row.input_ids) ** 2 / 2 for row in rows)
    attention = 6 * 2 * pairs * model.num_attention_heads * model.head_dim * model.num_layers
    head = 4 * model.hidden_size * model.vocab_size * labels
    return 4 * frozen * tokens + 6 * plan.trainable_parameters * tokens + head + attention


def steps_of(plan: Any, rows: list[TokenizedExample], count: int) -> tuple[list[float], list[float]]:
    """Seconds of some training steps, and the rate of bare products before each."""
    tokenizer = load_tokenizer(Path(plan.facts.model.tokenizer_folder), plan.run.model.chat_template)
    seconds, rates = [], []
    with planned_matmul(plan.fast_paths):
        model = attach_adapter(load_base(plan, tokenizer), planned_config(plan), seed=42).train()
        way = known_backend(plan, model, rows)
        step = way.adapt(make_step_collator(plan, tokenizer))(rows)
        for _number in range(count + 1):
            rates.append(gemm_rate(step["parts"][0][0]["input_ids"].numel()))
            started = time.perf_counter()
            for batch in step["parts"][0]:
                (way.loss(model, batch) / step["num_label_tokens"]).backward()
            seconds.append(time.perf_counter() - started)
            model.zero_grad()
    return seconds[1:], rates[1:]


def fraction(data: Path) -> dict[str, float]:
    from run import SETTINGS

    stand_in = Path(__file__).parents[2] / "examples/support.jsonl"
    sets = {**SETTINGS, "model.precision": "fp32", "model.name": "smollm2", "data.train": str(stand_in)}
    plan = api.plan(api.load(sets=[f"{path}={value}" for path, value in sets.items()]))
    rows = rows_from(data, load_tokenizer(Path(plan.facts.model.tokenizer_folder), None))
    seconds, rates = steps_of(plan, rows, 5)
    done = useful(rows, plan)
    found = median(done / s / r for s, r in zip(seconds, rates, strict=True))
    return {"fraction": round(found, 3), "gflops": done / median(seconds) / 1e9, "gemm_gflops": median(rates) / 1e9}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    print(json.dumps(fraction(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("none"))))
