"""A step in parts: its gradients, summed over its parts and over the processes of the run.

The rows of a step are dealt into parts when they are collated (engine/tasks/collator.py). A part's sum does not depend on who
computes it: dropout is drawn anew for each micro-batch, from the seed, the step, the part and its number in the part. So one
process that computes two parts and two processes with one each end in the same bits, and more differ by the order of sums.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tunewright.engine.system.ranks import ALONE, Ranks
from tunewright.engine.training.callbacks import StopFlag
from tunewright.kernels.cross_entropy import MicroBatch

Loss = Callable[[MicroBatch], Tensor]  # forward and backward; the loss, detached


@dataclass
class StepParts:
    """`count` parts of each step, those of this process among them, and what the last step took in each process."""

    ranks: Ranks = ALONE
    count: int = 1
    seed: int = 0
    stop: StopFlag | None = None
    seconds: list[float] = field(default_factory=list)
    _computed: float = field(default=0.0, init=False)
    _whole: float = field(default=0.0, init=False)

    @property
    def own(self) -> tuple[int, ...]:
        """The parts that this process computes; none where there are more processes than parts."""
        return self.of(self.ranks.rank)

    def of(self, rank: int) -> tuple[int, ...]:
        """The parts that a process computes."""
        return tuple(range(rank, self.count, self.ranks.world))

    @property
    def of_each(self) -> tuple[tuple[int, ...], ...]:
        """The parts of each process, where all must make as many passes through the model; else nothing."""
        return tuple(map(self.of, range(self.ranks.world))) if self.ranks.share_base else ()

    def compute(self, model: nn.Module, inputs: Mapping[str, Any], loss: Loss, step: int) -> tuple[Tensor, int]:
        """Gradients of the whole step in the model's parameters; its loss and its padding. Raises: PeerLost.

        `inputs` are what `StepCollator` makes of the step's rows.
        """
        begun = time.perf_counter()
        self.ranks.beat("train", step)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        sums: list[Tensor | None] = [None] * len(trained)
        total = torch.zeros((), device=trained[0].device)
        with torch.random.fork_rng():
            for part, batches in zip(self.own, inputs["parts"], strict=True):
                of_part = torch.zeros_like(total)
                for number, batch in enumerate(batches):
                    torch.manual_seed(self._seed(step, part, number))
                    of_part += loss(batch)
                total += of_part
                sums = [
                    _plus(total_gradient, parameter) for total_gradient, parameter in zip(sums, trained, strict=True)
                ]
            for batch in inputs["stand_ins"]:
                loss(batch)
                model.zero_grad(set_to_none=True)
        computed = time.perf_counter() - begun
        is_first = not self.seconds  # which each process begins at another moment
        summed = self._sum(trained, sums, total, computed, int(inputs["num_padding"]))
        if not is_first:
            self._note(computed, time.perf_counter() - begun)
        return summed

    def _note(self, computed: float, whole: float) -> None:
        """What of a step, until its sums were there, this process computed."""
        self._computed += computed
        self._whole += whole
        if self.ranks.heartbeat:
            self.ranks.heartbeat.share = self._computed / self._whole

    def _sum(
        self,
        trained: Sequence[nn.Parameter],
        sums: Sequence[Tensor | None],
        total: Tensor,
        computed: float,
        padding: int,
    ) -> tuple[Tensor, int]:
        """Over all processes: one reduction, that also carries who was asked to stop, and how long each computed."""
        ranks = self.ranks
        if ranks.heartbeat:
            ranks.heartbeat.computed = computed
        is_stopping = float(bool(self.stop and self.stop.signal))
        seconds = [computed if rank == ranks.rank else 0.0 for rank in range(ranks.world)]
        flags = torch.tensor([is_stopping, float(padding), *seconds], device=total.device)
        is_there = torch.tensor([float(gradient is not None) for gradient in sums], device=total.device)
        full = [
            torch.zeros_like(p) if gradient is None else gradient for gradient, p in zip(sums, trained, strict=True)
        ]
        loss = total.reshape(1)
        ranks.sum([loss, flags, is_there, *full])
        for parameter, gradient, there in zip(trained, full, is_there.tolist(), strict=True):
            parameter.grad = gradient if there else None
        is_stopping, padding_sum, *self.seconds = flags.tolist()
        if is_stopping and self.stop:
            self.stop.agree()
        return loss[0], round(padding_sum)

    def _seed(self, step: int, part: int, number: int) -> int:
        text = f"{self.seed} {step} {part} {number}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])


def _plus(total: Tensor | None, parameter: nn.Parameter) -> Tensor | None:
    """The sum with a part's gradient, which leaves the parameter."""
    gradient, parameter.grad = parameter.grad, None
    if total is None or gradient is None:
        return gradient if total is None else total
    return total.add_(gradient)
