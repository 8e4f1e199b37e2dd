"""`tunewright queue list/move/cancel/pause/go`"""

from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, options, paste_commands, plan_summary
from tunewright.cli.problem_display import printable
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun
    from tunewright.api.waiting_runs import QueueState

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=_("A run that waits."), show_default=False)]


def add_to(app: typer.Typer) -> None:
    group = options.branch(_("The runs that wait for this machine: list, move, cancel, pause, go"))
    for name, verb, text in (
        ("list", list_queue, _("What runs, and what waits in its order")),
        ("move", move, _("Give a run another place; 1 is the next one")),
        ("cancel", cancel, _("Take a run out of the queue")),
        ("pause", pause, _("Start none of them any more; what runs goes on")),
        ("go", go, _("Start them, after a pause or after a start of the machine")),
    ):
        group.command(name, help=text)(verb)
    app.add_typer(group, name="queue")


def list_queue(as_json: options.JsonFlag = False) -> None:
    from tunewright import api

    state = api.queue()
    if as_json:
        console.as_json(_as_record(state))
        return
    _print(state)


def move(
    run: RunArgument,
    place: Annotated[int, typer.Argument(metavar="PLACE", help=_("Its new place."), min=1, show_default=False)],
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    trained = api.open_run(run)
    now = api.move_in_queue(trained, place)
    _tell(trained, _("{name} is number {place} in the queue").format(name=_name(trained), place=now), is_json=as_json)


def cancel(run: RunArgument, as_json: options.JsonFlag = False) -> None:
    from tunewright import api

    trained = api.open_run(run)
    api.cancel_in_queue(trained)
    _tell(trained, _("{name} is out of the queue").format(name=_name(trained)), is_json=as_json)
    if not as_json:
        handle = paste_commands.handle(trained)
        console.next_steps(
            (paste_commands.command("runs resume", handle), _("start it now")),
            (paste_commands.command("runs rm", trained.name), _("delete it")),
        )


def pause(as_json: options.JsonFlag = False) -> None:
    from tunewright import api

    api.pause_queue()
    list_queue(as_json=as_json)


def go(as_json: options.JsonFlag = False) -> None:
    from tunewright import api

    api.start_queue()
    list_queue(as_json=as_json)


def _tell(run: "TrainedRun", text: str, *, is_json: bool) -> None:
    from tunewright import api

    if is_json:
        record = _as_record(api.queue())
        console.as_json({**record, "run": str(run.path), "name": run.name, "state": run.state})
    else:
        console.out().line(text)


def _as_record(state: "QueueState") -> dict[str, object]:
    from tunewright import api

    waiting = [
        {"place": place, "name": run.name, "path": str(run.path), "planned_seconds": api.planned_seconds(run)}
        for place, run in enumerate(state.waiting, start=1)
    ]
    running = [{"name": run.name, "path": str(run.path), "state": run.state} for run in state.running]
    return {"schema": 1, "paused": state.is_paused, "started": state.has_runner, "running": running, "waiting": waiting}


def _print(state: "QueueState") -> None:
    from tunewright import api
    from tunewright.report import formatting

    channel = console.out()
    rows = [("", _name(run), formatting.label(formatting.STATES, run.state), "") for run in state.running]
    for place, run in enumerate(state.waiting, start=1):
        seconds = api.planned_seconds(run)
        expected = f"~{formatting.duration(seconds)}" if seconds is not None else ""
        rows.append((str(place), _name(run), formatting.label(formatting.STATES, run.state), expected))
    if not rows:
        console.err().line(_("Nothing runs on this machine, and nothing waits."))
        console.next_steps(
            (paste_commands.command("train", "smollm2", "my.jsonl", "--queue"), _("put a run into the queue"))
        )
        return
    console.table(channel, rows, ("", _("name"), _("state"), _("planned")), right=(0, 3))
    if state.waiting and (state.is_paused or state.is_stuck):
        channel.line(_("The queue is paused.") if state.is_paused else _("Nobody starts the runs that wait."))
        console.next_steps((paste_commands.command("queue go"), _("start them, one after another")))


def _name(run: "TrainedRun") -> str:
    return plan_summary.one_line(printable(run.name))
