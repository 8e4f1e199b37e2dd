"""Methods x tasks x kinds of models: train through the worker's own code, load in bare PEFT, merge, switch off.

Tolerance: 1e-4 on logits of size 1 in fp32. A merge rounds each weight once more; methods that rebuild a weight through
a product of several matrices (OFT, BOFT, HRA, FourierFT, C3A) round more than once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, TrainerCallback, set_seed

from tunewright import api
from tunewright.config.methods import METHODS
from tunewright.config.tasks import TASKS
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.models.load_model import load_adapter, load_base
from tunewright.engine.models.peft_adapter import attach_adapter, planned_config, without_adapter
from tunewright.engine.session_server import SessionServer
from tunewright.errors import TunewrightError
from tunewright.launch import in_process, start_run
from tunewright.planning.compatibility import reason_not
from tunewright.planning.run_plan import Plan
from tunewright.reporting import SILENT
from tunewright.rundir.session_protocol import EvaluateRequest

from .test_causal_lm import run_for

KINDS = {
    "llama": ("causal_lm", "seq_cls", "token_cls"),
    "bert": ("seq_cls", "token_cls"),
    "t5": ("seq2seq",),
    "bert2bert": ("seq2seq",),
}
CELLS = [(method, task, family) for family, tasks in KINDS.items() for task in tasks for method in METHODS]
SMALL: dict[str, dict[str, object]] = {
    "vera": {"peft.r": 8}, "oft": {"peft.oft_block_size": 16}, "fourierft": {"peft.n_frequency": 50},
    "p_tuning": {"peft.encoder_hidden_size": 32}, "c3a": {"peft.block_size": 16},
    **{name: {"peft.num_virtual_tokens": 4} for name in ("prefix_tuning", "prompt_tuning")},
}  # fmt: skip
LOGITS = 1e-4
SAME = {
    "train.per_device_train_batch_size": 4, "train.gradient_accumulation_steps": 1, "eval.rows": 2,
}  # fmt: skip


def inputs(task: str) -> dict[str, torch.Tensor]:
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return batch | ({"decoder_input_ids": torch.tensor([[0, 11, 12]])} if task == "seq2seq" else {})


@torch.no_grad()
def logits(model: nn.Module, task: str) -> torch.Tensor:
    logits = model.eval()(**inputs(task)).logits
    return logits[:, -5:] if task in ("causal_lm", "token_cls") else logits  # without learned positions


def bare_base(plan: Plan) -> Any:
    """The base as somebody loads it who knows transformers only: labels from the config beside the adapter."""
    task = plan.run.task
    assert task != "auto"
    set_seed(plan.run.train.seed)
    auto = vars(transformers)[TASKS[task].auto_class]
    if task not in ("seq_cls", "token_cls"):
        return auto.from_pretrained(plan.facts.model.folder)
    labels = plan.facts.data.labels
    model = auto.from_pretrained(plan.facts.model.folder, num_labels=len(labels))
    model.config.pad_token_id = 0
    return model


@pytest.mark.parametrize(("method", "task", "family"), CELLS)
def test_a_cell_trains_saves_loads_merges_and_switches_off(
    method: str, task: str, family: str, tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    folder = tiny_model(family)
    settings = {
        "task": task,
        "method": method,
        "train.max_steps": 4,
        "train.eval_steps": 2,
        "train.learning_rate": 2e-2,
    }
    settings |= {"eval.max_new_tokens": 3, **SMALL.get(method, {})}
    run = run_for(folder, task_rows[task], tmp_path / "run", **settings)
    plan = run.dir.plan()

    fresh = attach_adapter(load_base(plan, load_tokenizer(folder)), planned_config(plan), seed=42)
    trained = sum(p.numel() for p in fresh.parameters() if p.requires_grad)
    assert run.result["trainable_parameters"] == trained
    assert plan.trainable_parameters == trained

    bare = PeftModel.from_pretrained(bare_base(plan), run.adapter)
    tuned = logits(bare, task)
    ours = load_adapter(load_base(plan, load_tokenizer(folder)), run.adapter)
    torch.testing.assert_close(logits(ours, task), tuned, atol=1e-6, rtol=1e-6)
    with without_adapter(bare) as untouched:
        torch.testing.assert_close(logits(untouched, task), logits(bare_base(plan), task), atol=1e-6, rtol=1e-6)
    assert not torch.allclose(tuned, logits(bare_base(plan), task), atol=1e-7), "the adapter changes nothing"

    if METHODS[method].merges:
        merged = bare.merge_and_unload(safe_merge=True)
        torch.testing.assert_close(logits(merged, task), tuned, atol=LOGITS, rtol=LOGITS)


@pytest.mark.parametrize(("method", "task", "family"), [
    ("lora", "seq_cls", "bert"), ("ln_tuning", "seq_cls", "bert"), ("prompt_tuning", "token_cls", "llama"),
    ("ia3", "seq2seq", "bert2bert"), ("ln_tuning", "causal_lm", "llama"),
])  # fmt: skip
def test_what_is_trained_is_held_in_fp32_and_moves(
    method: str, task: str, family: str, tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    settings = {"task": task, "method": method, "train.max_steps": 3, "train.eval_steps": 2, "model.precision": "bf16"}
    settings |= {
        "eval.max_new_tokens": 3,
        **({"peft.modules_to_save": ["crossattention"]} if task == "seq2seq" else {}),
    }
    run = run_for(tiny_model(family), task_rows[task], tmp_path / "run", **settings)
    plan = run.dir.plan()
    model = attach_adapter(load_base(plan, load_tokenizer(tiny_model(family))), planned_config(plan), seed=42)
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
    again = SessionServer(run.dir, lambda message: None).evaluate(EvaluateRequest(0))
    assert again.after["held_out_loss"] == pytest.approx(run.result["after"]["held_out_loss"], rel=2e-2)
    losses = [event.loss for event in run.dir.read_events() if event.kind == "log"]
    assert losses[0] != losses[-1]


class Breaking(TrainerCallback):
    """Fails in the middle of a step, as a fault of the machine would."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 5:
            raise RuntimeError("broken off")


