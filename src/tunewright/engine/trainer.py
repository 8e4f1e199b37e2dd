"""The one subclass of transformers' Trainer: one loader item is one optimizer step, and it owns its loss.

Overridden are the step (micro-batches of one step, normalised by the step's label tokens), the held-out measurement
(token-weighted), saving (staged, sealed, published), and the guards against numbers that are not finite.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerControl

from tunewright.accel.loss import LossFunction
from tunewright.errors import error
from tunewright.runs.checkpoints import CheckpointStore


class StepTrainer(Trainer):
    """A Trainer whose batches hold the rows of a whole optimizer step. Multi-device code was not run here."""

    def __init__(
        self,
        *,
        loss: LossFunction,
        held_out_loss: Callable[[nn.Module], float] | None,
        store: CheckpointStore,
        identity: Mapping[str, Any],
        keep_checkpoints: int,
        **trainer: Any,
    ) -> None:
        super().__init__(**trainer)
        self.step_loss = loss
        self.held_out_loss = held_out_loss
        self.store = store
        self.identity = identity
        self.keep_checkpoints = keep_checkpoints
        self.num_tokens = 0
        self.train_seconds = 0.0
        self._staging: Path | None = None

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | None = None
    ) -> Tensor:
        """Forward and backward of all micro-batches; the mean loss over the step's label tokens, on every device alike.

        Raises: TrainingError E501 before the optimizer sees a loss that is not finite; E504 for a step without labels.
        """
        started = time.perf_counter()
        model.train()
        inputs = self._prepare_inputs(inputs)
        world = self.accelerator.num_processes
        label_tokens = self.accelerator.gather(inputs["num_label_tokens"].reshape(1)).sum()
        if int(label_tokens) == 0:
            raise error("E504", rows=", ".join(map(str, inputs["row_numbers"].tolist())))
        total = torch.zeros((), device=self.args.device)
        for batch in inputs["micro_batches"]:
            with self.compute_loss_context_manager():
                loss = self.step_loss(model, batch) * (world / label_tokens)
            self.accelerator.backward(loss)
            total += loss.detach()
        if not torch.isfinite(total):
            self._stop_for(float(total))
        self.num_tokens += int(inputs["num_tokens"])
        self.train_seconds += time.perf_counter() - started
        return total

    def _clip_grad_norm(self, model: nn.Module) -> Tensor | None:
        norm = super()._clip_grad_norm(model)
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            self._stop_for(float(norm))
        return norm

    def _stop_for(self, value: float) -> None:
        rate = self._get_learning_rate()
        raise error(
            "E501",
            value=str(value),
            step=self.state.global_step + 1,
            learning_rate=f"{self.args.learning_rate:g}",
            lower=f"{min(rate, self.args.learning_rate) / 10 or self.args.learning_rate / 10:g}",
            config="config.yaml",
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Held-out loss, the mean over all label tokens of the held-out rows (never the mean of batch means)."""
        started = time.perf_counter()
        assert self.held_out_loss is not None
        metrics = {"eval_loss": self.held_out_loss(self.model), "eval_seconds": time.perf_counter() - started}
        self.log(dict(metrics))
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or self.args.output_dir)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """A checkpoint that is there whole or not at all; the newest, and the best, are kept."""
        self._staging = self.store.stage()
        try:
            super()._save_checkpoint(model, trial)
        finally:
            staged, self._staging = self._staging, None
        # transformers looks for the best checkpoint beside the staged one and does not find it.
        content = staged / f"checkpoint-{self.state.global_step}"
        (content / "training_args.bin").unlink(missing_ok=True)
        self.store.publish(content, self.state.global_step, self.identity)
        staged.rmdir()
        self.store.rotate(self.keep_checkpoints, self.state.best_global_step)
