"""From a checked config to a run that is shown to its end: shared by train, quickstart and resume."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from tunewright.cli import console, live_display, paste_commands, plan_summary
from tunewright.cli.problem_display import print_json, print_problems
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun
    from tunewright.config.load_config import LoadedConfig
    from tunewright.planning.run_plan import Plan


def plan(loaded: "LoadedConfig", *, device: str | None = None, is_quiet: bool = False) -> "Plan":
    """The plan, with notes and progress on stderr. Raises: the errors of model, data or machine."""
    from tunewright import api

    with live_display.meter(_("Inspecting the data"), is_quiet=is_quiet) as reporter:
        return api.plan(loaded, device=device, reporter=reporter)


def run(
    loaded: "LoadedConfig",
    *,
    force: bool,
    detach: bool,
    is_json: bool,
    is_quiet: bool,
    is_verbose: bool,
    repeated: Sequence[str] = (),
    is_demo: bool = False,
) -> None:
    """Plan, print the plan, start, show the run to its end, print the outcome.

    `repeated` are the options that the suggested next command repeats.
    """
    from tunewright import api

    if begun := api.begun_by_launcher(loaded):
        last_seq = begun.last_seq
        api.go_on(begun, loaded)
        see_resumed(begun, last_seq, detach=detach, is_json=is_json, is_quiet=is_quiet, is_verbose=is_verbose)
        return
    planned = _shown_plan(loaded, is_quiet=is_quiet, is_verbose=is_verbose, is_demo=is_demo)
    channel = console.err()
    started = api.TrainedRun(api.begin(loaded, planned, force=force, reporter=live_display.ConsoleReporter()))
    if detach:
        announce(started, is_json=is_json, is_quiet=is_quiet)
        return
    if not is_quiet:
        text = _("{path} · in the background: closing this window does not stop it")
        plan_summary.labelled(channel, _("Run"), text.format(path=plan_summary.shorten(started.path)))
    code = live_display.see_through(started, is_quiet=is_quiet, is_verbose=is_verbose, is_json=is_json)
    finish(started, code, is_json=is_json, is_quiet=is_quiet, repeated=repeated, is_demo=is_demo)


def see_resumed(
    resumed: "TrainedRun", last_seq: int, *, detach: bool, is_json: bool, is_quiet: bool, is_verbose: bool
) -> None:
    """Show a run that goes on, from after the event `last_seq` to its end. Raises: typer.Exit."""
    if detach:
        announce(resumed, is_json=is_json, is_quiet=is_quiet)
        return
    code = live_display.see_through(resumed, is_quiet=is_quiet, is_verbose=is_verbose, is_json=is_json, after=last_seq)
    finish(resumed, code, is_json=is_json, is_quiet=is_quiet)


def _shown_plan(loaded: "LoadedConfig", *, is_quiet: bool, is_verbose: bool, is_demo: bool) -> "Plan":
    """The plan, with its decisions and warnings on stderr."""
    planned = plan(loaded, is_quiet=is_quiet)
    channel = console.err()
    if not is_quiet:
        plan_summary.facts(planned, channel, is_generated=is_demo)
        if is_verbose or not is_demo:
            plan_summary.decided(planned, channel, is_whole=is_verbose)
        plan_summary.labelled(channel, _("Plan"), plan_summary.plan_line(planned))
        print_problems(planned.warnings(), channel)
    return planned


def enqueue(loaded: "LoadedConfig", *, force: bool, is_json: bool, is_quiet: bool, is_verbose: bool) -> None:
    """Plan, print the plan, put the run into the queue; its name and place on stdout."""
    from tunewright import api

    planned = _shown_plan(loaded, is_quiet=is_quiet, is_verbose=is_verbose, is_demo=False)
    waiting, place = api.enqueue(loaded, planned, force=force, reporter=live_display.ConsoleReporter())
    if is_json:
        console.as_json(
            {"schema": 1, "run": str(waiting.path), "name": waiting.name, "state": waiting.state, "place": place}
        )
        return
    console.out().line(waiting.name)
    if not is_quiet:
        console.note(
            _("Number {place} in the queue: it starts when no other run is on this machine.").format(place=place)
        )
        console.next_steps(
            (paste_commands.command("queue list"), _("see what runs and what waits")),
            (paste_commands.command("runs watch", paste_commands.handle(waiting)), _("see it, once it has begun")),
        )


def announce(started: "TrainedRun", *, is_json: bool, is_quiet: bool) -> None:
    """A run in the background: its name, and how to watch it."""
    if is_json:
        console.as_json({"schema": 1, "run": str(started.path), "name": started.name, "state": started.state})
        return
    console.out().line(started.name)
    if not is_quiet:
        console.next_steps(
            (paste_commands.command("runs watch", paste_commands.handle(started)), _("see it")),
            (paste_commands.command("runs stop", paste_commands.handle(started)), _("save a checkpoint and end it")),
        )


def finish(
    ended: "TrainedRun",
    code: int,
    *,
    is_json: bool,
    is_quiet: bool,
    repeated: Sequence[str] = (),
    is_demo: bool = False,
) -> None:
    """The result on stdout and the exit code. Raises: typer.Exit."""
    if is_json:
        console.as_json(ended.result)
        if ended.problems:
            print_json(ended.problems)
    elif is_quiet:
        console.out().line(ended.name)
    elif code == 0 and ended.plan.run.launch.node_rank:
        console.out().line(_("This machine has computed its share; the result is on the first machine."))
    elif code == 0:
        plan_summary.outcome(ended, console.out())
        plan_summary.after_training(ended, repeated=repeated, is_demo=is_demo)
    raise typer.Exit(code)
