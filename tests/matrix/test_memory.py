"""Memory that runs out: how it is recognised, tests that go on in smaller batches, the largest micro-batch tried first."""

import mmap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tunewright import api
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.evaluation.evaluator import held_out_loss, spread
from tunewright.engine.evaluation.generation import generate
from tunewright.engine.system.oom import BatchSizeBackoff, ran_out
from tunewright.engine.tasks.collator import StepCollator, pad_right
from tunewright.engine.tasks.task_losses import predicted_tokens
from tunewright.engine.training import train_adapter
from tunewright.engine.training.build_trainer import checkpoint_to_resume
from tunewright.engine.training.loss_backends import LossBackend
from tunewright.engine.training.warmup import largest_micro_batch, run_warmup_step
from tunewright.errors import Problem, TrainingError
from tunewright.kernels.cross_entropy import MicroBatch, plain_loss
from tunewright.kernels.packing import pack, pack_groups, packed_loss
from tunewright.planning.memory_fallback import remedied
from tunewright.planning.run_plan import from_json
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


def packed_by(max_tokens: int) -> StepCollator:
    way = LossBackend(packed_loss, lambda rows, _pad_id: pack(rows, share=False), partial(pack_groups, share=False))
    return way.of(cut_by(max_tokens))


@pytest.mark.parametrize(
    "ask",
    [lambda: torch.empty(2**55), lambda: bytearray(2**60), lambda: mmap.mmap(-1, 2**60)],
    ids=["torch", "python", "system"],
)
def test_memory_that_is_refused_is_recognised(ask: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError, OSError)) as caught:
        ask()
    assert ran_out(caught.value)


def test_memory_of_a_gpu_is_recognised_and_other_faults_are_not() -> None:
    assert ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert not any(map(ran_out, (RuntimeError("shapes differ"), FileNotFoundError(2, "x"), ValueError(REFUSED))))


def test_what_does_not_fit_is_done_in_halves_and_every_row_once() -> None:
    done: list[int] = []
    told: list[Problem] = []

    def work(group: Sequence[int]) -> None:
        if len(group) > 2:
            raise RuntimeError(REFUSED)
        done.extend(group)

    portions = BatchSizeBackoff(told.append)
    portions.each([range(7), range(7, 10)], work)
    assert done == list(range(10))
    assert [problem.values["rows"] for problem in told] == [4, 2]
    portions.each([range(8)], work)
    assert done[10:] == list(range(8))
    assert len(told) == 2, "later tests begin with the smaller batches"


def test_a_row_that_does_not_fit_alone_is_an_end_and_other_faults_pass() -> None:
    def refuse(group: Sequence[int]) -> None:
        raise MemoryError

    def fail(group: Sequence[int]) -> None:
        raise ValueError("no")

    with pytest.raises(MemoryError):
        BatchSizeBackoff(lambda problem: None).each([range(4)], refuse)
    with pytest.raises(ValueError, match="no"):
        BatchSizeBackoff(lambda problem: pytest.fail("halved")).each([range(4)], fail)


def narrow(model: Any, most: int) -> Any:
    """Let a model refuse more than so many rows at once; returns what undoes it."""

    def check(_module: nn.Module, given: tuple[Tensor]) -> None:
        if len(given[0]) > most:
            raise RuntimeError(REFUSED)

    return model.get_input_embeddings().register_forward_pre_hook(check)


def test_losses_and_answers_are_the_same_in_smaller_batches(tiny_model: Callable[..., Path], shop_rows: Path) -> None:
    model, _ = api.load_for_training(api.load(named={"model.name": str(tiny_model()), "data.train": str(shop_rows)}))
    tokenizer, rows, cut = load_tokenizer(tiny_model(), None), rows_of(9, 12, 7, 15, 11, 8), cut_by(64)
    prompts = [row.input_ids[:5] for row in rows]

    def measure(portions: BatchSizeBackoff) -> tuple[float, Any]:
        answers = generate(model, prompts, tokenizer, max_new_tokens=4, portions=portions)
        return held_out_loss(model, rows, plain_loss, cut, portions=portions), answers

    told: list[Problem] = []
    loss, answers = measure(BatchSizeBackoff(told.append))
    assert not told
    undo = narrow(model, 2)
    again, same = measure(BatchSizeBackoff(told.append))
    undo.remove()
    assert told
    assert all(problem.code == "D102" for problem in told)
    assert again == pytest.approx(loss, rel=1e-6)
    assert same == answers


