"""The parts of a training, made from a plan: loss, Trainer, transformers' arguments, and the checkpoint to resume from."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerState, TrainingArguments

from tunewright.config.section import AUTO
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.engine.evaluation.evaluator import READ_TOKENS, Evaluator, held_out_loss, spread
from tunewright.engine.models.adapter_state import restore_trained
from tunewright.engine.models.load_model import restore_adapter
from tunewright.engine.system.device import device, is_on_cpu, pins_memory
from tunewright.engine.system.oom import BatchSizeBackoff
from tunewright.engine.tasks.collator import StepCollator
from tunewright.engine.tasks.task_registry import make_collator
from tunewright.engine.training.callbacks import AdaLoraCallback
from tunewright.engine.training.dataset import TokenizedDataset
from tunewright.engine.training.loss_backends import LossBackend
from tunewright.engine.training.meters import TrainingMeters
from tunewright.engine.training.optimizers import OWN_OPTIMIZERS, make_optimizer
from tunewright.engine.training.step_parts import StepParts
from tunewright.engine.training.trainer import StepTrainer
from tunewright.errors import Problem, TrainingError, error
from tunewright.i18n import N_, Phrase
from tunewright.inspection.model_info import Contents
from tunewright.planning.memory_fallback import remedies
from tunewright.planning.run_plan import Plan
from tunewright.rundir.base_fingerprint import as_problems, changes
from tunewright.rundir.checkpoints import CheckpointStore, read_manifest
from tunewright.rundir.event_log import EventLog

logger = logging.getLogger(__name__)

INITIALIZATION_ROWS = 64
CONTENTS = tuple(f"model {part}" for part in Contents.model_fields)
LOADER_WORKER_SETTINGS = ("dataloader_prefetch_factor", "dataloader_persistent_workers")


def make_step_collator(plan: Plan, tokenizer: TextTokenizer) -> StepCollator:
    """The collator that cuts the rows of a step into micro-batches of the planned size."""
    rows, length = plan.run.train.per_device_train_batch_size, plan.run.data.max_length
    targets = 2 if plan.run.task == "seq2seq" else 1
    return make_collator(plan, tokenizer, rows * length * targets)


def make_evaluator(
    plan: Plan, data: TokenizedDataset, tokenizer: TextTokenizer, backend: LossBackend, backoff: BatchSizeBackoff
) -> Evaluator:
    """The evaluator of a plan: the same before and after training."""
    rows, longest = plan.run.eval.rows, plan.run.eval.max_new_tokens
    max_tokens = READ_TOKENS
    if plan.run.task == "causal_lm" and not backend.paths:
        # The logits of all tokens are computed, so no more are read at once than in a training step.
        max_tokens = min(max_tokens, make_step_collator(plan, tokenizer).max_tokens)
    return Evaluator(
        task=plan.run.task, rows=data.held_out, examples=data.held_out_examples, tokenizer=tokenizer,
        collator=backend.adapt(make_collator(plan, tokenizer, max_tokens)), loss=backend.loss, labels=plan.facts.data.labels,
        problem_type=plan.facts.data.problem_type, num_answers=rows, max_new_tokens=longest,
        merge="merged_lora" in plan.fast_paths, backoff=backoff,
    )  # fmt: skip


def initialization_batches(
    plan: Plan, data: TokenizedDataset, tokenizer: TextTokenizer
) -> Iterator[dict[str, torch.Tensor]]:
    """The first rows as micro-batches on the run's device, for initializations that are computed from data."""
    rows = data.train[:INITIALIZATION_ROWS]
    collator = make_step_collator(plan, tokenizer)
    for group in collator.groups(rows):
        yield {k: v.to(device()) for k, v in collator.collate([rows[i] for i in group], collator.pad_id).items()}


def identity(plan: Plan) -> dict[str, object]:
    """What must be the same for a checkpoint to be resumed, except for what a memory fallback changed."""
    run = plan.run
    data = run.data.model_dump(mode="json")
    if data["sample_by"] == AUTO:  # checkpoints of earlier versions, which knew no other way, do not name it
        del data["sample_by"]
    return {
        "model": plan.facts.model.digest,
        **dict(zip(CONTENTS, plan.facts.model.contents.model_dump().values(), strict=True)),
        "data": plan.facts.data.fingerprint,
        "task": run.task,
        "method": run.method,
        "labels": list(plan.facts.data.labels),
        "model.quantization": run.model.quantization,
        "train.optim": run.train.optim,
        "peft": run.peft.model_dump(mode="json"),
        "data settings": data,
        "model.chat_template": run.model.chat_template,
        "effective_batch": plan.effective_batch,
        "train.seed": run.train.seed,
        "train.data_seed": run.train.data_seed,
        "model.precision": run.model.precision,
    }


