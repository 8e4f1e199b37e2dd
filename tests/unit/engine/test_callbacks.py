"""Callbacks: which events a step writes, when a checkpoint is due, and how a training is stopped."""

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from tunewright.engine.training.callbacks import AdaLoraCallback, EventCallback, PhaseTimer, StopFlag, Throughput
from tunewright.engine.training.meters import TrainingMeters
from tunewright.errors import TrainingError
from tunewright.rundir.checkpoints import CheckpointStore
from tunewright.rundir.event_log import EventLog, read_events

LINE = {"loss": 2.0, "learning_rate": 1e-3, "grad_norm": 0.5, "epoch": 0.1}


class Training:
    """A callback and what transformers hands to it."""

    def __init__(self, folder: Path, events: EventLog, *, eval_strategy: str = "steps") -> None:
        self.args = TrainingArguments(
            output_dir=str(folder), eval_strategy=eval_strategy, eval_steps=2, use_cpu=True, report_to="none"
        )
        self.state = TrainerState(max_steps=10)
        self.control = TrainerControl()
        self.events = events
        self.stop = StopFlag()
        self.meters = TrainingMeters(num_tokens=40, train_seconds=2.0)
        self.store = CheckpointStore(folder / "checkpoints", "run")
        self.callback = EventCallback(events, self.stop, self.store, self.meters)
        self.call("on_train_begin")

    def call(self, name: str, **arguments: Any) -> TrainerControl:
        getattr(self.callback, name)(self.args, self.state, self.control, **arguments)
        return self.control

    def step(self, number: int) -> TrainerControl:
        self.control = TrainerControl()
        self.call("on_step_begin")
        self.state.global_step = number
        return self.call("on_step_end")

    def written(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in read_events(self.events.path) if event.kind == kind]


@pytest.fixture
def training(tmp_path: Path, events: EventLog) -> Training:
    return Training(tmp_path, events)


def test_a_step_in_between_asks_for_nothing_and_counts_its_time(training: Training) -> None:
    control = training.step(3)
    assert not (control.should_save or control.should_evaluate or control.should_training_stop)
    assert training.meters.train_seconds > 2.0
    assert training.events.step == 3


def test_the_last_step_is_evaluated_and_saved(training: Training, tmp_path: Path, events: EventLog) -> None:
    control = training.step(10)
    assert control.should_save
    assert control.should_evaluate
    control = Training(tmp_path, events, eval_strategy="no").step(10)
    assert control.should_save
    assert not control.should_evaluate, "nothing is held out"


def test_an_evaluation_is_followed_by_a_checkpoint(training: Training) -> None:
    training.step(2)
    training.control.should_evaluate = True
    assert training.call("on_step_end").should_save


def test_a_stop_request_ends_with_a_checkpoint(training: Training) -> None:
    training.stop.signal = 15
    control = training.step(4)
    assert control.should_save
    assert control.should_training_stop
    with pytest.raises(TrainingError) as stopped:
        training.stop.check(4, "mine")
    assert [problem.code for problem in stopped.value.problems] == ["E507"]


def test_a_logged_line_is_an_event_with_rates(training: Training) -> None:
    training.step(5)
    training.call("on_log", logs=LINE)
    training.call("on_log", logs={"eval_loss": 1.0})
    (event,) = training.written("log")
    assert (event.loss, event.tokens, event.max_steps) == (2.0, 40, 10)
    assert event.tokens_per_second == pytest.approx(40 / training.meters.train_seconds)
    assert event.eta_seconds >= 0


def test_an_evaluation_is_an_event_that_says_whether_it_is_the_best(training: Training) -> None:
    for step, loss in ((2, 1.0), (4, 1.2), (6, 0.9)):
        training.state.global_step = step
        training.call("on_evaluate", metrics={"eval_loss": loss, "eval_seconds": 0.1})
    assert [event.is_best for event in training.written("eval")] == [True, False, True]


