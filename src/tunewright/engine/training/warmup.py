"""Warmup: the largest micro-batch of a run, forward and backward, before anything else; if memory is too small, it fails here."""

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tunewright.data.tokenized.mapped_rows import MappedRows
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.engine.tasks.collator import StepCollator
from tunewright.kernels.cross_entropy import LossFunction, MicroBatch

logger = logging.getLogger(__name__)


def largest_micro_batch(rows: Sequence[TokenizedExample], collator: StepCollator, step_rows: int) -> dict[str, Tensor]:
    """The micro-batch with the most tokens, padding included, that `step_rows` of these rows can make.

    A step of the longest rows need not have it: two rows of half of `max_tokens` fill a micro-batch better than one of
    slightly more than half. So for each number of rows one step is cut, from the longest rows of which that many still fit;
    and one step of rows of all lengths that fill it together, as they may without padding.
    """
    longest = sorted(_of_each_length(rows, step_rows), key=collator.size, reverse=True)
    sizes = [-collator.size(row) for row in longest]
    starts = {0} | {bisect_left(sizes, -(collator.max_tokens // count)) for count in range(2, step_rows + 1)}
    steps = [longest[start : start + step_rows] for start in sorted(starts) if start < len(longest)]
    steps.append(_filling(longest, collator)[:step_rows])
    groups = ([step[i] for i in group] for step in steps for group in collator.groups(step))
    return max((collator.collate(group, collator.pad_id) for group in groups), key=_num_values)


def _of_each_length(rows: Sequence[TokenizedExample], most: int) -> Sequence[TokenizedExample]:
    """The first `most` rows of each length, in their order: no step takes more of them, and none takes others.

    Of rows that lie in files only these are made.
    """
    if not isinstance(rows, MappedRows):
        return rows
    num_taken: Counter[int] = Counter()
    chosen: list[TokenizedExample] = []
    for block in rows.blocks:
        lengths_N = (_lengths(block.columns["ids_end"]) << 32) + _lengths(block.columns["labels_end"])
        places: list[int] = []
        for both in lengths_N.unique().tolist():
            if (left := most - num_taken[both]) > 0:
                own = (lengths_N == both).nonzero()[:left, 0].tolist()
                num_taken[both] += len(own)
                places += own
        chosen += [block[place] for place in sorted(places)]
    return chosen


def _lengths(ends: memoryview) -> Tensor:
    """Lengths of the rows that end there."""
    ends_N = torch.tensor(ends, dtype=torch.int64)
    return torch.diff(ends_N, prepend=torch.zeros(1, dtype=torch.int64))


def _filling(longest: Sequence[TokenizedExample], collator: StepCollator) -> list[TokenizedExample]:
    """Rows that together nearly fill a micro-batch, the longest first."""
    chosen = [longest[0]]
    room = collator.max_tokens - collator.size(longest[0])
    for row in longest[1:]:
        if collator.size(row) <= room:
            chosen.append(row)
            room -= collator.size(row)
    return chosen


def _num_values(batch: MicroBatch) -> int:
    return sum(tensor.numel() for tensor in batch.values())


def run_warmup_step(model: nn.Module, loss: LossFunction, batch: MicroBatch) -> None:
    """Forward and backward as in training, dropout on. Gradients, random state and mode are restored.

    Cost: the time of one micro-batch. Not run on a GPU.
    """
    was_training, device = model.training, next(model.parameters()).device
    logger.info("warmup: %s", {name: tuple(tensor.shape) for name, tensor in batch.items()})
    model.train()
    with torch.random.fork_rng():
        loss(model, {name: tensor.to(device) for name, tensor in batch.items()}).backward()
    model.zero_grad(set_to_none=True)
    model.train(was_training)
