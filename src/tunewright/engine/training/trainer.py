"""The one subclass of transformers' Trainer: one loader item is one optimizer step, and it owns its loss.

Overridden are the step (micro-batches of one step, normalised by the step's label tokens), the held-out measurement
(token-weighted), saving (staged, sealed, published), and the guards against numbers that are not finite.
"""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import EarlyStoppingCallback, Trainer, TrainerControl

from tunewright.engine.models.adapter_state import save_trained
from tunewright.engine.models.finite import check_finite, moments, trained_tensors
from tunewright.engine.models.peft_adapter import orthogonality
from tunewright.engine.system.io_errors import disk_faults
from tunewright.errors import error
from tunewright.i18n import N_
from tunewright.kernels.cross_entropy import LossFunction
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import TOTALS, CheckpointStore


class StepTrainer(Trainer):
    """A Trainer whose batches hold the rows of a whole optimizer step. Multi-device code was not run here."""

    def __init__(
        self,
        *,
        loss: LossFunction,
        held_out_loss: Callable[[nn.Module], float] | None,
        method: str,
        store: CheckpointStore,
        identity: Mapping[str, Any],
        keep_checkpoints: int,
        before: Mapping[str, float],
        **trainer: Any,
    ) -> None:
        super().__init__(**trainer)
        self.step_loss = loss
        self.held_out_loss = held_out_loss
        self.method = method
        self.store = store
        self.identity = identity
        self.keep_checkpoints = keep_checkpoints
        self.num_tokens = int(before["tokens"])
        self.num_padding = 0
        self.train_seconds = before["train_seconds"]
        self.unsaved = ""  # why the disk refused the last checkpoint
        self.before = before
        self._staging: Path | None = None
        self._best_before: tuple[float | None, int | None] = (None, None)

    def totals(self) -> dict[str, float]:
        """Real tokens and seconds of training, over all sessions of the run; and what the next logged line averages."""
        line = {"unlogged_loss": float(self._tr_loss), "logged_step": self._globalstep_last_logged}
        return {"tokens": self.num_tokens, "train_seconds": self.train_seconds, **line}

    def restore_meters(self) -> None:
        """Have the next logged line average over the steps of the session before, too; transformers begins anew."""
        self._tr_loss += self.before["unlogged_loss"]
        self._globalstep_last_logged = int(self.before["logged_step"])

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | None = None
    ) -> Tensor:
        """Forward and backward of all micro-batches; the mean loss over the step's label tokens, on every device alike.

        Raises: TrainingError E501 before the optimizer sees a loss that is not finite; E504 for a step without labels.
        """
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
            self._stop_for(N_("the loss"), float(total), self.state.global_step + 1)
        if self.method == "adalora":
            self.accelerator.backward(orthogonality(self.model))
        self.num_tokens += int(inputs["num_tokens"])
        self.num_padding += int(inputs["num_padding"])
        return total

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The norm of all gradients, checked before the optimizer sees them; a loss scaler finds its scale by overflow."""
        norm = super()._get_grad_norm(model, grad_norm)
        if self.accelerator.scaler is None and not math.isfinite(float(norm)):
            self._stop_for(N_("a gradient"), float(norm), self.state.global_step + 1)
        return norm

    def _stop_for(self, what: str, value: float, step: int) -> None:
        rate = self._get_learning_rate()
        raise error(
            "E501",
            what=what,
            value=str(value),
            step=step,
            learning_rate=f"{self.args.learning_rate:g}",
            lower=f"{min(rate, self.args.learning_rate) / 10 or self.args.learning_rate / 10:g}",
            config=str(self.store.folder.parent / "config.yaml"),
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Held-out loss, the mean over all label tokens of the held-out rows (never the mean of batch means).

        Raises: TrainingError E501 for one that is not finite: it could neither be the best nor be compared with.
        """
        started = time.perf_counter()
        assert self.held_out_loss is not None
        loss = self.held_out_loss(self.model)
        if not math.isfinite(loss):
            self._stop_for(N_("the held-out loss"), loss, self.state.global_step)
        metrics = {"eval_loss": loss, "eval_seconds": time.perf_counter() - started}
        self.log(dict(metrics))
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _init_training_state(self, max_steps: int, *rest: Any) -> tuple[int, int]:
        """Where to go on; how often is logged and measured comes from the plan, not from the checkpoint."""
        place = super()._init_training_state(max_steps, *rest)
        self.state.compute_steps(self.args, max_steps)
        return place

    def _load_callback_state(self) -> None:
        """Counters come from the checkpoint, the patience from the plan."""
        planned = [c.early_stopping_patience for c in self._stoppers()]
        super()._load_callback_state()
        for stopper, patience in zip(self._stoppers(), planned, strict=True):
            stopper.early_stopping_patience = patience

    def _stoppers(self) -> list[EarlyStoppingCallback]:
        return [c for c in self.callback_handler.callbacks if isinstance(c, EarlyStoppingCallback)]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Nothing: the trained numbers were put back strictly before the Trainer was built."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Moments and position come from the checkpoint; learning rate and weight decay from the plan, which may be newer."""
        planned = (
            [(g.get("initial_lr", g["lr"]), g["weight_decay"]) for g in self.optimizer.param_groups]
            if checkpoint
            else []
        )
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or not isinstance(self.lr_scheduler, LambdaLR):
            return
        scheduler = self.lr_scheduler
        scheduler.base_lrs = [rate for rate, _decay in planned]
        groups = zip(self.optimizer.param_groups, planned, scheduler.lr_lambdas, strict=True)
        for group, (rate, decay), factor in groups:
            group["initial_lr"], group["lr"] = rate, rate * factor(scheduler.last_epoch)
            group["weight_decay"] = decay
        scheduler._last_lr = [group["lr"] for group in self.optimizer.param_groups]  # what the next line logs

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Part of a checkpoint. Raises: TrainingError E511 if a trained number, or what is remembered of it, is not finite."""
        check_finite(trained_tensors(self.model), self.state.global_step)
        check_finite(moments(self.optimizer), self.state.global_step)
        super()._save_optimizer_and_scheduler(output_dir)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or self.args.output_dir)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        self._best_before = (self.state.best_metric, self.state.best_global_step)
        return super()._determine_best_metric(metrics, trial)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """A checkpoint that is there whole or not at all; the newest, and the best, are kept.

        Where the disk refuses, training goes on, and `unsaved` says why; the best is then the best that was saved.
        """
        state, self.unsaved = self.state, ""
        try:
            self.store.save(
                state.global_step, partial(self._fill, model, trial), self.identity, keep=self.keep_checkpoints,
                best_step=state.best_global_step, best_before=self._best_before[1],
            )  # fmt: skip
        except OSError as fault:
            self.unsaved = fault.strerror or str(fault)
            if state.best_global_step == state.global_step:
                state.best_metric, state.best_global_step = self._best_before

    def _fill(self, model: nn.Module, trial: Any, content: Path) -> None:
        """transformers' files and ours, in a staged folder. Raises: OSError where the disk refuses."""
        self._staging = content.parent
        try:
            with disk_faults(content):
                # transformers looks for the best checkpoint beside the staged one and does not find it.
                super()._save_checkpoint(model, trial)
                save_trained(self.model, content, self.method)
        finally:
            self._staging = None
        (content / "training_args.bin").unlink(missing_ok=True)
        atomic_io.write_json(content / TOTALS, self.totals())