def overfit(training: Training) -> None:
    for step in range(1, 9):
        training.state.global_step = step
        training.call("on_log", logs={**LINE, "loss": 2.0 - 0.2 * step})
        training.call("on_evaluate", metrics={"eval_loss": 1.0 + 0.2 * abs(step - 2), "eval_seconds": 0.1})


def test_overfitting_is_an_alert_once_in_a_run(training: Training, tmp_path: Path, events: EventLog) -> None:
    overfit(training)
    assert [event.problem.code for event in training.written("alert")] == ["D301"]
    overfit(Training(tmp_path, events))
    assert len(training.written("alert")) == 1, "a resumed run has alerted already"


def test_the_curve_of_the_session_before_is_remembered(training: Training) -> None:
    training.state.log_history = [{"step": 1, "loss": 2.0}, {"step": 2, "eval_loss": 0.5}]
    training.call("on_train_begin")
    training.state.global_step = 4
    training.call("on_evaluate", metrics={"eval_loss": 0.6, "eval_seconds": 0.1})
    assert not training.written("eval")[0].is_best


def test_a_checkpoint_is_an_event_with_its_size(training: Training) -> None:
    folder = training.store.folder / "checkpoint-4"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"12345")
    training.state.global_step = 4
    training.call("on_save")
    (event,) = training.written("checkpoint")
    assert (event.path, event.bytes) == ("checkpoints/checkpoint-4", 5)


def test_three_refused_checkpoints_in_a_row_end_the_run(training: Training) -> None:
    training.meters.save_fault = "No space left on device"
    training.call("on_save")
    training.call("on_save")
    assert [event.problem.code for event in training.written("alert")] == ["W502", "W502"]
    with pytest.raises(TrainingError) as refused:
        training.call("on_save")
    assert [problem.code for problem in refused.value.problems] == ["E510"]


def test_a_saved_checkpoint_begins_the_count_of_refused_ones_anew(training: Training) -> None:
    (training.store.folder / "checkpoint-0").mkdir(parents=True)
    for fault in ("full", "full", "", "full", "full"):
        training.meters.save_fault = fault
        training.call("on_save")
    assert len(training.written("alert")) == 4


def test_throughput_is_shares_of_positions_and_of_time() -> None:
    throughput = Throughput(num_tokens=100)
    throughput.row_seconds = 0.0
    shares = throughput.shares(num_tokens=190, num_padding=10)
    assert shares["padding_share"] == 0.1
    assert shares["row_wait_share"] == 0.0
    assert 0.0 <= shares["core_wait_share"] <= 1.0


def test_adalora_moves_its_ranks_in_each_step_and_masks_them_in_between() -> None:
    calls: list[object] = []

    class Allocator:
        def mask_using_rank_pattern(self, model: object, pattern: object) -> None:
            calls.append(("mask", pattern))

    class Model:
        model = "inner"
        rankallocator = Allocator()
        active_peft_config = type("Config", (), {"rank_pattern": None})()

        @property
        def base_model(self) -> "Model":
            return self

        def update_and_allocate(self, step: int) -> None:
            calls.append(("allocate", step))

    model, state = Model(), TrainerState(global_step=4)
    AdaLoraCallback().on_optimizer_step(None, state, TrainerControl(), model=model)  # type: ignore[arg-type]
    assert calls == [("allocate", 5)]
    model.active_peft_config.rank_pattern = {"q_proj": [True, False]}
    AdaLoraCallback().on_optimizer_step(None, state, TrainerControl(), model=model)  # type: ignore[arg-type]
    assert calls[1:] == [("allocate", 5), ("mask", {"q_proj": [True, False]})]


def test_a_phase_that_fails_has_no_end(events: EventLog) -> None:
    with PhaseTimer(events, "load") as timer:
        pass
    with pytest.raises(ValueError, match="no"), PhaseTimer(events, "train"):
        raise ValueError("no")
    phases = [(event.phase, event.state) for event in read_events(events.path)]
    assert phases == [("load", "begin"), ("load", "end"), ("train", "begin")]
    assert timer.seconds >= 0
