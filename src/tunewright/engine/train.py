"""The page that every run is: load, configure, apply, train, save, with the same test before and after."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tunewright.data.tokenizer import load_tokenizer
from tunewright.engine.adapt import attach_adapter, planned_config, start_from_data, without_adapter
from tunewright.engine.build import (
    build_trainer,
    checkpoint_to_resume,
    earlier_sessions,
    ended_state,
    examiner,
    first_batches,
    restore_training,
    step_collator,
)
from tunewright.engine.checkpointing import checkpoint_activations
from tunewright.engine.export import save_adapter, taken_from_base
from tunewright.engine.load import load_base
from tunewright.engine.memory import Portions, give_back
from tunewright.engine.prepare import prepare
from tunewright.engine.readback import check_readback
from tunewright.engine.rehearse import largest_micro_batch, rehearse
from tunewright.engine.score import Score, Scorer
from tunewright.engine.watch import Stopwatch, Watch
from tunewright.engine.ways import choose_way
from tunewright.errors import error
from tunewright.i18n import N_
from tunewright.planning.choose import steps_for
from tunewright.planning.plan import Plan
from tunewright.rundir import layout
from tunewright.rundir.checkpoints import CheckpointStore
from tunewright.rundir.store import RunDir


@dataclass(frozen=True)
class Outcome:
    """The numbers of a run."""

    before: Score | None
    after: Score | None
    steps: int
    best_step: int
    tokens: int
    train_seconds: float
    trainable_parameters: int
    baseline: dict[str, Any] | None


def train(plan: Plan, scorer: Scorer, callbacks: Sequence[TrainerCallback] = ()) -> Outcome:
    """Train and test one adapter as planned. Everything undecided was decided in `plan`; `callbacks` are a person's own.

    Raises: DataError; ModelError; TrainingError E501, E511, E512 (not finite), E502, E503 (resume), E507 (stopped,
    checkpoint saved), E509 (stopped, not saved), E510 (the disk refused), E513 (the saved adapter is not the trained one).
    """
    run, events, stop = scorer.run, scorer.events, scorer.stop
    tokenizer = load_tokenizer(Path(plan.facts.model.tokenizer_folder), plan.run.model.chat_template, run.day())
    with Stopwatch(events, "prepare"):
        data = prepare(plan, run, tokenizer, scorer.progress("prepare"), lambda text: events.write("note", text=text))
    stop.check(name=run.name)
    if dropped := data.account["dropped"]:
        events.write(
            "note", text=f"{dropped} of {data.account['rows']} rows are left out; they stand in {layout.BAD_ROWS}"
        )

    with Stopwatch(events, "load"):
        base = load_base(plan, tokenizer)  # 1. load
        config = planned_config(plan, steps_for(plan.run, len(data.train)))  # 2. configure
        model = attach_adapter(base, config, seed=plan.run.train.seed)  # 3. apply
        if plan.run.train.activation_checkpointing:
            checkpoint_activations(model)
        start_from_data(model, first_batches(plan, data, tokenizer))
        taken = taken_from_base(model)
        way = choose_way(plan, model, data.train, tokenizer.pad_id, events)
        give_back()
    stop.check(name=run.name)
    with Stopwatch(events, "rehearse"):  # what does not fit into memory shows before time is spent
        cut = way.of(step_collator(plan, tokenizer))
        rehearse(model, way.loss, largest_micro_batch(data.train, cut, plan.effective_batch))
        give_back()
    portions = Portions(events.alert, int(run.info().get("test_halvings", 0)))
    test = examiner(plan, data, tokenizer, way, portions)
    # Where start values were taken out of the base, base and fresh adapter together are what was loaded.
    with nullcontext(model) if taken else without_adapter(model) as untouched:
        before = scorer.score("before", test, untouched)
    give_back()

    with Stopwatch(events, "train"):  # 4. train
        store = CheckpointStore(run.checkpoints_dir, run.info()["id"])
        checkpoint = checkpoint_to_resume(store, plan, model, events)
        watch = Watch(events, stop)
        trainer = build_trainer(
            model, plan, data, tokenizer, way, store, [watch, *callbacks], earlier_sessions(checkpoint), portions
        )
        watch.trainer = trainer
        state = ended_state(checkpoint, plan.run.train.early_stopping_patience)
        if state is None:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            state = trainer.state
    if stop.signal and state.global_step < state.max_steps:
        is_saved = (store.folder / f"checkpoint-{state.global_step}").is_dir()
        raise error("E507" if is_saved else "E509", step=state.global_step, name=run.name)
    tokens, seconds = trainer.num_tokens, trainer.train_seconds
    watch.trainer = None
    del trainer  # gradients and the optimizer's state
    give_back()
    best = state.best_global_step or state.global_step
    if best != state.global_step:
        restore_training(model, store.folder / f"checkpoint-{best}")

    model.eval()  # a prompt encoder with dropout is to be written as it answers
    after = scorer.score("after", test, model)
    give_back()
    with Stopwatch(events, "save"), _told_of_disk(run, state.global_step):
        save_adapter(model, plan, run, tokenizer, taken, data.baseline)  # 5. save
        check_readback(model, run, taken, test)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Outcome(before, after, state.global_step, best, tokens, seconds, trained, data.baseline)


@contextmanager
def _told_of_disk(run: RunDir, step: int) -> Iterator[None]:
    """Raises: TrainingError E510 where the disk refuses the adapter."""
    try:
        yield
    except OSError as fault:
        told: dict[str, Any] = {"what": N_("the adapter"), "reason": fault.strerror or str(fault), "step": step}
        raise error("E510", **told, path=str(run.path), name=run.name) from fault
