"""The events of a run in one pass and in bounded memory, whatever their number: curves, scores, times, alerts, the end."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tunewright.rundir.curves import MOST, Curves, EventRow
from tunewright.rundir.run_dir import RunDir

MOST_SAID = 100  # notes, and alerts, that are held: the last ones


@dataclass
class RunMessages:
    """The last events of a kind, and how many there were before them."""

    last: deque[EventRow] = field(default_factory=lambda: deque(maxlen=MOST_SAID))
    count: int = 0

    def add(self, event: EventRow) -> None:
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

    def take(self, event: EventRow) -> None:
        if event["kind"] == "phase" and event["state"] == "end":
            self.ended[event["phase"]] = self.ended.get(event["phase"], 0.0) + event["seconds"]
            self.phase = ""
        elif event["kind"] == "phase":
            self.ended = self.seconds
            self.phase, self.begun = event["phase"], event["t"]
        self.seen = event["t"]

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
    scores: dict[str, EventRow] = field(default_factory=dict)
    notes: RunMessages = field(default_factory=RunMessages)
    alerts: RunMessages = field(default_factory=RunMessages)
    result: dict[str, Any] = field(default_factory=dict)  # of the last `done` event
    end: EventRow | None = None  # the last `done` or `failed`
    num_sessions: int = 0  # how often training was begun
    peak_bytes: int = 0  # the most memory that was logged

    def take(self, event: EventRow) -> None:
        """The next event."""
        kind = event["kind"]
        self.clock.take(event)
        self.curves.take(event)
        if kind == "log":
            self.peak_bytes = max(self.peak_bytes, event["rss_bytes"])
        elif kind == "score":
            self.scores[event["which"]] = event
        elif kind == "note":
            self.notes.add(event)
        elif kind == "alert":
            self.alerts.add(event)
        elif kind == "phase":
            self.num_sessions += event["phase"] == "train" and event["state"] == "begin"
        elif kind in ("done", "failed"):
            self.end = event
            self.result = event["result"] if kind == "done" else self.result


def read_history(run: RunDir, most: int = MOST) -> RunHistory:
    """The history of a run, its curves with at least `most` points where there are more. Raises: TrainingError E525."""
    history = RunHistory(Curves(most))
    for event in run.each_event():
        history.take(event)
    return history
