"""`tunewright sweep`"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, paste_commands, plan_summary
from tunewright.cli.commands.compare import PAGE
from tunewright.cli.problem_display import print_problems, printable
from tunewright.errors.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED
from tunewright.i18n import N_, _, ngettext

if TYPE_CHECKING:
    from tunewright.extras.comparison.search_space import SearchAxis
    from tunewright.extras.sweep.optuna_search import CompletedTrial
    from tunewright.extras.sweep.trials import Sweep

USUAL_TRIALS = 20
STATES = {
    "complete": N_("finished"), "pruned": N_("pruned"), "failed": N_("failed"), "running": N_("not finished"),
}  # fmt: skip
ORDER = tuple(STATES)

TrialsFlag = Annotated[
    int | None,
    typer.Option("--trials", metavar="N", min=1, help=_("How many runs in all; 20 unless --minutes is given.")),
]
MinutesFlag = Annotated[
    float | None, typer.Option("--minutes", metavar="M", min=0, help=_("Begin no further run after so many minutes."))
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

    until = time.monotonic() + 60 * minutes if minutes is not None else None
    limit = trials if trials or minutes is not None else USUAL_TRIALS
    flags = {"task": task, "preset": preset, "method": method, "train.seed": seed, "run.offline": offline}
    config, named = options.inputs_of(inputs or (), flags)
    sought = api.SweepSettings(api.Grid(config, named, sets or ()), _axes(space), metric, storage)
    with live_display.meter(_("Looking at the data"), is_quiet=quiet) as progress:
        found = api.open_sweep(sought, Path(output) if output else None, note=console.note, progress=progress)
    if not quiet:
        plan_summary.labelled(console.err(), _("Sweep"), _announced(found))
    _search(found, limit, until, force=force, is_quiet=quiet, is_verbose=verbose)
    _tell(found, is_json=as_json, is_quiet=quiet)
    raise typer.Exit(0 if found.best else EXIT_FAILED)


def _axes(texts: Sequence[str] | None) -> "list[SearchAxis]":
    from tunewright import api

    found = []
    for text in texts or ():
        axis = api.parse_axis(text)
        if axis is None:
            raise typer.BadParameter(
                _('--space takes PATH=VALUE,VALUE or PATH=LOW..HIGH, as in --space peft.r=4,8,16, not "{text}"').format(
                    text=text
                )
            )
        found.append(axis)
    return found


def _announced(found: "Sweep") -> str:
    """What is searched, and where it goes."""
    begun = len(found.search.trials())
    parts = [", ".join(axis.name for axis in found.axes)]
    if begun:
        parts.append(ngettext("{count} trial begun before", "{count} trials begun before", begun).format(count=begun))
    return " · ".join([*parts, plan_summary.shorten(found.folder)])


def _search(
    found: "Sweep", limit: int | None, until: float | None, *, force: bool, is_quiet: bool, is_verbose: bool
) -> None:
    """One trial after another, until there are enough or the time is over. Raises: typer.Exit when it is interrupted."""
    from tunewright import api

    channel = console.err()
    while (until is None or time.monotonic() < until) and (trial := found.claim(limit)):
        problems = found.begin(trial, force=force, note=console.note)
        if not is_quiet:
            picked = _picked(found, found.search.trial(trial.number))
            plan_summary.labelled(channel, f"{trial.number + 1}/{limit or '..'}", picked)
        if problems or trial.run is None:
            print_problems(problems, channel)
            continue
        run = api.TrainedRun(trial.run)
        code = live_display.see_through(
            run, is_quiet=is_quiet, is_verbose=is_verbose, is_json=True, events=found.follow(trial)
        )
        end = found.conclude(trial)
        if end == "stopped":
            channel.line(
                _("Stopped at {name}. The same command goes on from here.").format(name=plan_summary.one_line(run.name))
            )
            raise typer.Exit(code or EXIT_INTERRUPTED)
        if end == "failed":
            live_display.say_why(run)
        elif end == "pruned" and not is_quiet:
            channel.line(_("Pruned: most other trials had lower held-out losses by then."))


def _picked(found: "Sweep", tried: "CompletedTrial") -> str:
    """What a trial tries: r 8, learning_rate 0.0003."""
    told = found.parameters(tried).items()
    return ", ".join(f"{path.rpartition('.')[2]} {_short(value)}" for path, value in told)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _tell(found: "Sweep", *, is_json: bool, is_quiet: bool) -> None:
    """The table, the best setting as a file, and the report of those that were trained to their end here."""
    from tunewright import api

    config, runs = found.write_best(), found.runs()
    compared = api.compare_runs([api.TrainedRun(run) for run in runs]) if runs else None
    told = found.to_json()
    page = compared.report(found.folder / PAGE, importance=told["importance"]) if compared else None
    channel = console.out()
    if is_json:
        console.as_json({**told, "report": str(page) if page else None})
    elif is_quiet:
        channel.line(str(config) if config else "")
    else:
        _table(found, channel)
        channel.line()
        if compared:
            plan_summary.labelled(channel, _("Verdict"), compared.verdict)
        if page:
            plan_summary.labelled(channel, _("Report"), plan_summary.shorten(page))
        if config:
            console.next_steps(
                (paste_commands.command("train", paste_commands.shorten(config)), _("the best setting once more"))
            )


def _table(found: "Sweep", channel: console.Channel) -> None:
    """The trials, the best first, then those that were pruned, failed or not finished."""
    from tunewright.report import formatting

    metric, best = found.sought.metric, found.best
    sign = -1 if found.search.is_higher_better else 1
    trials = sorted(
        found.search.trials(), key=lambda one: (ORDER.index(one.state), sign * (one.value or 0.0), one.number)
    )
    rows = []
    for one in trials:
        style: tuple[console.ConsoleStyle, ...] = ("green", "bold") if best and one.number == best.number else ()
        score = formatting.score(metric, one.value) if one.value is not None else _(STATES[one.state])
        number = channel.paint(f"trial-{one.number:03d}", *style)
        rows.append([number, score, formatting.duration(one.told.get("seconds")), printable(_picked(found, one))])
    heads = [_("trial"), formatting.label(formatting.METRICS, metric), _("time"), _("setting")]
    console.table(channel, rows, heads, right=(1, 2))