def checkpoint_to_resume(store: CheckpointStore, plan: Plan, model: PeftModel, events: EventLog) -> Path | None:
    """The newest valid checkpoint of this run, checked against its plan and loaded strictly; None for a first start."""
    has_checkpoints = any(store.folder.glob("checkpoint-*")) or any(store.folder.glob(".corrupt-*"))
    checkpoint, faults = store.newest_valid()
    for fault in faults:
        events.note(fault)
    if checkpoint is None:
        if has_checkpoints:
            raise error(
                "E503",
                path=str(store.folder),
                reason="; ".join(faults) or N_("none is sealed"),
                config=str(store.folder.parent / "config.yaml"),
            )
        return None
    manifest = read_manifest(checkpoint)
    assert manifest is not None
    # Checkpoints of earlier versions do not say what their base is made of.
    then, now, changed = manifest.identity, identity(plan), remedies(plan)
    problems = [
        Problem("E502", values={"key": key, "old": then.get(key), "new": value})
        for key, value in now.items()
        if then.get(key, "" if key in CONTENTS else None) != value and key not in changed
    ]
    problems += as_problems("E502", changes(plan))
    if problems:
        raise TrainingError(problems)
    restore_training(model, checkpoint)
    logger.info("resuming from %s", checkpoint)
    events.note(Phrase(N_("continuing from {checkpoint}"), checkpoint=checkpoint.name))
    return checkpoint


def restore_training(model: PeftModel, checkpoint: Path) -> None:
    """Restore a checkpoint's trained parameters, strictly. Raises: ModelError E310."""
    if not restore_trained(model, checkpoint):
        restore_adapter(model, checkpoint)


def ended_state(checkpoint: Path | None, patience: int) -> TrainerState | None:
    """The state of a training that had ended when its run was stopped; None if steps are left."""
    if checkpoint is None:
        return None
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    stopping = state.stateful_callbacks.get("EarlyStoppingCallback")
    evaluations_without_gain = (
        stopping["attributes"]["early_stopping_patience_counter"] if isinstance(stopping, dict) else 0
    )
    is_out_of_patience = 0 < patience <= evaluations_without_gain
    return state if state.global_step >= state.max_steps or is_out_of_patience else None


def build_trainer(
    model: PeftModel, plan: Plan, data: TokenizedDataset, tokenizer: TextTokenizer, backend: LossBackend,
    store: CheckpointStore, callbacks: Sequence[TrainerCallback], meters: TrainingMeters, backoff: BatchSizeBackoff,
    parts: StepParts, args: TrainingArguments,
) -> StepTrainer:  # fmt: skip
    """The Trainer of a plan: one loader item holds the rows of one optimizer step."""
    config = plan.run.train
    collator = backend.adapt(make_step_collator(plan, tokenizer))
    collator = replace(collator, parts=parts.count, own=parts.own, parts_of_each=parts.of_each)
    held_out = spread(data.held_out, plan.run.eval.loss_rows)
    patience = (
        [EarlyStoppingCallback(config.early_stopping_patience)] if held_out and config.early_stopping_patience else []
    )
    adalora = [AdaLoraCallback()] if plan.run.method == "adalora" else []
    return StepTrainer(
        loss=backend.loss,
        parts=parts,
        held_out_loss=lambda m: held_out_loss(m, held_out, backend.loss, collator, backoff=backoff),
        method=plan.run.method,
        store=store,
        identity=identity(plan),
        keep_checkpoints=config.save_total_limit,
        meters=meters,
        row_order=plan.row_order,
        model=model,
        args=args,
        train_dataset=data.train,
        eval_dataset=held_out or None,
        data_collator=collator,
        callbacks=[*adalora, *callbacks, *patience],
        optimizers=(make_optimizer(model, plan), None),
    )


class PlacedArguments(TrainingArguments):
    """For a model that stays where it is: all of it went to its device when it was loaded, or shares of it did."""

    @property
    def place_model_on_device(self) -> bool:
        return False


def training_arguments(plan: Plan, folder: Path, *, has_tests: bool) -> TrainingArguments:
    """The plan as TrainingArguments. The batch size is that of a whole step: micro-batches are cut in the step."""
    config = plan.run.train
    ours: dict[str, object] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": plan.effective_batch,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": config.num_train_epochs,
        "max_steps": config.max_steps,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.lr_scheduler_type,
        "warmup_steps": config.warmup_steps,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": "adamw_torch" if config.optim in OWN_OPTIMIZERS else config.optim,
        "seed": config.seed,
        "data_seed": config.data_seed,
        "logging_steps": config.logging_steps,
        "logging_first_step": True,
        "eval_strategy": "steps" if has_tests else "no",
        "save_strategy": "steps",
        "eval_steps": config.eval_steps,
        "save_steps": config.eval_steps,
        "metric_for_best_model": "eval_loss" if has_tests else None,
        "greater_is_better": False if has_tests else None,
        "restore_callback_states_from_checkpoint": True,
        "report_to": config.report_to,
        "use_cpu": is_on_cpu(),
        "fp16": plan.run.model.precision == "fp16",
        "remove_unused_columns": False,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": pins_memory(),
        "disable_tqdm": True,
    }
    return PlacedArguments(**(ours | _without_loader_workers(config.extra)))


def _without_loader_workers(extra: Mapping[str, Any]) -> dict[str, object]:
    """Upstream's settings, without those of loader processes where there are none: torch refuses them."""
    has_workers = extra.get("dataloader_num_workers", 0) > 0
    return {name: value for name, value in extra.items() if has_workers or name not in LOADER_WORKER_SETTINGS}