def test_the_largest_micro_batch_need_not_be_that_of_the_longest_rows() -> None:
    rows, cut = rows_of(60, 50, 50, 33, 33, 33, 10, 10), cut_by(100)
    assert largest_micro_batch(rows, cut, 4)["input_ids"].shape == (2, 50)
    assert largest_micro_batch(rows, cut, 1)["input_ids"].shape == (1, 60)
    assert largest_micro_batch(rows_of(130, 50, 50), cut, 4)["input_ids"].shape == (1, 130), "it stands alone"
    assert largest_micro_batch(rows_of(4, 3), cut, 8)["input_ids"].shape == (2, 4)


def test_no_step_of_a_run_makes_a_larger_micro_batch() -> None:
    lengths = torch.randint(4, 70, (64,), generator=torch.Generator().manual_seed(3)).tolist()
    rows = rows_of(*lengths)
    for cut in (cut_by(128), packed_by(128)):
        largest = largest_micro_batch(rows, cut, 8)["input_ids"].numel()
        order = torch.randperm(64, generator=torch.Generator().manual_seed(4)).tolist()
        steps = [cut([rows[i] for i in order[start : start + 8]])["micro_batches"] for start in range(0, 64, 8)]
        assert largest >= 0.95 * max(batch["input_ids"].numel() for step in steps for batch in step)


def test_packed_rows_are_tried_as_they_are_packed() -> None:
    assert largest_micro_batch(rows_of(40, 40, 30, 30, 20), packed_by(100), 5)["input_ids"].shape == (1, 100)


def test_a_rehearsal_leaves_no_trace(tiny_model: Callable[..., Path], shop_rows: Path) -> None:
    named = {"model.name": str(tiny_model()), "data.train": str(shop_rows), "peft.lora_dropout": 0.3}
    model, _ = api.load_for_training(api.load(named=named))
    before, seen = torch.random.get_rng_state(), []

    def loss(model: nn.Module, batch: MicroBatch) -> Tensor:
        seen.append(model.training)
        return plain_loss(model, batch)

    model.eval()
    run_warmup_step(model, loss, pad_right(rows_of(9, 12), 0))
    assert seen == [True]
    assert not model.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_run_is_the_same_with_and_without_its_rehearsal(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"peft.lora_dropout": 0.2}
    rehearsed = run_for(tiny_model(), shop_rows, tmp_path / "rehearsed", **settings)
    monkeypatch.setattr(train_adapter, "rehearse", lambda model, loss, batch: None)
    plain = run_for(tiny_model(), shop_rows, tmp_path / "plain", **settings)
    curves = [
        [event["loss"] for event in run.dir.read_events() if event["kind"] == "log"] for run in (rehearsed, plain)
    ]
    assert curves[0] == curves[1]
    first, second = (load_file(run.adapter / "adapter_model.safetensors") for run in (rehearsed, plain))
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_a_checkpoint_goes_on_with_an_8_bit_base_if_a_saving_made_it_so(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    run = run_for(tiny_model(), shop_rows, tmp_path / "run").dir
    plan, store = from_json(run.plan()), CheckpointStore(run.checkpoints_dir, run.info()["id"])
    model, _ = api.load_for_training(api.load(config=run.file("config.yaml")))
    saved = remedied(plan, {"model.quantization": "8bit"})
    checkpoint = checkpoint_to_resume(store, saved, model, run.events)
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-6"
    asked = plan.model_copy(update={"run": saved.run})
    with pytest.raises(TrainingError, match="E502"):
        checkpoint_to_resume(store, asked, model, run.events)


def test_some_of_the_held_out_rows_are_taken_evenly_as_files_stand_in_the_order_of_labels() -> None:
    rows = [TokenizedExample(i, [1, 2], [-100, 2], 1, 2) for i in range(10)]
    assert [row.number for row in spread(rows, 4)] == [0, 2, 5, 7]
    assert [row.number for row in spread(rows, 99)] == list(range(10))
    assert spread(rows, 0) == spread([], 3) == []
