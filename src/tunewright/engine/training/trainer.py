"""The Trainer of a run: one loader item is one optimizer step, and the loss is ours.

Here are the step (micro-batches of one step, normalized by the step's label tokens) and the held-out loss (weighted by
tokens). What is private to transformers is in `trainer_overrides.py`.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerControl

from tunewright.engine.models.peft_adapter import orthogonality
from tunewright.engine.training.step_parts import StepParts
from tunewright.engine.training.trainer_overrides import TrainerOverrides
from tunewright.errors import error
from tunewright.i18n import N_
from tunewright.kernels.cross_entropy import LossFunction, MicroBatch


class StepTrainer(TrainerOverrides):
    """A Trainer whose batches hold the rows of a whole optimizer step, of which `parts` computes those of this process."""

    def __init__(
        self,
        *,
        loss: LossFunction,
        held_out_loss: Callable[[nn.Module], float] | None,
        parts: StepParts | None = None,
        **overrides: Any,
    ) -> None:
        self.parts = parts or StepParts()
        super().__init__(ranks=self.parts.ranks, **overrides)
        self.step_loss = loss
        self.held_out_loss = held_out_loss

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | None = None
    ) -> Tensor:
        """Forward and backward of all micro-batches; the mean loss over the step's label tokens, the same in every process.

        Raises: TrainingError E501 before the optimizer sees a loss that is not finite; E504 for a step without labels;
        PeerLost.
        """
        self.restore_meters()
        model.train()
        inputs = self.to_device(inputs)
        label_tokens = inputs["num_label_tokens"]
        if int(label_tokens) == 0:
            raise error("E504", rows=", ".join(map(str, inputs["row_numbers"].tolist())))

        def backward(batch: MicroBatch) -> Tensor:
            with self.compute_loss_context_manager():
                loss = self.step_loss(model, batch) * (1 / label_tokens)
            self.accelerator.backward(loss)
            return loss.detach()

        if self.parts.count == 1 and self.parts.ranks.world == 1:
            total, num_padding = torch.zeros((), device=self.args.device), int(inputs["num_padding"])
            for batch in inputs["parts"][0]:
                total += backward(batch)
        else:
            total, num_padding = self.parts.compute(model, inputs, backward, self.state.global_step + 1)
        if not torch.isfinite(total):
            self.raise_non_finite(N_("the loss"), float(total), self.state.global_step + 1)
        if self.method == "adalora":
            self.accelerator.backward(orthogonality(self.model))
        self.meters.num_tokens += int(inputs["num_tokens"])
        self.meters.num_padding += num_padding
        return total

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Held-out loss, the mean over all label tokens of the held-out rows (never the mean of batch means).

        Raises: TrainingError E501 if it is not finite: it could neither be the best nor be compared with.
        """
        started = time.perf_counter()
        assert self.held_out_loss is not None
        loss = self.held_out_loss(self.model)
        if not math.isfinite(loss):
            self.raise_non_finite(N_("the held-out loss"), loss, self.state.global_step)
        metrics = {"eval_loss": loss, "eval_seconds": time.perf_counter() - started}
        self.log(dict(metrics))
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
