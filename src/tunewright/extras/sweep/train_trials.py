"""The trials of a sweep, trained one after another or side by side, with events for their start and end."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tunewright.errors import Problem
from tunewright.extras.sweep.trials import Sweep, SweepEnd, TrialRun
from tunewright.launch.devices import Device
from tunewright.reporting import Reporter
from tunewright.rundir.events import Event
from tunewright.rundir.run_dir import RunDir


@dataclass(frozen=True)
class TrialStarted:
    """A trial whose run was started in the background.

    `values` are the proposed values by path of the config. Iterating `events` shows the run to its end, and prunes it.
    """

    trial: TrialRun
    run: RunDir
    values: dict[str, object]
    events: Iterator[Event | None]
    kind: Literal["started"] = "started"


@dataclass(frozen=True)
class TrialRefused:
    """A trial that failed before it had a run, as these values cannot be trained; the next one has others."""

    trial: TrialRun
    values: dict[str, object]
    problems: Sequence[Problem]
    kind: Literal["refused"] = "refused"


@dataclass(frozen=True)
class TrialEnded:
    """A trial whose run has ended."""

    trial: TrialRun
    run: RunDir
    end: SweepEnd
    kind: Literal["ended"] = "ended"


END = object()
TrialEvent = TrialStarted | TrialRefused | TrialEnded


def train_trials(
    sweep: Sweep, *, limit: int | None = None, deadline: float | None = None, force: bool = False, reporter: Reporter
) -> Iterator[TrialEvent]:
    """Train trials until there are `limit` of them, or `deadline` (of time.monotonic) has passed.

    Ends early after a run that was stopped by the user. After `TrialStarted` the iterator waits for the end of that run.
    Raises: what `Sweep.begin` and `Sweep.conclude` raise.
    """
    while deadline is None or time.monotonic() < deadline:
        trial = sweep.claim(limit)
        if trial is None:
            return
        problems = sweep.begin(trial, force=force, reporter=reporter)
        values = sweep.parameters(sweep.search.trial(trial.number))
        if problems or trial.run is None:
            yield TrialRefused(trial, values, problems)
            continue
        events = sweep.follow(trial)
        yield TrialStarted(trial, trial.run, values, events)
        deque(events, maxlen=0)  # to the end of the run, if nobody watched it
        end = sweep.conclude(trial)
        yield TrialEnded(trial, trial.run, end)
        if end == "stopped":
            return


def train_trials_side_by_side(
    sweep: Sweep, devices: Sequence[Device], *, limit: int | None = None, deadline: float | None = None, force: bool = False,
    reporter: Reporter,
) -> Iterator[TrialEvent | None]:  # fmt: skip
    """As `train_trials`, one trial on each device at once; None whenever nothing was new, so that a face can draw.

    The events of `TrialStarted` are read here. After a run that was stopped by the user no other trial begins.
    Raises: what `Sweep.begin` and `Sweep.conclude` raise.
    """
    running: dict[Device, tuple[TrialRun, RunDir, Iterator[Event | None]]] = {}
    is_stopped, has_more = False, True
    while running or (has_more and not is_stopped):
        for device in devices:
            is_stopped = is_stopped or (deadline is not None and time.monotonic() >= deadline)
            if device in running or is_stopped or not has_more:
                continue
            trial = sweep.claim(limit)
            if trial is None:
                has_more = False
                continue
            problems = sweep.begin(trial, force=force, reporter=reporter, device=device)
            values = sweep.parameters(sweep.search.trial(trial.number))
            if problems or trial.run is None:
                yield TrialRefused(trial, values, problems)
                continue
            events = sweep.follow(trial)
            running[device] = (trial, trial.run, events)
            yield TrialStarted(trial, trial.run, values, iter(()))
        for device, (trial, run, events) in list(running.items()):
            if next(events, END) is not END:
                continue
            del running[device]
            end = sweep.conclude(trial)
            is_stopped = is_stopped or end == "stopped"
            has_more = has_more or end == "lost"  # its trial is open again
            yield TrialEnded(trial, run, end)
        yield None
