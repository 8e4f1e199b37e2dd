"""The state of a running run, as its events tell it: for whoever shows it, in a terminal or on a page."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tunewright.config.tasks import Task
from tunewright.rundir.events import (
    CheckpointEvent,
    EvalEvent,
    Event,
    LogEvent,
    PhaseBeginEvent,
    ProgressEvent,
    with_logs_together,
)

MUCH_WAITING = 0.2  # of the time, for a core that another program has


@dataclass
class CurveTail:
    """A measure by step; what a resumed run does again replaces what it did before."""

    steps: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, step: int, value: float) -> None:
        self.extend([step], [value])

    def extend(self, steps: Sequence[int], values: Sequence[float]) -> None:
        """The measures of some steps that follow each other."""
        if any(after <= before for before, after in pairwise(steps)):  # a resumed run begins among them
            for step, value in zip(steps, values, strict=True):
                self.add(step, value)
            return
        while steps and self.steps and self.steps[-1] >= steps[0]:
            self.steps.pop()
            self.values.pop()
        self.steps.extend(steps)
        self.values.extend(values)


@dataclass
class ProgressView:
    """The state that the last events tell."""

    task: Task = "causal_lm"
    total_memory: int = 0
    phase: str = ""
    done: int = 0
    total: int = 0
    step: int = 0
    max_steps: int = 0
    losses: CurveTail = field(default_factory=CurveTail)
    held_out: CurveTail = field(default_factory=CurveTail)
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: float | None = None
    rss_bytes: int = 0
    core_wait_share: float = 0.0
    checkpoint_step: int | None = None

    @property
    def waits_much(self) -> bool:
        """Whether other programs have the cores so long that training ends later for it."""
        return self.core_wait_share >= MUCH_WAITING

    def take(self, events: Iterable[Event]) -> None:
        """Update from the next events; those of unknown kinds are ignored."""
        for event in with_logs_together(events):
            if isinstance(event, Event):
                self._take_other(event)
            else:
                self._take_logs(event)

    def _take_other(self, event: Event) -> None:
        match event:
            case PhaseBeginEvent():
                self.phase = event.phase
                self.done = 0
                self.total = 0
            case ProgressEvent():
                self.phase = event.phase
                self.done = event.done
                self.total = event.total
            case EvalEvent() if event.held_out_loss is not None:
                self.held_out.add(event.step, event.held_out_loss)
            case CheckpointEvent():
                self.checkpoint_step = event.step

    def _take_logs(self, events: Sequence[LogEvent]) -> None:
        measured = [(event.step, event.loss) for event in events if event.loss is not None]
        self.losses.extend([step for step, _loss in measured], [loss for _step, loss in measured])
        last = events[-1]
        self.step = last.step
        self.max_steps = last.max_steps or self.max_steps
        self.learning_rate = last.learning_rate
        self.grad_norm = last.grad_norm
        self.tokens_per_second = last.tokens_per_second
        self.eta_seconds = last.eta_seconds
        self.rss_bytes = last.rss_bytes or self.rss_bytes
        self.core_wait_share = last.core_wait_share or 0.0
