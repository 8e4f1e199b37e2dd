"""The curves of a run: what was logged and measured by step, as if it had never been interrupted; thinned where it is long."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

from tunewright.rundir.events import EvalEvent, Event, LogEvent

MOST = 10_000  # events of a curve that are held at least where there are more; twice as many at most


class LoggedStep(NamedTuple):
    """What is held of a `log` event, whose fields these are: thousands of whole ones would need ten times the memory."""

    step: int
    loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    epoch: float | None
    tokens: int | None
    tokens_per_second: float | None
    padding_share: float | None
    row_wait_share: float | None
    core_wait_share: float | None


_fields_held = attrgetter(*LoggedStep._fields)
E = TypeVar("E", LoggedStep, EvalEvent)
S = TypeVar("S")


def _held(events: Iterable[LogEvent]) -> Iterable[LoggedStep]:
    return map(LoggedStep._make, map(_fields_held, events))


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
        self.extend([event], list)

    def extend(self, events: Sequence[S], held: Callable[[Sequence[S]], Iterable[E]]) -> None:
        """The next events, whose steps are after those of all others and of each other; `held` gives what is held of them."""
        while events:
            if self._behind:
                self.events.pop()
            until_full = self._stride * (2 * self.most - len(self.events)) - self._behind
            now, events = events[:until_full], events[until_full:]
            self.events += held(now[self._stride - 1 - self._behind :: self._stride])
            self._behind = (self._behind + len(now)) % self._stride
            if self._behind:
                self.events += held(now[-1:])
            elif len(self.events) == 2 * self.most:
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
    logs: RunCurve[LoggedStep] = field(init=False)
    evals: RunCurve[EvalEvent] = field(init=False)

    def __post_init__(self) -> None:
        self.logs, self.evals = RunCurve(self.most), RunCurve(self.most)

    def take(self, event: Event) -> None:
        """Any event; those of other kinds are ignored."""
        # In one session a step is logged before it is measured, so a log also overtakes the measurement of its step.
        if isinstance(event, LogEvent):
            self.take_logs([event])
        elif isinstance(event, EvalEvent):
            self.evals.drop_from(event.step)
            self.logs.drop_from(event.step + 1)
            self.evals.add(event)

    def take_logs(self, events: Sequence[LogEvent]) -> None:
        """Some `log` events that follow each other."""
        steps = [event.step for event in events]
        if any(after <= before for before, after in pairwise(steps)):  # a resumed run begins among them
            for event in events:
                self.take_logs([event])
        else:
            self.evals.drop_from(steps[0])
            self.logs.drop_from(steps[0])
            self.logs.extend(events, _held)


def curves(events: Iterable[Event]) -> tuple[list[LoggedStep], list[EvalEvent]]:
    """`log` and `eval` events in the order of their steps; what a later session did again replaces the earlier."""
    both = Curves()
    for event in events:
        both.take(event)
    return both.logs.events, both.evals.events
