"""The curves of a run: what was logged and measured by step, as if it had never been interrupted; thinned where it is long."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

EventRow = dict[str, Any]
MOST = 10_000  # events of a curve that are held at least where there are more; twice as many at most


@dataclass
class RunCurve:
    """Events by step. What a resumed run does again replaces what it did before.

    Of more than 2 * `most` every second, fourth, ... is held, evenly spread, and the last one always.
    """

    most: int = MOST
    events: list[EventRow] = field(default_factory=list)
    _stride: int = 1
    _behind: int = 0  # events since the last one that stays

    def add(self, event: EventRow) -> None:
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
        while self.events and self.events[-1]["step"] >= step:
            self.events.pop()
            self._behind = 0


@dataclass
class Curves:
    """The `log` and the `eval` events of a run."""

    most: int = MOST
    logs: RunCurve = field(init=False)
    evals: RunCurve = field(init=False)

    def __post_init__(self) -> None:
        self.logs, self.evals = RunCurve(self.most), RunCurve(self.most)

    def take(self, event: EventRow) -> None:
        """Any event; those of other kinds are left alone."""
        if event["kind"] not in ("log", "eval"):
            return
        # In one session a step is logged before it is measured, so a log also overtakes the measurement of its step.
        self.evals.drop_from(event["step"])
        self.logs.drop_from(event["step"] if event["kind"] == "log" else event["step"] + 1)
        (self.logs if event["kind"] == "log" else self.evals).add(event)


def curves(events: Iterable[EventRow]) -> tuple[list[EventRow], list[EventRow]]:
    """`log` and `eval` events in the order of their steps; what a later session did again replaces the earlier."""
    both = Curves()
    for event in events:
        both.take(event)
    return both.logs.events, both.evals.events
