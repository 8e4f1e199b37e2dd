"""The built-in task: generated rows on disk, and the recipe that learns them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright.data import demo
from tunewright.runs import durable
from tunewright.trust import home

TRAIN_ROWS = 640
HELD_OUT_ROWS = 120
# Found on other held-out seeds than the one shown (benchmarks/quickstart). Adapting the upper half of the blocks alone
# learns this task as well as all of them, and the backward pass ends half-way.
RECIPE: Mapping[str, Any] = {
    "model.precision": "fp32",
    "preset": "complex",
    "peft.r": 16,
    "peft.layers_to_transform": list(range(15, 30)),
    "train.learning_rate": 2e-3,
    "train.num_train_epochs": 1.0,
    "train.warmup_steps": 8.0,
    "train.per_device_train_batch_size": 4,
    "train.gradient_accumulation_steps": 1,
    "train.eval_steps": 80,
    "eval.rows": HELD_OUT_ROWS,
    "eval.loss_rows": 40,
    "run.name": "quickstart",
}


def write_demo(seed: int) -> tuple[Path, Path]:
    """The generated rows as two files of conversations: to train on, and held out by other wording and other values."""
    folder = home() / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    train = _write(folder, demo.generate("train", TRAIN_ROWS, seed), f"train-{seed}")
    return train, _write(folder, demo.generate("held_out", HELD_OUT_ROWS, seed), f"held-out-{seed}")


def _write(folder: Path, rows: list[demo.DemoRow], name: str) -> Path:
    text = "".join(json.dumps(demo.as_messages(row), ensure_ascii=False) + "\n" for row in rows)
    path = folder / f"shop-messages-{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.jsonl"
    if not path.is_file():
        durable.write_text(path, text)
    return path


def request(seed: int) -> dict[str, Any]:
    """What quickstart asks for, by dotted path."""
    train, held_out = write_demo(seed)
    return {
        "model.name": "smollm2",
        "data.train": str(train),
        "data.holdout": str(held_out),
        "train.seed": seed,
        **RECIPE,
    }
