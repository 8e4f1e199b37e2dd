"""Out of memory in real runs: smaller batches and the warmup change no result, and a resumed run may have a smaller base."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tunewright import api
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.evaluation.evaluator import held_out_loss
from tunewright.engine.evaluation.generation import generate
from tunewright.engine.system.oom import BatchSizeBackoff
from tunewright.engine.tasks.collator import StepCollator, pad_right
from tunewright.engine.tasks.task_losses import predicted_tokens
from tunewright.engine.training import train_adapter
from tunewright.engine.training.build_trainer import checkpoint_to_resume
from tunewright.errors import Problem, TrainingError
from tunewright.kernels.cross_entropy import plain_loss
from tunewright.planning.memory_fallback import remedied
from tunewright.rundir.checkpoints import CheckpointStore

from .test_causal_lm import run_for

REFUSED = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8"
)


def rows_of(*lengths: int) -> list[TokenizedExample]:
    return [
        TokenizedExample(i, [5 + j % 200 for j in range(n)], [-100, *range(6, 5 + n)], 1, n)
        for i, n in enumerate(lengths)
    ]


def cut_by(max_tokens: int) -> StepCollator:
    return StepCollator(pad_right, predicted_tokens, lambda row: len(row.input_ids), 0, max_tokens)


def refuse_large_batches(model: Any, limit: int) -> Any:
    """Let a model refuse more than `limit` rows at once; returns the hook."""

    def check(_module: nn.Module, inputs: tuple[Tensor]) -> None:
        if len(inputs[0]) > limit:
            raise RuntimeError(REFUSED)

    return model.get_input_embeddings().register_forward_pre_hook(check)


def test_losses_and_answers_are_the_same_in_smaller_batches(tiny_model: Callable[..., Path], shop_rows: Path) -> None:
    model, _ = api.load_for_training(api.load(named={"model.name": str(tiny_model()), "data.train": str(shop_rows)}))
    tokenizer, rows, cut = load_tokenizer(tiny_model(), None), rows_of(9, 12, 7, 15, 11, 8), cut_by(64)
    prompts = [row.input_ids[:5] for row in rows]

    def measure(backoff: BatchSizeBackoff) -> tuple[float, Any]:
        answers = generate(model, prompts, tokenizer, max_new_tokens=4, backoff=backoff)
        return held_out_loss(model, rows, plain_loss, cut, backoff=backoff), answers

    problems: list[Problem] = []
    loss, answers = measure(BatchSizeBackoff(problems.append))
    assert not problems
    hook = refuse_large_batches(model, 2)
    again, same = measure(BatchSizeBackoff(problems.append))
    hook.remove()
    assert problems
    assert all(problem.code == "D102" for problem in problems)
    assert again == pytest.approx(loss, rel=1e-6)
    assert same == answers


def test_a_run_is_the_same_with_and_without_its_warmup(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"peft.lora_dropout": 0.2}
    with_warmup = run_for(tiny_model(), shop_rows, tmp_path / "warmup", **settings)
    monkeypatch.setattr(train_adapter, "run_warmup_step", lambda model, loss, batch: None)
    plain = run_for(tiny_model(), shop_rows, tmp_path / "plain", **settings)
    curves = [[event.loss for event in run.dir.read_events() if event.kind == "log"] for run in (with_warmup, plain)]
    assert curves[0] == curves[1]
    first, second = (load_file(run.adapter / "adapter_model.safetensors") for run in (with_warmup, plain))
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_a_checkpoint_is_resumed_on_an_8_bit_base_if_a_memory_fallback_chose_it(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = run_for(tiny_model(), shop_rows, tmp_path / "run").dir
    plan, store = run.plan(), CheckpointStore(run.checkpoints_dir, run.info().id)
    model, _ = api.load_for_training(api.load(config=run.file("config.yaml")))
    smaller = remedied(plan, {"model.quantization": "8bit"})
    checkpoint = checkpoint_to_resume(store, smaller, model, run.events)
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-6"
    changed = plan.model_copy(update={"run": smaller.run})
    with pytest.raises(TrainingError, match="E502"):
        checkpoint_to_resume(store, changed, model, run.events)
