"""The reporter of a worker: progress and notes of a run as its events."""

import time
from dataclasses import dataclass, field

from tunewright.engine.training.callbacks import StopFlag
from tunewright.rundir.event_log import EventLog

PROGRESS_SECONDS = 1.0


@dataclass
class EventReporter:
    """Writes progress of one phase, at most once a second, and notes; where progress is reported a stopped run ends."""

    run_name: str
    phase: str
    stop: StopFlag
    events: EventLog
    last: float = field(default_factory=time.monotonic, init=False)

    def progress(self, done: int, total: int) -> None:
        """Raises: TrainingError E507 if a stop was requested."""
        self.stop.check(self.events.step, self.run_name)
        if time.monotonic() - self.last >= PROGRESS_SECONDS:
            self.last = time.monotonic()
            self.events.write("progress", phase=self.phase, done=done, total=total)

    def note(self, text: str) -> None:
        self.events.note(text)
