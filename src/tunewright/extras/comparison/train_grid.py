"""The runs of a grid, trained one after another, with events for their start and end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tunewright.errors import Problem, ResourceError
from tunewright.extras.comparison import grid
from tunewright.extras.comparison.grid import Cell
from tunewright.launch import start_run
from tunewright.reporting import Reporter
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
