"""The curves of a run: what was logged and measured by step, as if it had never been interrupted; thinned where it is long."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tunewright.rundir.events import EvalEvent, Event, LogEvent

E = TypeVar("E", bound=Event)
MOST = 10_000  # events of a curve that are held at least where there are more; twice as many at most


@dataclass
class RunCurve(Generic[E]):
    """Events by step. What a resumed run does again replaces what it did before.

    Of more than 2 * `most` every second, fourth, ... is held, evenly spread, and the last one always.
    """

    most: int = MOST
    events: list[E] = field(default_factory=list)
    _stride: int = 1
    _behind: int = 0  # events since the last one that stays

    def add(self, event: E) -> None:
        """The next event, whose step is after those of all others."""
        if self._behind:
            self.events.pop()
        self.events.append(event)
        self._behind = (self._behind + 1) % self._stride
        if len(self.events) == 2 * self.most and not self._behind:
            self.events = self.events[1::2]
            self._stride *= 2

    def drop_from(self, step: int) -> None:
        """Forget this step and all after it."""
        while self.events and self.events[-1].step >= step:
            self.events.pop()
            self._behind = 0


@dataclass
class Curves:
    """The `log` and the `eval` events of a run."""

    most: int = MOST
    logs: RunCurve[LogEvent] = field(init=False)
    evals: RunCurve[EvalEvent] = field(init=False)

    def __post_init__(self) -> None:
        self.logs, self.evals = RunCurve(self.most), RunCurve(self.most)

    def take(self, event: Event) -> None:
        """Any event; those of other kinds are ignored."""
        # In one session a step is logged before it is measured, so a log also overtakes the measurement of its step.
        if isinstance(event, LogEvent):
            self.evals.drop_from(event.step)
            self.logs.drop_from(event.step)
            self.logs.add(event)
        elif isinstance(event, EvalEvent):
            self.evals.drop_from(event.step)
            self.logs.drop_from(event.step + 1)
            self.evals.add(event)


def curves(events: Iterable[Event]) -> tuple[list[LogEvent], list[EvalEvent]]:
    """`log` and `eval` events in the order of their steps; what a later session did again replaces the earlier."""
    both = Curves()
    for event in events:
        both.take(event)
    return both.logs.events, both.evals.events
