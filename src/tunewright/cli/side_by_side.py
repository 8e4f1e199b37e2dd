"""Runs that train at once, one on each device: a bar for all of them, and what happened to each for who prints it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun
    from tunewright.extras.comparison.train_grid import GridEvent
    from tunewright.extras.sweep.train_trials import TrialEvent
    from tunewright.launch.devices import Device

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


@dataclass
class SideBySide:
    """A bar for the steps of all runs that train now, and what Ctrl-C does: asks all of them to save, then ends them at once."""

    interrupts: live_display.Interrupts
    reporter: live_display.ConsoleReporter
    running: "list[TrainedRun]" = field(default_factory=list)
    sent: int = 0

    def saw(self, event: "GridEvent | TrialEvent | None") -> None:
        """One of them began or ended, or nothing was new."""
        from tunewright import api

        if self.interrupts.count > self.sent:
            for run in self.running:
                run.stop(now=self.sent > 0)
            self.sent += 1
            self.reporter.erase()
            saving = _("Stopping: a checkpoint is being saved. Ctrl-C again ends the run at once.")
            console.err().line(saving if self.sent == 1 else _("Ending it now."))
        if event is None:
            self.reporter.progress(*_steps(self.running))
            return
        self.reporter.erase()
        if event.kind == "started":
            self.running.append(api.TrainedRun(event.run))
        elif event.kind == "ended":
            ended = event.run.path
            self.running = [run for run in self.running if run.path != ended]


def chosen(devices: str | None) -> "list[Device] | None":
    """The devices of the flag, asked for before anything else is done; None without it. Raises: ConfigError E133."""
    from tunewright import api

    return None if devices is None else api.devices_named(devices)


@contextmanager
def watching(devices: "Sequence[Device] | None", *, is_quiet: bool) -> Iterator[SideBySide | None]:
    """Of runs on several devices; None for runs that train one after another, which are shown each to its end."""
    if not devices:
        yield None
        return
    with live_display.Interrupts() as interrupts, live_display.meter(_("Training"), is_quiet=is_quiet) as reporter:
        yield SideBySide(interrupts, reporter)


def _steps(running: "Sequence[TrainedRun]") -> tuple[int, int]:
    """Steps that the runs have done, and all that they will do."""
    last = [run.dir.last_event() for run in running]
    return sum(event.step for event in last if event), max(1, sum(run.plan.num_steps for run in running))
