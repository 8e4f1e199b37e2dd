"""The runs of a grid, trained one after another or side by side, with events for their start and end."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tunewright.errors import Problem, ResourceError
from tunewright.extras.comparison import grid
from tunewright.extras.comparison.grid import Cell
from tunewright.launch import start_run
from tunewright.launch.devices import Device
from tunewright.reporting import Reporter
from tunewright.rundir.events import Event
from tunewright.rundir.run_dir import RunDir


@dataclass(frozen=True)
class CellStarted:
    """A run that was started in the background, number `number` of `total`.

    `last_seq` is the number of the last event that it had before, -1 for a new run.
    """

    number: int
    total: int
    cell: Cell
    run: RunDir
    last_seq: int
    kind: Literal["started"] = "started"


@dataclass(frozen=True)
class CellRefused:
    """A run that was not started as it does not fit here; the others may."""

    cell: Cell
    problems: tuple[Problem, ...]
    exit_code: int
    kind: Literal["refused"] = "refused"


@dataclass(frozen=True)
class CellEnded:
    """A run that has ended: `state` is finished, stopped, failed or lost."""

    cell: Cell
    run: RunDir
    state: str
    kind: Literal["ended"] = "ended"


END = object()
GridEvent = CellStarted | CellRefused | CellEnded


def train_cells(cells: Sequence[Cell], *, force: bool = False, reporter: Reporter) -> Iterator[GridEvent]:
    """Train the cells that are not finished, in their order; ends early after a run that was stopped by the user.

    After `CellStarted` the iterator waits for the end of that run; a caller that shows it follows it before going on.
    Raises: TrainingError E505 for a cell that another process owns.
    """
    for number, cell in enumerate(cells, 1):
        last_event = cell.run.last_event() if cell.run else None
        try:
            run = grid.begin(cell, force=force, reporter=reporter)
        except ResourceError as fault:
            yield CellRefused(cell, tuple(fault.problems), fault.exit_code)
            continue
        if run is None:
            continue
        yield CellStarted(number, len(cells), cell, run, last_event.seq if last_event else -1)
        start_run.wait(run)
        state = run.state()
        yield CellEnded(cell, run, state)
        if state == "stopped":
            return


def train_side_by_side(
    cells: Sequence[Cell], devices: Sequence[Device], *, force: bool = False, reporter: Reporter
) -> Iterator[GridEvent | None]:
    """Train the cells that are not finished, one on each device at once; None whenever nothing was new, so that a face can draw.

    After a run that was stopped by the user no other begins. Raises: TrainingError E505 for a cell that another process owns.
    """
    waiting = deque(enumerate(cells, 1))
    running: dict[Device, tuple[CellStarted, Iterator[Event | None]]] = {}
    while waiting or running:
        for device in devices:
            if device in running or not waiting:
                continue
            number, cell = waiting.popleft()
            last_event = cell.run.last_event() if cell.run else None
            try:
                run = grid.begin(cell, force=force, reporter=reporter, device=device)
            except ResourceError as fault:
                yield CellRefused(cell, tuple(fault.problems), fault.exit_code)
                continue
            if run is None:
                continue
            started = CellStarted(number, len(cells), cell, run, last_event.seq if last_event else -1)
            running[device] = (started, start_run.follow(run))
            yield started
        for device, (started, events) in list(running.items()):
            if next(events, END) is not END:
                continue
            del running[device]
            state = started.run.state()
            if state == "stopped":
                waiting.clear()
            yield CellEnded(started.cell, started.run, state)
        yield None
