"""What a run reports while it trains: callbacks write events, stop requests lead to a clean end."""

import logging
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from peft import PeftModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunewright.engine.training.meters import TrainingMeters
from tunewright.errors import Problem, error
from tunewright.i18n import N_
from tunewright.metrics.curve_statistics import overfitting
from tunewright.rundir.checkpoints import CheckpointStore
from tunewright.rundir.event_log import EventLog, read_events
from tunewright.rundir.events import AlertEvent
from tunewright.rundir.run_dir import RunDir

logger = logging.getLogger(__name__)

MOST_UNSAVED = 3
REQUEST_SECONDS = 0.25


@dataclass
class StopFlag:
    """Set by a signal or a request in the run's folder, read where stopping is safe: after steps, between batches of an
    evaluation and of tokenization.
    """

    signal: int = 0
    is_shared: bool = False
    """Whether several processes compute the run: they stop after the same step, the one that all have heard of."""
    is_agreed: bool = False
    is_over: threading.Event = field(default_factory=threading.Event)

    @property
    def asked(self) -> int:
        """The signal to stop after this step; 0 to go on."""
        return self.signal if self.is_agreed or not self.is_shared else 0

    def agree(self) -> None:
        """One of the processes was asked to stop, and all know it."""
        self.signal = self.signal or signal.SIGTERM
        self.is_agreed = True

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._set)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def listen(self, run: RunDir, *, at_once: Callable[[], None]) -> None:
        """Watch for requests in the run's folder until `is_over` is set; `at_once` ends the work without another step.

        Also where there is a parent: it may be killed.
        """
        threading.Thread(target=self._listen, args=(run, at_once), daemon=True).start()

    def _listen(self, run: RunDir, at_once: Callable[[], None]) -> None:
        while not self.is_over.wait(REQUEST_SECONDS):
            if run.is_asked_to_stop(now=True):
                at_once()
                return
            if run.is_asked_to_stop() and not self.signal:
                self.signal = signal.SIGTERM
                if not self._has_parent(run):
                    with suppress(OSError):  # a full disk
                        run.update_info(state="stopping")

    def _has_parent(self, run: RunDir) -> bool:
        """Whether the run's parent is alive; it then writes run.json."""
        parent = run.info().parent
        return parent is not None and parent.pid == os.getppid()

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.signal = number

    def check(self, step: int = 0, name: str = "last") -> None:
        """Raises: TrainingError E507 if a stop was asked for."""
        if self.signal:
            raise error("E507", step=step, name=name)


def rss_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def peak_rss_bytes() -> int:
    """The peak memory of this process, as the kernel counts it."""
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


def core_seconds() -> tuple[float, float]:
    """Seconds that the threads of this process computed, and that they waited for a core; zeros where the kernel has no counts."""
    computed = waited = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # a thread that has ended
            ran, waiting, _times = map(int, path.read_text().split())
            computed += ran
            waited += waiting
    return computed / 1e9, waited / 1e9


@dataclass
class Throughput:
    """What slowed the steps of this session, as shares: padding, waiting for rows, waiting for a core."""

    num_tokens: int

    def __post_init__(self) -> None:
        self.started = self.idle_since = time.perf_counter()
        self.row_seconds = 0.0
        self.computed, self.waited = core_seconds()

    def shares(self, num_tokens: int, num_padding: int) -> dict[str, float]:
        """Shares of positions and of time so far, each from 0 to 1."""
        positions = num_tokens - self.num_tokens + num_padding
        computed, waited = core_seconds()
        computed -= self.computed
        waited = max(0.0, waited - self.waited)
        return {
            "padding_share": round(num_padding / max(1, positions), 4),
            "row_wait_share": round(self.row_seconds / (time.perf_counter() - self.started), 4),
            "core_wait_share": round(waited / (computed + waited), 4) if computed > 0 else 0.0,
        }