@pytest.mark.parametrize(("method", "task", "family"), [
    ("adalora", "causal_lm", "llama"), ("prefix_tuning", "seq_cls", "bert"), ("p_tuning", "causal_lm", "llama"),
    ("prompt_tuning", "seq2seq", "t5"), ("adalora", "seq_cls", "bert"), ("ia3", "token_cls", "bert"),
])  # fmt: skip
def test_a_run_that_broke_off_ends_as_if_it_had_not(
    method: str, task: str, family: str, tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    settings = {
        "task": task,
        "method": method,
        "train.max_steps": 8,
        "train.eval_steps": 4,
        "train.learning_rate": 1e-2,
    }
    settings |= {"eval.max_new_tokens": 3, **SMALL.get(method, {})}
    unbroken = run_for(tiny_model(family), task_rows[task], tmp_path / "whole", **settings)
    named = {
        "model.name": str(tiny_model(family)),
        "data.train": str(task_rows[task]),
        "data.holdout": 0.2,
        **SAME,
        **settings,
    }
    loaded = api.load(named={**named, "run.output_dir": str(tmp_path / "broken")})
    broken = start_run.create(loaded, api.plan(loaded), force=False, reporter=SILENT)
    assert in_process.work(broken, [Breaking()]) != 0
    assert [folder.name for folder in broken.checkpoints_dir.glob("checkpoint-*")] == ["checkpoint-4"]
    assert in_process.work(broken) == 0
    first, second = (load_file(run / "adapter_model.safetensors") for run in (unbroken.adapter, broken.adapter_dir))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    losses = [{e.step: e.loss for e in run.read_events() if e.kind == "log"} for run in (unbroken.dir, broken)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(("method", "task", "kind", "family"), [
    ("prefix_tuning", "seq_cls", "encoder_decoder", "bart"), ("prompt_tuning", "seq_cls", "encoder_decoder", "t5"),
    ("prefix_tuning", "token_cls", "encoder_decoder", "t5"), ("prefix_tuning", "seq_cls", "encoder", "deberta-v2"),
])  # fmt: skip
def test_what_peft_cannot_run_is_refused_with_what_works(method: str, task: str, kind: str, family: str) -> None:
    assert reason_not(method, task, kind, family)
    assert reason_not("lora", task, kind, family) is None


def test_a_refused_cell_says_so_before_anything_starts(
    tiny_model: Callable[..., Path], task_rows: dict[str, Path]
) -> None:
    named = {"model.name": str(tiny_model("t5")), "data.train": str(task_rows["token_cls"]), "task": "token_cls"}
    with pytest.raises(TunewrightError) as caught:
        api.plan(api.load(named={**named, "method": "prefix_tuning"}))
    assert [problem.code for problem in caught.value.problems] == ["E122"]


def test_the_label_map_travels_with_the_adapter(
    tiny_model: Callable[..., Path], task_rows: dict[str, Path], tmp_path: Path
) -> None:
    run = run_for(tiny_model("bert"), task_rows["seq_cls"], tmp_path / "run", task="seq_cls")
    config = AutoConfig.from_pretrained(run.adapter)
    assert set(config.id2label.values()) <= {"order", "cancel", "track", "refund", "exchange", "address"}
    assert config.num_labels == len(config.id2label) >= 5
