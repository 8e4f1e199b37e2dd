"""The events of a run in one pass and in bounded memory, whatever their number: curves, scores, times, alerts, the end."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tunewright.rundir.curves import MOST, Curves
from tunewright.rundir.events import (
    AlertEvent,
    DoneEvent,
    Event,
    FailedEvent,
    LogEvent,
    NoteEvent,
    PhaseBeginEvent,
    PhaseEndEvent,
    ScoreEvent,
    with_logs_together,
)
from tunewright.rundir.records import RunResult
from tunewright.rundir.run_dir import RunDir

MOST_SAID = 100  # notes, and alerts, that are held: the last ones

E = TypeVar("E", bound=Event)


@dataclass
class RunMessages(Generic[E]):
    """The last events of a kind, and how many there were before them."""

    last: deque[E] = field(default_factory=lambda: deque(maxlen=MOST_SAID))
    count: int = 0

    def add(self, event: E) -> None:
        self.last.append(event)
        self.count += 1

    @property
    def num_older(self) -> int:
        return self.count - len(self.last)


@dataclass
class PhaseClock:
    """Seconds of each phase over all sessions; a phase that was cut off counts up to the last sign of life."""

    ended: dict[str, float] = field(default_factory=dict)
    phase: str = ""
    begun: float = 0.0
    seen: float = 0.0

    def take(self, event: Event) -> None:
        if isinstance(event, PhaseEndEvent):
            self.ended[event.phase] = self.ended.get(event.phase, 0.0) + event.seconds
            self.phase = ""
        elif isinstance(event, PhaseBeginEvent):
            self.ended = self.seconds
            self.phase = event.phase
            self.begun = event.t
        if not isinstance(event, NoteEvent):  # one is also written when a run is resumed, a day later
            self.seen = event.t

    @property
    def seconds(self) -> dict[str, float]:
        """The phases in the order of the work, with the current one."""
        if not self.phase:
            return dict(self.ended)
        return {**self.ended, self.phase: self.ended.get(self.phase, 0.0) + self.seen - self.begun}


@dataclass
class RunHistory:
    """What the events of a run tell up to now."""

    curves: Curves = field(default_factory=Curves)
    clock: PhaseClock = field(default_factory=PhaseClock)
    scores: dict[str, ScoreEvent] = field(default_factory=dict)
    notes: RunMessages[NoteEvent] = field(default_factory=RunMessages)
    alerts: RunMessages[AlertEvent] = field(default_factory=RunMessages)
    result: RunResult | None = None  # of the last `done` event
    end: DoneEvent | FailedEvent | None = None  # the last of them
    num_sessions: int = 0  # how often training was begun
    peak_bytes: int = 0  # the most memory that was logged

    def take(self, events: Iterable[Event]) -> None:
        """The next events."""
        for event in with_logs_together(events):
            if isinstance(event, Event):
                self._take_other(event)
            else:
                self._take_logs(event)

    def _take_logs(self, events: Sequence[LogEvent]) -> None:
        self.clock.take(events[-1])
        self.curves.take_logs(events)
        self.peak_bytes = max(self.peak_bytes, *(event.rss_bytes for event in events))

    def _take_other(self, event: Event) -> None:
        self.clock.take(event)
        self.curves.take(event)
        match event:
            case ScoreEvent():
                self.scores[event.which] = event
            case NoteEvent():
                self.notes.add(event)
            case AlertEvent():
                self.alerts.add(event)
            case PhaseBeginEvent(phase="train"):
                self.num_sessions += 1
            case DoneEvent():
                self.end = event
                self.result = event.result
            case FailedEvent():
                self.end = event


def read_history(run: RunDir, most: int = MOST) -> RunHistory:
    """The history of a run, its curves with at least `most` points where there are more. Raises: TrainingError E525."""
    history = RunHistory(Curves(most))
    for events in run.tail().blocks():
        history.take(events)
    return history
