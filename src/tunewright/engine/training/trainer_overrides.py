"""The fence around transformers' Trainer: every private part of it that Tunewright overrides, calls or reads.

A minor version of transformers may change any of them without notice. So they are here and nowhere else, each with its
reason and its place in transformers (read in 5.23.0, `src/transformers/trainer.py`);
`tests/contract/test_upstream_private.py` compares their signatures and source with the version that was read, and
pyproject.toml has an upper bound. Why a fence and not a step loop of our own: docs/decisions/0009-trainer-fence.md.
"""

import logging
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import EarlyStoppingCallback, Trainer

from tunewright.engine.models.adapter_state import save_trained
from tunewright.engine.models.finite import check_finite, moments, trained_tensors
from tunewright.engine.system.io_errors import disk_faults
from tunewright.engine.system.ranks import Ranks
from tunewright.engine.training.keyed_order import KeyedOrder
from tunewright.engine.training.meters import TrainingMeters
from tunewright.errors import error
from tunewright.i18n import N_
from tunewright.planning.run_plan import RowOrder
from tunewright.rundir.checkpoints import CheckpointStore

logger = logging.getLogger(__name__)


class TrainerOverrides(Trainer):
    """A Trainer with guards against non-finite values, strict resume, and checkpoints that are published whole.

    Its one child, `StepTrainer`, uses only public names of transformers.
    """

    def __init__(
        self,
        *,
        method: str,
        store: CheckpointStore,
        identity: Mapping[str, object],
        keep_checkpoints: int,
        meters: TrainingMeters,
        ranks: Ranks,
        row_order: RowOrder = "randperm",
        **trainer: Any,
    ) -> None:
        super().__init__(**trainer)
        self.method = method
        self.store = store
        self.identity = identity
        self.keep_checkpoints = keep_checkpoints
        self.meters = meters
        self.ranks = ranks
        self.row_order = row_order
        self._are_meters_restored = False
        self._staging: Path | None = None
        self._previous_best: tuple[float | None, int | None] = (None, None)

    def restore_meters(self) -> None:
        """Let the next logged line average over unlogged steps of the session before; does nothing after the first call.

        Fields: `_tr_loss`, `_globalstep_last_logged`. `Trainer._inner_training_loop` sets both again in each session, and
        `Trainer._maybe_log_save_evaluate` divides the one by the steps since the other. Without this the first line
        after a resume would differ from that of an unbroken run.
        """
        if self._are_meters_restored:
            return
        self._are_meters_restored = True
        self._tr_loss += self.meters.unlogged_loss
        self._globalstep_last_logged = self.meters.logged_step

    def to_device(self, inputs: dict[str, object]) -> dict[str, Any]:
        """The inputs on the device of the training, nested lists too.

        Called: `_prepare_inputs`, as `Trainer.training_step` does, whose place ours takes.
        """
        return self._prepare_inputs(inputs)

    def raise_non_finite(self, what: str, value: float, step: int) -> NoReturn:
        """Raises: TrainingError E501, with a lower learning rate to try.

        Called: `_get_learning_rate`; the scheduler's own rate would be wrong after a step that a loss scaler skipped.
        """
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

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Very many rows in an order that is computed place by place; all others, and orders that were asked for, as upstream.

        Reason: upstream draws a list of all rows, of forty bytes each in every process.
        Called by `Trainer._get_dataloader`.
        """
        rows = self.train_dataset if train_dataset is None else train_dataset
        if self.row_order == "keyed" and self.args.train_sampling_strategy == "random":
            return KeyedOrder(len(rows), self.args.data_seed)
        return super()._get_train_sampler(train_dataset)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Tensor | float | None = None) -> Any:
        """The norm of all gradients, checked before the optimizer sees them; a loss scaler finds its scale by overflow.

        Reason: no callback can refuse a step: `on_pre_optimizer_step` is given no norm.
        Called by `Trainer._run_epoch`, between clipping and the optimizer's step.
        """
        norm = super()._get_grad_norm(model, grad_norm)
        if self.accelerator.scaler is None and not math.isfinite(float(norm)):
            self.raise_non_finite(N_("a gradient"), float(norm), self.state.global_step + 1)
        return norm

    def _init_training_state(self, max_steps: int, *rest: Any) -> tuple[int, int]:
        """Where to continue; how often is logged and evaluated comes from the plan, not from the checkpoint.

        Reason: upstream warns and takes the checkpoint's intervals, but `--set train.eval_steps` of a resumed run counts.
        Called by `Trainer._inner_training_loop`, before anything is loaded.
        """
        position = super()._init_training_state(max_steps, *rest)
        self.state.compute_steps(self.args, max_steps)
        return position

    def _load_callback_state(self) -> None:
        """Counters come from the checkpoint, the patience from the plan.

        Reason: upstream restores the callbacks from the checkpoint, with the patience of the session before.
        Called by `Trainer._init_training_state`, when it resumes.
        """
        planned = [callback.early_stopping_patience for callback in self._early_stopping()]
        super()._load_callback_state()
        for callback, patience in zip(self._early_stopping(), planned, strict=True):
            callback.early_stopping_patience = patience

    def _early_stopping(self) -> list[EarlyStoppingCallback]:
        return [c for c in self.callback_handler.callbacks if isinstance(c, EarlyStoppingCallback)]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Nothing: the trained parameters were restored strictly before the Trainer was built.

        Reason: upstream loads an adapter without a warning about missing tensors, and not what AdaLoRA and prompt learning
        need beside it. Called by `Trainer.train`, and by `Trainer._prepare_for_training` for sharded models.
        """

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Moments and position come from the checkpoint; learning rate and weight decay from the plan, which may be newer.

        Reason: upstream restores the rates of the session before, so a changed plan would have no effect.
        Called by `Trainer._prepare_for_training`.
        """
        planned = (
            [(group.get("initial_lr", group["lr"]), group["weight_decay"]) for group in self.optimizer.param_groups]
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
        """Part of a checkpoint. Raises: TrainingError E511 if a trained parameter or a moment of the optimizer is not finite.

        Reason: the last moment at which a damaged state can be kept out of a checkpoint.
        Called by `Trainer._save_checkpoint`.
        """
        check_finite(trained_tensors(self.model), self.state.global_step)
        check_finite(moments(self.optimizer), self.state.global_step)
        super()._save_optimizer_and_scheduler(output_dir)

    def _get_output_dir(self, trial: Any) -> str:
        """The staged folder while a checkpoint is being written, so that what upstream writes can be published whole.

        Called by `Trainer._save_checkpoint` and `Trainer._finalize_training`.
        """
        return str(self._staging or self.args.output_dir)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Remembers the best step before this evaluation, to go back to it if the new best cannot be saved.

        Called by `Trainer._maybe_log_save_evaluate`, between evaluation and checkpoint.
        """
        self._previous_best = (self.state.best_metric, self.state.best_global_step)
        return super()._determine_best_metric(metrics, trial)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """A checkpoint that is there whole or not at all; the newest, and the best, are kept.

        Where the disk refuses, training continues, and `meters.save_fault` says why; the best is then the best that was
        saved. Reason: upstream writes in place and stops at a full disk. Of several processes the first writes it.
        Called by `Trainer._maybe_log_save_evaluate`.
        """
        state = self.state
        self.meters.save_fault = self.ranks.of_first(self._saved(model, trial) if self.ranks.is_first else "")
        if self.meters.save_fault and state.best_global_step == state.global_step:
            state.best_metric, state.best_global_step = self._previous_best

    def _saved(self, model: nn.Module, trial: Any) -> str:
        """Why the disk refused the checkpoint; nothing if it was saved."""
        state = self.state
        try:
            self.store.save(
                state.global_step,
                partial(self._fill, model, trial),
                self.identity,
                keep=self.keep_checkpoints,
                best_step=state.best_global_step,
                best_before=self._previous_best[1],
            )
            logger.info("saved checkpoint-%d; the best step is %s", state.global_step, state.best_global_step)
        except OSError as fault:
            logger.warning("checkpoint-%d was not saved: %s", state.global_step, fault)
            return fault.strerror or str(fault)
        return ""

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
        self.meters.save(content, unlogged_loss=float(self._tr_loss), logged_step=self._globalstep_last_logged)
