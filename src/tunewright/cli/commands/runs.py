"""`tunewright runs list/tag/watch/logs/ranks/stop/resume/rm`, and the hidden shortcuts of the top level"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, paste_commands, plan_summary, run_and_follow
from tunewright.cli.problem_display import printable
from tunewright.cli.progress_view import sparkline
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun
    from tunewright.rundir.run_overview import RunOverview

LIST_SPARKS = 8

YesFlag = Annotated[bool, typer.Option("--yes", "-y", help=_("Do not ask for confirmation."))]


def add_to(app: typer.Typer) -> None:
    group = options.branch(_("The runs on disk: list, tag, watch, logs, ranks, stop, resume, rm"))
    group.command("list", help=_("All runs of a folder, with their state and scores"))(list_runs)
    group.command("tag", help=_("Words by which to find a run again"))(tag)
    for name, verb, text in (
        ("watch", watch, _("Show a run live; Ctrl-C leaves only the view")),
        ("logs", logs, _("What the libraries printed")),
        ("stop", stop, _("Save a checkpoint and end a run")),
        ("resume", resume, _("Go on with a run that ended early")),
    ):
        group.command(name, help=text)(verb)
        app.command(name, help=text, hidden=True)(verb)
    group.command("ranks", help=_("Where each process of a run is"))(ranks)
    group.command("rm", help=_("Delete runs; asks first and shows their sizes"))(remove)
    app.add_typer(group, name="runs")


def list_runs(
    folder: Annotated[
        str | None, typer.Argument(metavar="FOLDER", help=_("Where to look; runs/ if not given."))
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help=_("Only runs with this tag; may be repeated."))
    ] = None,
    as_json: options.JsonFlag = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=_("Print only the names."))] = False,
) -> None:
    from tunewright import api

    wanted = set(tags or ())
    rows = [row for run in api.runs(folder) if wanted <= set((row := api.overview(run)).tags)]
    if as_json:
        console.as_json({"schema": 1, "runs": [row.to_json() for row in rows]})
    elif quiet:
        for row in rows:
            console.out().line(plan_summary.one_line(row.run.name))
    elif rows:
        _print_list(rows)
    elif wanted:
        console.err().line(_("No run has these tags."))
    else:
        console.err().line(_("No runs here yet."))
        console.next_steps(
            (paste_commands.command("quickstart"), _("see one")),
            (paste_commands.command("train", "smollm2", "my.jsonl"), _("train on your own rows")),
        )


def _print_list(rows: "list[RunOverview]") -> None:
    """A line for each run; their tags where any has some, and their curves where these leave the scores on the line."""
    channel = console.out()
    lines = [_row(row) for row in rows]
    header: tuple[str, ...] = (_("name"), _("state"), _("started"), _("model"), _("held-out scores"))
    if any(row.tags for row in rows):
        lines = [(line[0], printable(" ".join(row.tags)), *line[1:]) for line, row in zip(lines, rows, strict=True)]
        header = (header[0], _("tags"), *header[1:])
    curves = [(sparkline(row.losses, LIST_SPARKS), sparkline(row.held_out, LIST_SPARKS)) for row in rows]
    with_curves = [(*line[:-1], *both, line[-1]) for line, both in zip(lines, curves, strict=True)]
    heads = (*header[:-1], _("loss"), _("held-out"), header[-1])
    if channel.width is None or console.table_width([heads, *with_curves]) <= channel.width:
        console.table(channel, with_curves, heads)
    else:
        console.table(channel, lines, header)


def _row(row: "RunOverview") -> tuple[str, ...]:
    """Name, state, when it started, model, scores; in the place of these what is wrong with a damaged run."""
    from tunewright.report import formatting

    started = formatting.moment(row.info.created) if row.info else ""
    model = printable(Path((row.info.model if row.info else None) or "").name)
    state = formatting.label(formatting.STATES, row.state)
    last = plan_summary.one_line(row.damage.message()) if row.damage else formatting.main_change(row.result, "->")
    return plan_summary.one_line(row.run.name), state, started, model, last


def tag(
    run: options.RunArgument,
    tags: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TAG...", help=_("Words to give to the run; without any its tags are shown."), show_default=False
        ),
    ] = None,
    is_taken: Annotated[bool, typer.Option("--remove", help=_("Take these tags from the run instead."))] = False,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    trained = api.open_run(run)
    changed = tags or []
    tags_of_run = (
        api.change_tags(trained.dir, **{"remove" if is_taken else "add": changed}) if changed else trained.tags
    )
    if as_json:
        console.as_json({"schema": 1, "run": str(trained.path), "name": trained.name, "tags": list(tags_of_run)})
        return
    name, words = plan_summary.one_line(trained.name), printable(" ".join(tags_of_run))
    text = _("{name}: {tags}") if tags_of_run else _("{name} has no tags.")
    console.out().line(text.format(name=name, tags=words))


def watch(
    run: options.RunOrLastArgument = "last", verbose: options.VerboseFlag = False, as_json: options.JsonFlag = False
) -> None:
    from tunewright import api

    trained = api.open_run(run)
    if live_display.watch(trained, is_verbose=verbose, is_json=as_json):
        run_and_follow.finish(trained, live_display.exit_code(trained), is_json=as_json, is_quiet=False)
    elif as_json:
        console.as_json({"schema": 1, "run": str(trained.path), "name": trained.name, "state": trained.state})


def logs(
    run: options.RunOrLastArgument = "last",
    follow: Annotated[bool, typer.Option("-f", "--follow", help=_("Go on until the run has ended."))] = False,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    trained = api.open_run(run)
    if as_json:
        path = trained.path / "log.txt"
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        console.as_json({"schema": 1, "run": str(trained.path), "name": trained.name, "lines": text.splitlines()})
        return
    read = live_display.log_tail(trained, console.out().line)
    read()
    if follow:
        for _event in api.follow(trained.dir, from_start=False):
            read()
        read()


def ranks(run: options.RunOrLastArgument = "last", as_json: options.JsonFlag = False) -> None:
    from tunewright import api
    from tunewright.report import formatting

    trained = api.open_run(run)
    states = trained.ranks()
    if as_json:
        rows = [state.model_dump(mode="json") for state in states]
        console.as_json({"schema": 1, "run": str(trained.path), "name": trained.name, "ranks": rows})
        return
    if not states:
        count = trained.plan.run.launch.world
        text = (
            _("{name} has one process.")
            if count == 1
            else _("None of the {count} processes of {name} says where it is.")
        )
        console.err().line(text.format(name=plan_summary.one_line(trained.name), count=count))
        return
    heads = (
        _("process"), _("machine"), _("phase"), _("step"), _("waits in"), _("since"), _("computed in a step"), _("computes"),
    )  # fmt: skip
    lines = [
        (
            str(state.rank), printable(state.host), formatting.label(formatting.PHASES, state.phase), str(state.step),
            state.call, formatting.moment(state.since), formatting.duration(state.computed),
            "" if state.share is None else formatting.percent(state.share),
        )
        for state in states
    ]  # fmt: skip
    console.table(console.out(), lines, heads, right=(3, 6, 7))


def stop(
    run: options.RunOrLastArgument = "last",
    now: Annotated[bool, typer.Option("--now", help=_("End it at once, without a new checkpoint."))] = False,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    trained = api.open_run(run)
    was_live = trained.stop(now=now)
    if was_live and not as_json:
        text = _("Ending {name}") if now else _("Waiting for {name} to save and end")
        console.note(text.format(name=plan_summary.one_line(trained.name)))
    if was_live:
        api.wait_for_stop(trained.dir)
    if as_json:
        console.as_json(
            {"schema": 1, "run": str(trained.path), "name": trained.name, "stopped": was_live, "state": trained.state}
        )
        return
    channel = console.out()
    if not was_live:
        channel.line(
            _("{name} is not running ({state}).").format(
                name=plan_summary.one_line(trained.name), state=_state(trained)
            )
        )
        return
    channel.line(_("{name}: {state}").format(name=plan_summary.one_line(trained.name), state=_state(trained)))
    if trained.state != "finished":
        console.next_steps(
            (paste_commands.command("runs resume", paste_commands.handle(trained)), _("go on from the last checkpoint"))
        )


def _state(run: "TrainedRun") -> str:
    from tunewright.report import formatting

    return formatting.label(formatting.STATES, run.state)


def resume(
    run: options.RunOrLastArgument = "last",
    sets: options.SetFlag = None,
    processes: options.ProcessesFlag = None,
    detach: options.DetachFlag = False,
    as_json: options.JsonFlag = False,
    quiet: options.QuietFlag = False,
    verbose: options.VerboseFlag = False,
) -> None:
    from tunewright import api

    last_seq = api.open_run(run).last_seq
    chosen = (*(sets or ()), *([f"launch.processes={processes}"] if processes else []))
    resumed = api.TrainedRun(api.resume(run, chosen))
    run_and_follow.see_resumed(resumed, last_seq, detach=detach, is_json=as_json, is_quiet=quiet, is_verbose=verbose)


def remove(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help=_("One or more runs, by their full names or paths."), show_default=False),
    ],
    yes: YesFlag = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_("Only show what would be deleted."))] = False,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api
    from tunewright.report import formatting

    selected = list({run.path: run for run in map(api.open_exactly, runs)}.values())
    sizes = [api.run_bytes(run.dir) for run in selected]
    channel = console.err()
    if not as_json:
        rows = [
            (formatting.size(size), plan_summary.one_line(run.name), _what_goes(run))
            for run, size in zip(selected, sizes, strict=True)
        ]
        console.table(channel, rows, right=(0,))
    if not dry_run:
        _confirm(len(selected), yes=yes, is_json=as_json)
        for run in selected:
            api.remove(run.dir)
    if as_json:
        rows_json = [
            {"name": run.name, "path": str(run.path), "bytes": size} for run, size in zip(selected, sizes, strict=True)
        ]
        console.as_json(
            {"schema": 1, "removed": [] if dry_run else rows_json, "would_remove": rows_json if dry_run else []}
        )
    elif dry_run:
        channel.line(_("Nothing was deleted (--dry-run)."))
    else:
        console.out().line(_("{size} freed").format(size=formatting.size(sum(sizes))))


def _what_goes(run: "TrainedRun") -> str:
    """The state of a run that goes; of a link, where the run is that stays."""
    if run.path.is_symlink():
        folder = plan_summary.shorten(run.path.resolve())
        return _("only the link; the run stays in {folder}").format(folder=folder)
    return _state(run)


def _confirm(count: int, *, yes: bool, is_json: bool) -> None:
    """Ask in a terminal. Raises: ConfigError E120 without a terminal to ask in; typer.Exit on a no."""
    from tunewright.errors import error
    from tunewright.i18n import ngettext

    if yes:
        return
    if is_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise error("E120", what=ngettext("deleting {count} run", "deleting {count} runs", count).format(count=count))
    question = ngettext("Delete this run for good?", "Delete these {count} runs for good?", count).format(count=count)
    if not typer.confirm(question, err=True):
        console.err().line(_("Nothing was deleted."))
        raise typer.Exit(1)
