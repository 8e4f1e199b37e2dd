"""Runs that train at once, one on each device: a bar for all of them, and what happened to each for who prints it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunewright.cli import console, live_display
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun

DevicesFlag = Annotated[
    str | None,
    typer.Option(
        "--devices",
        metavar="all|N,N",
        help=_(
            "Train several runs at once, one on each of these GPUs, or on each of these cores where there is no GPU."
        ),
        show_default=False,
    ),
]


def watched(events: Iterator[Any], *, is_quiet: bool) -> Iterator[Any]:
    """The events of runs that start and end, while a bar shows the steps of those that run.

    The first Ctrl-C asks all that run to save and end, the second ends them at once.
    """
    from tunewright import api

    running: list[TrainedRun] = []
    sent = 0
    with live_display.Interrupts() as interrupts, live_display.meter(_("Training"), is_quiet=is_quiet) as reporter:
        for event in events:
            if interrupts.count > sent:
                for run in running:
                    run.stop(now=sent > 0)
                sent += 1
                reporter.erase()
                saving = _("Stopping: a checkpoint is being saved. Ctrl-C again ends the run at once.")
                console.err().line(saving if sent == 1 else _("Ending it now."))
            if event is None:
                reporter.progress(*_steps(running))
                continue
            reporter.erase()
            if event.kind == "started":
                running.append(api.TrainedRun(event.run))
            elif event.kind == "ended":
                running = [run for run in running if run.path != event.run.path]
            yield event


def _steps(running: "Sequence[TrainedRun]") -> tuple[int, int]:
    """Steps that the runs have done, and all that they will do."""
    last = [run.dir.last_event() for run in running]
    return sum(event.step for event in last if event), max(1, sum(run.plan.num_steps for run in running))
