"""From a checked config to a run that is shown to its end: what train, quickstart and resume have in common."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from tunewright.cli import again, brief, live, show
from tunewright.cli.problems import print_json, print_problems
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.api import TrainedRun
    from tunewright.planning.plan import Plan
    from tunewright.spec.load import Loaded


def plan(loaded: "Loaded", *, device: str | None = None, is_quiet: bool = False) -> "Plan":
    """The plan, with notes and progress on stderr. Raises: whatever is wrong with model, data or machine."""
    from tunewright import api

    with live.meter(_("Looking at the data"), is_quiet=is_quiet) as progress:
        return api.plan(loaded, device=device, note=show.note, progress=progress)


def run(
    loaded: "Loaded",
    *,
    force: bool,
    detach: bool,
    is_json: bool,
    is_quiet: bool,
    is_verbose: bool,
    repeated: Sequence[str] = (),
    is_demo: bool = False,
) -> None:
    """Plan, say what will be done, start, show to the end, say what came of it.

    `repeated` are the options that a further training takes over.
    """
    from tunewright import api

    made = plan(loaded, is_quiet=is_quiet)
    channel = show.err()
    if not is_quiet:
        brief.facts(made, channel, is_generated=is_demo)
        if is_verbose or not is_demo:
            brief.decided(made, channel, is_whole=is_verbose)
        brief.labelled(channel, _("Plan"), brief.plan_line(made))
        print_problems(made.warnings(), channel)
    started = api.TrainedRun(api.begin(loaded, made, force=force, note=show.note))
    if detach:
        announce(started, is_json=is_json, is_quiet=is_quiet)
        return
    if not is_quiet:
        text = _("{path} · in the background: closing this window does not stop it")
        brief.labelled(channel, _("Run"), text.format(path=brief.shorten(started.path)))
    code = live.see_through(started, is_quiet=is_quiet, is_verbose=is_verbose, is_json=is_json)
    finish(started, code, is_json=is_json, is_quiet=is_quiet, repeated=repeated, is_demo=is_demo)


def announce(started: "TrainedRun", *, is_json: bool, is_quiet: bool) -> None:
    """A run that goes on without us: its name, and how to see it."""
    if is_json:
        show.as_json({"schema": 1, "run": str(started.path), "name": started.name, "state": started.state})
        return
    show.out().line(started.name)
    if not is_quiet:
        show.next_steps(
            (again.command("runs watch", again.handle(started)), _("see it")),
            (again.command("runs stop", again.handle(started)), _("save a checkpoint and end it")),
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
    from tunewright import api

    if is_json:
        show.as_json(api.result(ended.dir))
        problems = api.problems(ended.dir)
        if problems:
            print_json(problems)
    elif is_quiet:
        show.out().line(ended.name)
    elif code == 0:
        brief.outcome(ended.dir, show.out())
        brief.after_training(ended, repeated=repeated, is_demo=is_demo)
    raise typer.Exit(code)
