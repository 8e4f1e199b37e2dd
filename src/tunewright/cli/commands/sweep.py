"""`tunewright sweep`"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, paste_commands, plan_summary, side_by_side
from tunewright.cli.commands.compare import PAGE
from tunewright.cli.problem_display import print_problems, printable
from tunewright.errors.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED
from tunewright.i18n import N_, _, ngettext

if TYPE_CHECKING:
    from tunewright.extras.comparison.search_space import SearchAxis
    from tunewright.extras.sweep.train_trials import TrialEnded
    from tunewright.extras.sweep.trials import Sweep
    from tunewright.launch.devices import Device

STATES = {"complete": N_("finished"), "pruned": N_("pruned"), "failed": N_("failed"), "running": N_("not finished")}
ORDER = tuple(STATES)

TrialsFlag = Annotated[
    int | None,
    typer.Option("--trials", metavar="N", min=1, help=_("How many runs in all; 20 unless --minutes is given.")),
]
MinutesFlag = Annotated[
    float | None, typer.Option("--minutes", metavar="M", min=0, help=_("Start no further run after this many minutes."))
]
SpaceFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--space",
        metavar="PATH=V,V",
        help=_("Values to choose from, or LOW..HIGH; can be repeated."),
        show_default=False,
    ),
]
MetricFlag = Annotated[str, typer.Option("--metric", metavar="NAME", help=_("The held-out score that decides."))]
StorageFlag = Annotated[
    str | None,
    typer.Option("--storage", metavar="URL", help=_("A database that several machines share, by SQLAlchemy's URL.")),
]


def add_to(app: typer.Typer) -> None:
    example = _("Example: tunewright sweep smollm2 my.jsonl --trials 20 --space peft.r=4,8,16")
    app.command(help=_("Search for the best setting, run by run; the same command goes on"), epilog=example)(sweep)


def sweep(
    inputs: options.InputsArgument = None,
    trials: TrialsFlag = None,
    minutes: MinutesFlag = None,
    space: SpaceFlag = None,
    metric: MetricFlag = "held_out_loss",
    storage: StorageFlag = None,
    devices: side_by_side.DevicesFlag = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FOLDER", help=_("Folder of the runs and of best.yaml."))
    ] = None,
    task: options.TaskFlag = None,
    preset: options.PresetFlag = None,
    method: options.MethodFlag = None,
    seed: options.SeedFlag = None,
    sets: options.SetFlag = None,
    offline: options.OfflineFlag = False,
    force: options.ForceFlag = False,
    as_json: options.JsonFlag = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=_("Print only the path of the best setting."))] = False,
    verbose: options.VerboseFlag = False,
) -> None:
    from tunewright import api

    deadline = time.monotonic() + 60 * minutes if minutes is not None else None
    limit = api.trial_limit(trials, minutes)
    placed = side_by_side.chosen(devices)
    flags = {"task": task, "preset": preset, "method": method, "train.seed": seed, "run.offline": offline}
    config, named = options.inputs_of(inputs or (), flags)
    settings = api.sweep_settings(config, named, sets or (), space=_axes(space), metric=metric, storage=storage)
    with live_display.meter(_("Inspecting the data"), is_quiet=quiet) as reporter:
        search = api.open_sweep(settings, Path(output) if output else None, reporter=reporter)
    if not quiet:
        plan_summary.labelled(console.err(), _("Sweep"), _announced(search))
    _train(search, limit, deadline, placed, force=force, is_quiet=quiet, is_verbose=verbose)
    _print(search, is_json=as_json, is_quiet=quiet)
    raise typer.Exit(0 if search.best else EXIT_FAILED)


def _axes(texts: Sequence[str] | None) -> "list[SearchAxis]":
    from tunewright import api

    axes: list[SearchAxis] = []
    for text in texts or ():
        axis = api.search_axis(text)
        if axis is None:
            raise typer.BadParameter(
                _('--space takes PATH=VALUE,VALUE or PATH=LOW..HIGH, as in --space peft.r=4,8,16, not "{text}"').format(
                    text=text
                )
            )
        options.refuse_twice("--space", axis.path, [known.path for known in axes])
        axes.append(axis)
    return axes


def _announced(search: "Sweep") -> str:
    """What is searched, and where it goes."""
    num_trials = len(search.search.trials())
    parts = [", ".join(axis.name for axis in search.axes)]
    if num_trials:
        parts.append(
            ngettext("{count} trial started before", "{count} trials started before", num_trials).format(
                count=num_trials
            )
        )
    return " · ".join([*parts, plan_summary.shorten(search.folder)])


def _train(
    search: "Sweep", limit: int | None, deadline: float | None, devices: "Sequence[Device] | None", *, force: bool,
    is_quiet: bool, is_verbose: bool,
) -> None:  # fmt: skip
    """Train the trials and show each to its end. Raises: typer.Exit when one is interrupted."""
    from tunewright import api

    channel = console.err()
    code = 0
    reporter = live_display.ConsoleReporter()
    events = api.train_sweep(search, devices=devices, limit=limit, deadline=deadline, force=force, reporter=reporter)
    with side_by_side.watching(devices, is_quiet=is_quiet) as several:
        for event in events:
            if several:
                several.saw(event)
            if event is None:
                continue
            if event.kind == "ended":
                _show_end(event, code, is_quiet=is_quiet)
                continue
            if not is_quiet:
                plan_summary.labelled(channel, f"{event.trial.number + 1}/{limit or '..'}", _values_text(event.values))
            if event.kind == "refused":
                print_problems(event.problems, channel)
            elif not devices:
                run = api.TrainedRun(event.run)
                code = live_display.see_through(
                    run, is_quiet=is_quiet, is_verbose=is_verbose, is_json=True, events=event.events
                )


def _show_end(event: "TrialEnded", code: int, *, is_quiet: bool) -> None:
    """How a trial ended; `code` is the exit code of its run. Raises: typer.Exit for one that was stopped by the user."""
    from tunewright import api

    channel = console.err()
    run = api.TrainedRun(event.run)
    if event.end == "stopped":
        channel.line(
            _("Stopped at {name}. The same command goes on from here.").format(name=plan_summary.one_line(run.name))
        )
        raise typer.Exit(code or EXIT_INTERRUPTED)
    if event.end == "failed":
        live_display.say_why(run)
    elif event.end == "pruned" and not is_quiet:
        channel.line(_("Pruned: most other trials had lower held-out losses by then."))


def _values_text(values: Mapping[str, object]) -> str:
    """The values of a trial: r 8, learning_rate 0.0003."""
    return ", ".join(f"{path.rpartition('.')[2]} {_short(value)}" for path, value in values.items())


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _print(search: "Sweep", *, is_json: bool, is_quiet: bool) -> None:
    """The table, the best setting as a file, and the report of the trials that were trained to their end here."""
    from tunewright import api

    config = search.write_best()
    runs = search.runs()
    comparison = api.compare_runs([api.TrainedRun(run) for run in runs]) if runs else None
    record = search.to_json()
    page = comparison.report(search.folder / PAGE, importance=record["importance"]) if comparison else None
    channel = console.out()
    if is_json:
        console.as_json({**record, "report": str(page) if page else None})
    elif is_quiet:
        channel.line(str(config) if config else "")
    else:
        if search.search.trials():
            _table(search, channel)
            channel.line()
        if comparison:
            plan_summary.labelled(channel, _("Verdict"), comparison.verdict)
        if page:
            plan_summary.labelled(channel, _("Report"), plan_summary.shorten(page))
        if not search.search.trials():
            console.note(_("No trial was started: the time was over before the first one."))
        if config:
            console.next_steps(
                (paste_commands.command("train", paste_commands.shorten(config)), _("the best setting once more"))
            )


def _table(search: "Sweep", channel: console.Channel) -> None:
    """The trials, the best first, then those that were pruned, failed or not finished."""
    from tunewright.report import formatting

    metric = search.settings.metric
    best = search.best
    sign = -1 if search.search.is_higher_better else 1
    trials = sorted(
        search.search.trials(), key=lambda trial: (ORDER.index(trial.state), sign * (trial.value or 0.0), trial.number)
    )
    rows = []
    for trial in trials:
        style: tuple[console.ConsoleStyle, ...] = ("green", "bold") if best and trial.number == best.number else ()
        score = formatting.score(metric, trial.value) if trial.value is not None else _(STATES[trial.state])
        number = channel.paint(f"trial-{trial.number:03d}", *style)
        values = printable(_values_text(search.parameters(trial)))
        rows.append([number, score, formatting.duration(trial.notes.get("seconds")), values])
    heads = [_("trial"), formatting.label(formatting.METRICS, metric), _("time"), _("setting")]
    console.table(channel, rows, heads, right=(1, 2))
