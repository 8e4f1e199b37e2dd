"""The warmup: the largest micro-batch of a run, and a step that leaves no trace."""

from functools import partial

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn

from tunewright.data.tokenized.mapped_rows import MappedRows
from tunewright.data.tokenized.tokenized_cache import dump, parse
from tunewright.engine.tasks.collator import StepCollator, pad_right
from tunewright.engine.tasks.task_losses import predicted_tokens
from tunewright.engine.training.loss_backends import LossBackend
from tunewright.engine.training.warmup import largest_micro_batch, run_warmup_step
from tunewright.kernels.cross_entropy import MicroBatch, plain_loss
from tunewright.kernels.packing import pack, pack_groups, packed_loss

from .conftest import Rows


def padded(max_tokens: int) -> StepCollator:
    return StepCollator(pad_right, predicted_tokens, lambda row: len(row.input_ids), 0, max_tokens)


def packed(max_tokens: int) -> StepCollator:
    backend = LossBackend(packed_loss, lambda rows, _pad_id: pack(rows, share=False), partial(pack_groups, share=False))
    return backend.adapt(padded(max_tokens))


@pytest.mark.parametrize(
    ("lengths", "step_rows", "shape"),
    [
        ((60, 50, 50, 33, 33, 33, 10, 10), 4, (2, 50)),
        ((60, 50, 50, 33, 33, 33, 10, 10), 1, (1, 60)),
        ((130, 50, 50), 4, (1, 130)),
        ((4, 3), 8, (2, 4)),
    ],
    ids=["not of the longest rows", "one row a step", "a row beyond the limit", "fewer rows than a step"],
)
def test_the_largest_micro_batch(
    lengths: tuple[int, ...], step_rows: int, shape: tuple[int, int], causal_rows: Rows
) -> None:
    assert largest_micro_batch(causal_rows(*lengths), padded(100), step_rows)["input_ids"].shape == shape


def test_packed_rows_fill_the_largest_micro_batch(causal_rows: Rows) -> None:
    assert largest_micro_batch(causal_rows(40, 40, 30, 30, 20), packed(100), 5)["input_ids"].shape == (1, 100)


@pytest.mark.parametrize("make", [padded, packed])
def test_no_step_of_a_run_makes_a_larger_micro_batch(make: type, causal_rows: Rows) -> None:
    lengths = torch.randint(4, 70, (64,), generator=torch.Generator().manual_seed(3)).tolist()
    rows, collator = causal_rows(*lengths), make(128)
    largest = largest_micro_batch(rows, collator, 8)["input_ids"].numel()
    order = torch.randperm(64, generator=torch.Generator().manual_seed(4)).tolist()
    steps = [collator([rows[i] for i in order[start : start + 8]])["parts"][0] for start in range(0, 64, 8)]
    assert largest >= 0.95 * max(batch["input_ids"].numel() for step in steps for batch in step)


@pytest.mark.parametrize("make", [padded, packed])
@pytest.mark.parametrize("step_rows", [1, 3, 8, 200])
def test_of_rows_in_files_it_is_the_one_of_all_rows(make: type, step_rows: int, causal_rows: Rows) -> None:
    lengths = torch.randint(4, 40, (150,), generator=torch.Generator().manual_seed(3)).tolist()
    rows, collator = list(causal_rows(*lengths)), make(128)
    blocks = [parse(dump(rows[start : start + 40])) for start in range(0, 150, 40)]
    mapped = MappedRows([block for block in blocks if block is not None])
    assert list(mapped) == rows
    expected, found = (largest_micro_batch(some, collator, step_rows) for some in (rows, mapped))
    assert expected.keys() == found.keys() and all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_warmup_step_leaves_no_trace(tiny_causal_model: PeftModel, causal_rows: Rows) -> None:
    model, modes = tiny_causal_model, []
    random_state = torch.random.get_rng_state()

    def loss(model: nn.Module, batch: MicroBatch) -> Tensor:
        modes.append(model.training)
        torch.rand(1)
        return plain_loss(model, batch)

    model.eval()
    run_warmup_step(model, loss, pad_right(causal_rows(9, 12), 0))  # type: ignore[arg-type]
    assert modes == [True]
    assert not model.training
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert all(parameter.grad is None for parameter in model.parameters())
