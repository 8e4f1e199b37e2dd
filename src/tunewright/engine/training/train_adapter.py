"""A whole run on one page: load, configure, apply, train, save, with the same evaluation before and after."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from peft import PeftModel
from transformers import TrainerCallback, TrainerState, TrainingArguments

from tunewright.data.tokenized.tokenizer import TextTokenizer, load_tokenizer
from tunewright.engine.export.save_model import initial_weights_from_base, save_adapter
from tunewright.engine.export.verify_export import verify_saved_adapter
from tunewright.engine.models.activation_checkpointing import checkpoint_activations
from tunewright.engine.models.load_model import load_base
from tunewright.engine.models.peft_adapter import attach_adapter, initialize_from_data, planned_config, without_adapter
from tunewright.engine.models.shard_base import shard_base
from tunewright.engine.system.heap import release_memory
from tunewright.engine.system.oom import BatchSizeBackoff
from tunewright.engine.system.ranks import ALONE, Ranks, connect, join, meet
from tunewright.engine.training.base_scores import base_scores
from tunewright.engine.training.build_trainer import (
    build_trainer,
    checkpoint_to_resume,
    ended_state,
    initialization_batches,
    make_evaluator,
    make_step_collator,
    restore_training,
    training_arguments,
)
from tunewright.engine.training.callbacks import EventCallback, PhaseTimer
from tunewright.engine.training.dataset import TokenizedDataset, prepare
from tunewright.engine.training.evaluation_run import EvaluationRunner, EvaluationScore
from tunewright.engine.training.loss_backends import LossBackend, select_backend
from tunewright.engine.training.meters import TrainingMeters
from tunewright.engine.training.rank_agreement import agree_on_start, watching_others
from tunewright.engine.training.sent_checkpoints import sent_checkpoint
from tunewright.engine.training.step_parts import StepParts
from tunewright.engine.training.warmup import largest_micro_batch, run_warmup_step
from tunewright.errors import error
from tunewright.i18n import N_, Phrase
from tunewright.planning.resolve import steps_for
from tunewright.planning.run_plan import Plan
from tunewright.rundir import file_names
from tunewright.rundir.checkpoints import CheckpointStore
from tunewright.rundir.event_log import EventLog
from tunewright.rundir.records import BaselineRecord
from tunewright.rundir.run_dir import RunDir


@dataclass(frozen=True)
class TrainingResult:
    """The figures of a run."""

    before: EvaluationScore | None
    after: EvaluationScore | None
    steps: int
    best_step: int
    tokens: int
    train_seconds: float
    trainable_parameters: int
    baseline: BaselineRecord | None


def train(
    plan: Plan, runner: EvaluationRunner, callbacks: Sequence[TrainerCallback] = (), ranks: Ranks = ALONE
) -> TrainingResult:
    """Train and evaluate one adapter as planned. The plan has resolved everything; `callbacks` are the user's own.

    With others in `ranks` each process does this, and computes its part; the first writes the run's files.

    Raises: DataError; ModelError; TrainingError E501, E511, E512 (not finite), E502, E503 (resume), E507 (stopped,
    checkpoint saved), E509 (stopped, not saved), E510 (the disk refused), E513 (the saved adapter is not the trained one),
    E526 (processes that differ), E527 (the first machine is not reached); PeerLost.
    """
    run, events, stop = runner.run, runner.events, runner.stop
    ranks = replace(ranks, share_base=plan.run.launch.is_sharded)
    tokenizer = load_tokenizer(Path(plan.facts.model.tokenizer_folder), plan.run.model.chat_template, run.day())
    store = connect(ranks)
    with PhaseTimer(events, "prepare"):
        # A machine's rows are prepared once, however long that takes, before anybody waits with a time-out.
        if not ranks.is_first_here:
            meet(ranks, store)
        data = prepare(plan, run, tokenizer, runner.reporter("prepare"), writes_files=ranks.is_first)
        if ranks.is_first_here:
            meet(ranks, store)
    # Before there is a process group: transformers, which sees one process, would warn of it.
    args = training_arguments(plan, run.checkpoints_dir, has_tests=bool(data.held_out and plan.run.eval.loss_rows))
    join(ranks, store)
    stop.check(name=run.name)
    if num_dropped := data.summary.dropped:
        text = N_("{dropped} of {rows} rows are left out; they are in {file}")
        events.note(Phrase(text, dropped=num_dropped, rows=data.summary.rows, file=file_names.BAD_ROWS))

    ranks.beat("load")
    with PhaseTimer(events, "load"):
        launch = plan.run.launch
        base = load_base(plan, tokenizer, is_sharded=launch.is_sharded)  # 1. load
        frozen = list(base.parameters())
        config = planned_config(plan, steps_for(plan.run, len(data.train)))  # 2. configure
        model = attach_adapter(base, config, seed=plan.run.train.seed)  # 3. apply
        if plan.run.train.activation_checkpointing:
            checkpoint_activations(model)
        if launch.is_sharded:
            shard_base(model, frozen, ranks, launch.processes, launch.strategy)
        del frozen
        initialize_from_data(model, initialization_batches(plan, data, tokenizer))
        initial_weights = initial_weights_from_base(model)
        backend = select_backend(plan, model, data.train, tokenizer.pad_id, events)
        agree_on_start(ranks, plan, model, backend.paths, data)
        release_memory()
    stop.check(name=run.name)
    ranks.beat("rehearse")
    with PhaseTimer(events, "rehearse"):  # what does not fit into memory fails before time is spent
        collator = backend.adapt(make_step_collator(plan, tokenizer))
        run_warmup_step(model, backend.loss, largest_micro_batch(data.train, collator, plan.effective_batch))
        release_memory()
    backoff = BatchSizeBackoff(events.alert, run.info().test_halvings, ranks)
    evaluator = make_evaluator(plan, data, tokenizer, backend, backoff)
    # Where the initialization moved weights out of the base, base and fresh adapter together are the base model.
    cache = None if initial_weights else base_scores(plan, run, data.key, backend.paths, evaluator)
    with nullcontext(model) if initial_weights else without_adapter(model) as base_model:
        before = runner.score("before", evaluator, base_model, cache)
    release_memory()

    with PhaseTimer(events, "train"):  # 4. train
        state, meters = _fit(model, plan, data, tokenizer, backend, runner, callbacks, backoff, args)
    if stop.asked and state.global_step < state.max_steps:
        is_saved = (run.checkpoints_dir / f"checkpoint-{state.global_step}").is_dir()
        raise error("E507" if is_saved else "E509", step=state.global_step, name=run.name)
    release_memory()  # gradients and the optimizer's state
    best = state.best_global_step or state.global_step
    if best != state.global_step:
        restore_training(model, sent_checkpoint(ranks, run.checkpoints_dir / f"checkpoint-{best}"))
    ranks.beat("evaluate")

    model.eval()  # a prompt encoder with dropout is saved as it generates
    after = runner.score("after", evaluator, model)
    release_memory()
    ranks.beat("save")
    beside = evaluator if ranks.share_base else replace(evaluator, backoff=replace(backoff, ranks=ALONE))
    if ranks.is_first:
        with PhaseTimer(events, "save"), _disk_errors(run, state.global_step):
            save_adapter(model, plan, run, tokenizer, initial_weights, data.baseline)  # 5. save
            verify_saved_adapter(model, run, initial_weights, beside)
    elif ranks.share_base:
        verify_saved_adapter(model, run, initial_weights, beside, has_written=False)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return TrainingResult(
        before=before,
        after=after,
        steps=state.global_step,
        best_step=best,
        tokens=meters.num_tokens,
        train_seconds=meters.train_seconds,
        trainable_parameters=trained,
        baseline=data.baseline,
    )


def _fit(
    model: PeftModel,
    plan: Plan,
    data: TokenizedDataset,
    tokenizer: TextTokenizer,
    backend: LossBackend,
    runner: EvaluationRunner,
    callbacks: Sequence[TrainerCallback],
    backoff: BatchSizeBackoff,
    args: TrainingArguments,
) -> tuple[TrainerState, TrainingMeters]:
    """Train all steps that are left, from the last checkpoint if there is one, or until a stop is asked for.

    Raises: TrainingError E501, E511, E512 (not finite), E502, E503 (resume).
    """
    run, events, stop = runner.run, runner.events, runner.stop
    store = CheckpointStore(run.checkpoints_dir, run.info().id)
    checkpoint = _checkpoint(store, plan, model, events, backoff.ranks)
    meters = TrainingMeters.from_checkpoint(checkpoint)
    parts = StepParts(backoff.ranks, plan.run.launch.parts, plan.run.train.seed, stop)
    reports = [EventCallback(events, stop, store, meters), *watching_others(parts, events), *callbacks]
    trainer = build_trainer(model, plan, data, tokenizer, backend, store, reports, meters, backoff, parts, args)
    state = ended_state(checkpoint, plan.run.train.early_stopping_patience)
    if state is None:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        state = trainer.state
    return state, meters


def _checkpoint(store: CheckpointStore, plan: Plan, model: PeftModel, events: EventLog, ranks: Ranks) -> Path | None:
    """The checkpoint to go on from: the first process looks for it and moves broken ones away, the others read the same."""
    if ranks.is_first:
        checkpoint = checkpoint_to_resume(store, plan, model, events)
        ranks.of_first(checkpoint.name if checkpoint else "")
        return sent_checkpoint(ranks, checkpoint) if checkpoint else None
    if not (name := ranks.of_first("")):
        return None
    checkpoint = sent_checkpoint(ranks, store.folder / name)
    restore_training(model, checkpoint)
    return checkpoint


@contextmanager
def _disk_errors(run: RunDir, step: int) -> Iterator[None]:
    """Raises: TrainingError E510 where the disk refuses the adapter."""
    try:
        yield
    except OSError as fault:
        raise error(
            "E510",
            what=N_("the adapter"),
            reason=fault.strerror or str(fault),
            step=step,
            path=str(run.path),
            name=run.name,
        ) from fault
