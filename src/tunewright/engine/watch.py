"""What a run tells while it trains: callbacks to events, stop requests to a clean end."""

import resource
import signal
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any

import psutil
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunewright.engine.trainer import StepTrainer
from tunewright.errors import Problem, error
from tunewright.runs.events import EventLog

OVERFITTING_EVALUATIONS = 2


@dataclass
class StopFlag:
    """Set by a signal, read where stopping is safe: at step ends, between batches of tests and of preparation."""

    signal: int = 0

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._set)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.signal = number

    def check(self, step: int = 0, name: str = "last") -> None:
        """Raises: TrainingError E507 if a stop was asked for."""
        if self.signal:
            raise error("E507", step=step, name=name)


def rss_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def peak_rss_bytes() -> int:
    """The most this process ever held, as the kernel counts it."""
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


class Watch(TrainerCallback):
    """Writes log, eval and checkpoint events; asks for the last evaluation; turns a stop request into a checkpoint."""

    def __init__(self, events: EventLog, stop: StopFlag) -> None:
        self.events = events
        self.stop = stop
        self.trainer: StepTrainer | None = None
        self.evaluations: list[tuple[int, float]] = []
        self.train_losses: list[float] = []

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.first_step = state.global_step
        self.started = time.perf_counter()
        for entry in state.log_history:
            if "eval_loss" in entry:
                self.evaluations.append((entry["step"], entry["eval_loss"]))

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.step_started = time.perf_counter()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        assert self.trainer is not None
        if self.trainer.method == "adalora":
            # Needs the gradients of this step, which are gone at its end.
            adalora = self.trainer.model.base_model
            adalora.update_and_allocate(state.global_step + 1)
            pattern = self.trainer.model.active_peft_config.rank_pattern
            if pattern:
                # Between two allocations (deltaT) a step would bring back what was taken away, and saving would drop it.
                adalora.rankallocator.mask_using_rank_pattern(adalora.model, pattern)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        assert self.trainer is not None
        self.trainer.train_seconds += time.perf_counter() - self.step_started
        self.events.step = state.global_step
        is_last = state.global_step >= state.max_steps
        if is_last:
            control.should_evaluate = control.should_evaluate or args.eval_strategy != "no"
        if control.should_evaluate or is_last:
            control.should_save = True
        if self.stop.signal:
            control.should_save = control.should_training_stop = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        if "loss" not in logs:
            return
        assert self.trainer is not None
        tokens, seconds = self.trainer.num_tokens, self.trainer.train_seconds
        pace = (time.perf_counter() - self.started) / max(1, state.global_step - self.first_step)
        self.train_losses.append(logs["loss"])
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
            eta_seconds=pace * (state.max_steps - state.global_step),
            rss_bytes=rss_bytes(),
            max_steps=state.max_steps,
        )

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict[str, float], **_: Any
    ) -> None:
        loss = metrics["eval_loss"]
        is_best = all(loss < earlier for _, earlier in self.evaluations)
        self.evaluations.append((state.global_step, loss))
        self.events.write("eval", held_out_loss=loss, seconds=round(metrics["eval_seconds"], 3), is_best=is_best)
        self._warn_of_overfitting()

    def _warn_of_overfitting(self) -> None:
        best_step, _ = min(self.evaluations, key=lambda pair: pair[1])
        since = [step for step, _ in self.evaluations if step > best_step]
        recent, earlier = self.train_losses[-5:], self.train_losses[:-5][-5:]
        is_falling = bool(earlier) and sum(recent) / len(recent) < sum(earlier) / len(earlier)
        if len(since) == OVERFITTING_EVALUATIONS and is_falling:
            self.events.alert(Problem("D301", values={"count": len(since), "best": best_step}))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        assert self.trainer is not None
        path = self.trainer.store.folder / f"checkpoint-{state.global_step}"
        size = sum(file.stat().st_size for file in path.iterdir())
        self.events.write("checkpoint", path=str(path.relative_to(path.parent.parent)), bytes=size)


@dataclass
class Stopwatch:
    """Seconds of a phase, as events and as a number."""

    events: EventLog
    phase: str
    seconds: float = 0.0

    def __enter__(self) -> "Stopwatch":
        self.started = time.perf_counter()
        self.events.write("phase", phase=self.phase, state="begin")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self.seconds = time.perf_counter() - self.started
        if kind is None:
            self.events.write("phase", phase=self.phase, state="end", seconds=round(self.seconds, 3))
