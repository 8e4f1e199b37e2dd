"""The adapter of a run is that of its best step, and training ends early when nothing gets better."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from .test_causal_lm import run_for


def test_the_best_step_is_kept_and_training_ends_early(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    """What is trained on says yes, what is held out says no: the held-out loss must rise."""
    for name, answer in {"train": "yes yes yes", "test": "no no no"}.items():
        rows = ({"prompt": f"question {i} of {name}", "completion": answer} for i in range(16))
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    wild = {
        "train.max_steps": 40,
        "train.eval_steps": 2,
        "train.learning_rate": 0.05,
        "train.early_stopping_patience": 2,
    }
    wild |= {"data.holdout": str(tmp_path / "test.jsonl"), "data.max_duplicates": 1.0}
    run = run_for(tiny_model(), tmp_path / "train.jsonl", tmp_path / "run", **wild)
    evaluations = {e.step: e.held_out_loss for e in run.dir.read_events() if e.kind == "eval"}
    result = run.result
    assert result["steps"] < 40, evaluations
    assert result["best_step"] == min(evaluations, key=lambda step: evaluations[step])
    assert result["best_step"] < result["steps"]
    saved = load_file(run.adapter / "adapter_model.safetensors")
    best = load_file(run.dir.checkpoints_dir / f"checkpoint-{result['best_step']}" / "adapter_model.safetensors")
    last = load_file(run.dir.checkpoints_dir / f"checkpoint-{result['steps']}" / "adapter_model.safetensors")
    assert all(torch.equal(saved[name], best[name]) for name in best)
    assert any(not torch.equal(saved[name], last[name]) for name in last)
    # The two tests read other numbers of rows at once.
    assert result["after"]["held_out_loss"] == pytest.approx(evaluations[result["best_step"]], rel=1e-6)


def test_a_second_file_is_held_out_without_what_was_trained_on(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    lines = shop_rows.read_text().splitlines()
    (tmp_path / "train.jsonl").write_text("\n".join(lines[:30]) + "\n")
    (tmp_path / "test.jsonl").write_text("\n".join(lines[28:40]) + "\n")
    run = run_for(
        tiny_model(), tmp_path / "train.jsonl", tmp_path / "run", **{"data.holdout": str(tmp_path / "test.jsonl")}
    )
    account = run.dir.data_summary()
    assert (account.used, account.held_out, account.counts["leaked"]) == (30, 10, 2)
    assert account.rows == account.used + account.held_out + account.dropped


def test_biases_and_dora_are_saved_and_loaded_whole(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    settings = {"peft.bias": "lora_only", "peft.use_dora": True, "train.eval_steps": 3}
    run = run_for(tiny_model("qwen2"), shop_rows, tmp_path / "run", **settings)
    names = load_file(run.adapter / "adapter_model.safetensors").keys()
    assert any("bias" in name for name in names)
    assert any("magnitude" in name for name in names)
    answers = run.chat("two mugs to Oslo", with_base=True, max_new_tokens=3)
    run.close()
    assert set(answers) == {"tuned", "base"}