class EventCallback(TrainerCallback):
    """Writes log, eval and checkpoint events; requests the last evaluation; turns a stop request into a checkpoint."""

    def __init__(self, events: EventLog, stop: StopFlag, store: CheckpointStore, meters: TrainingMeters) -> None:
        self.events = events
        self.stop = stop
        self.store = store
        self.meters = meters
        self.evaluations: list[tuple[int, float]] = []
        self.train_losses: list[tuple[int, float]] = []
        self.has_warned = False
        self.num_unsaved = 0  # checkpoints in a row that the disk refused

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.first_step = state.global_step
        self.throughput = Throughput(self.meters.num_tokens)
        for entry in state.log_history:
            if "eval_loss" in entry:
                self.evaluations.append((entry["step"], entry["eval_loss"]))
            elif "loss" in entry:
                self.train_losses.append((entry["step"], entry["loss"]))
        alerts = (event.problem.code for event in read_events(self.events.path) if isinstance(event, AlertEvent))
        self.has_warned = "D301" in alerts

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.step_started = time.perf_counter()
        self.throughput.row_seconds += self.step_started - self.throughput.idle_since

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.throughput.idle_since = time.perf_counter()
        self.meters.train_seconds += self.throughput.idle_since - self.step_started
        self.events.step = state.global_step
        is_last = state.global_step >= state.max_steps
        if is_last:
            control.should_evaluate = control.should_evaluate or args.eval_strategy != "no"
        if control.should_evaluate or is_last:
            control.should_save = True
        if self.stop.asked:
            control.should_save = control.should_training_stop = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        if "loss" not in logs:
            return
        tokens = self.meters.num_tokens
        seconds = self.meters.train_seconds
        seconds_a_step = (time.perf_counter() - self.throughput.started) / max(1, state.global_step - self.first_step)
        self.train_losses.append((state.global_step, logs["loss"]))
        self.events.step = state.global_step
        self.events.write(
            "log",
            loss=logs["loss"],
            learning_rate=logs["learning_rate"],
            grad_norm=logs.get("grad_norm"),
            epoch=logs.get("epoch"),
            tokens=tokens,
            train_seconds=round(seconds, 3),
            tokens_per_second=tokens / seconds if seconds else None,
            eta_seconds=seconds_a_step * (state.max_steps - state.global_step),
            rss_bytes=rss_bytes(),
            max_steps=state.max_steps,
            **self.throughput.shares(tokens, self.meters.num_padding),
        )
        self.throughput.idle_since = time.perf_counter()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict[str, float], **_: Any
    ) -> None:
        loss = metrics["eval_loss"]
        is_best = all(loss < earlier for _, earlier in self.evaluations)
        self.evaluations.append((state.global_step, loss))
        self.events.write("eval", held_out_loss=loss, seconds=round(metrics["eval_seconds"], 3), is_best=is_best)
        self._warn_of_overfitting()
        self.throughput.idle_since = time.perf_counter()

    def _warn_of_overfitting(self) -> None:
        """Alert D301, once in a run."""
        overfit = None if self.has_warned else overfitting(self.evaluations, self.train_losses)
        if overfit:
            count, best = overfit
            self.events.alert(Problem("D301", values={"count": count, "best": best}))
            self.has_warned = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.throughput.idle_since = time.perf_counter()
        if self.meters.save_fault:
            self._alert_unsaved(self.meters.save_fault, state.global_step)
            return
        self.num_unsaved = 0
        path = self.store.folder / f"checkpoint-{state.global_step}"
        if not path.is_dir():
            return  # it lies on the machine of the first process
        size = sum(file.stat().st_size for file in path.iterdir())
        self.events.write("checkpoint", path=str(path.relative_to(path.parent.parent)), bytes=size)

    def _alert_unsaved(self, reason: str, step: int) -> None:
        """Training continues without a checkpoint. Raises: TrainingError E510 after MOST_UNSAVED of them."""
        self.num_unsaved += 1
        folder = self.store.folder
        self.events.alert(Problem("W502", values={"step": step, "reason": reason, "path": str(folder)}))
        if self.num_unsaved == MOST_UNSAVED:
            raise error(
                "E510",
                what=N_("three checkpoints in a row"),
                reason=reason,
                step=step,
                path=str(folder),
                name=folder.parent.name,
            )


class AdaLoraCallback(TrainerCallback):
    """Moves AdaLoRA's ranks to the layers that need them, in each step."""

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, model: PeftModel, **_: Any
    ) -> None:
        # Needs the gradients of this step, which are gone at its end.
        adalora = model.base_model
        adalora.update_and_allocate(state.global_step + 1)
        pattern = model.active_peft_config.rank_pattern
        if pattern:
            # Between two allocations (deltaT) a step would bring back what was pruned, and saving would drop it.
            adalora.rankallocator.mask_using_rank_pattern(adalora.model, pattern)


@dataclass
class PhaseTimer:
    """The duration of a phase in seconds, as events and as a value."""

    events: EventLog
    phase: str
    seconds: float = 0.0

    def __enter__(self) -> "PhaseTimer":
        self.started = time.perf_counter()
        self.events.write("phase", phase=self.phase, state="begin")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self.seconds = time.perf_counter() - self.started
        if kind is None:
            logger.info("phase %s took %.1f s", self.phase, self.seconds)
            self.events.write("phase", phase=self.phase, state="end", seconds=round(self.seconds, 3))
