"""`tunewright compare`"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, plan_summary, side_by_side
from tunewright.cli.problem_display import printable
from tunewright.errors.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED
from tunewright.i18n import _, ngettext
from tunewright.i18n import width as columns_of

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun
    from tunewright.extras.comparison.comparison_result import ComparisonResult
    from tunewright.extras.comparison.grid import Cell, Grid
    from tunewright.extras.comparison.train_grid import CellEnded, CellStarted
    from tunewright.launch.devices import Device

PAGE = "compare.html"
NARROWEST_NAME = 10

RunsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN... | MODEL DATA", help=_("Finished runs or a folder of runs; or what to train them on.")
    ),
]
RanksFlag = Annotated[
    str | None, typer.Option("--ranks", metavar="R,R", help=_("Train a run for each rank."), show_default=False)
]
MethodsFlag = Annotated[
    str | None,
    typer.Option("--methods", metavar="NAME,NAME", help=_("Train a run for each method."), show_default=False),
]
GridFlag = Annotated[
    list[str] | None,
    typer.Option(
        "--grid", metavar="PATH=V,V", help=_("Train a run for each value; can be repeated."), show_default=False
    ),
]
SeedsFlag = Annotated[int, typer.Option("--seeds", metavar="N", min=1, help=_("Train every setting with N seeds."))]
FullFlag = Annotated[
    bool,
    typer.Option("--full", help=_("Also train all weights of every linear layer: full fine-tuning, for comparison.")),
]
ShotsFlag = Annotated[
    int | None,
    typer.Option(
        "--shots",
        metavar="N",
        min=0,
        help=_("Also evaluate the base model with N training rows in its prompt (causal_lm)."),
        show_default=_("3 where runs are trained"),
    ),
]


def add_to(app: typer.Typer) -> None:
    example = _("Example: tunewright compare smollm2 my.jsonl --ranks 4,8,16 --methods lora,ia3")
    app.command(help=_("Runs side by side, with what is chance and what is not"), epilog=example)(compare)


def compare(
    words: RunsArgument,
    ranks: RanksFlag = None,
    methods: MethodsFlag = None,
    grid: GridFlag = None,
    seeds: SeedsFlag = 1,
    full: FullFlag = False,
    shots: ShotsFlag = None,
    devices: side_by_side.DevicesFlag = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FOLDER", help=_("Folder of the runs and of compare.html."))
    ] = None,
    sets: options.SetFlag = None,
    offline: options.OfflineFlag = False,
    force: options.ForceFlag = False,
    as_json: options.JsonFlag = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=_("Print only the name of the run to take."))] = False,
    verbose: options.VerboseFlag = False,
) -> None:
    from tunewright import api
    from tunewright.api.run_handle import SHOTS

    code = 0
    if ranks or methods or grid or full or seeds > 1:
        placed = side_by_side.chosen(devices)
        config, named = options.inputs_of(words, {"run.offline": offline})
        settings = api.grid_settings(
            config,
            named,
            sets or (),
            methods=_names(methods),
            ranks=_ranks(ranks),
            axes=_axes(grid),
            seeds=seeds,
            full=full,
        )
        folder = Path(output).expanduser() if output else api.grid_folder(settings)
        api.check_page(folder / PAGE)
        code = _train(settings, folder, placed, force=force, is_quiet=quiet, is_verbose=verbose)
        runs = api.runs(folder)
        _measure_prompted(runs, shots, is_quiet=quiet)
        shots = SHOTS if shots is None else shots
    else:
        runs = [run for word in words for run in _runs_of(word)]
        folder = Path(output).expanduser() if output else _common_folder(runs)
        api.check_page(folder / PAGE)
        if shots:
            _measure_prompted(runs, shots, is_quiet=quiet)
    result = api.compare_runs(runs, shots=shots)
    page = result.report(folder.resolve() / PAGE)
    if as_json:
        console.as_json({**result.to_json(), "report": str(page)})
    else:
        _print(result, page, is_quiet=quiet)
    raise typer.Exit(code)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _ranks(text: str | None) -> list[int]:
    try:
        return [int(rank) for rank in _names(text)]
    except ValueError:
        raise typer.BadParameter(
            _('--ranks takes whole numbers, as in --ranks 4,8,16, not "{text}"').format(text=text)
        ) from None


def _axes(texts: Sequence[str] | None) -> dict[str, str]:
    """PATH=V,V texts: the values by path."""
    axes: dict[str, str] = {}
    for text in texts or ():
        path, equals, values = text.partition("=")
        if not (path and equals and values):
            raise typer.BadParameter(
                _('--grid takes PATH=VALUE,VALUE, as in --grid train.learning_rate=1e-4,3e-4, not "{text}"').format(
                    text=text
                )
            )
        options.refuse_twice("--grid", path, axes)
        axes[path] = values
    return axes


def _runs_of(word: str) -> list["TrainedRun"]:
    """The run of that name; all runs of a folder that holds some."""
    from tunewright import api

    inside = api.runs(word) if Path(word).is_dir() else []
    return inside or [api.open_run(word)]


def _common_folder(runs: "Sequence[TrainedRun]") -> Path:
    """The folder that contains all runs, else this one."""
    parents = {run.path.parent for run in runs}
    return parents.pop() if len(parents) == 1 else Path.cwd()


def _train(
    grid: "Grid", folder: Path, devices: "Sequence[Device] | None", *, force: bool, is_quiet: bool, is_verbose: bool
) -> int:
    """Train what is not trained yet and show it; the exit code. Raises: typer.Exit when it is interrupted."""
    from tunewright import api

    with live_display.meter(_("Inspecting the data"), is_quiet=is_quiet) as reporter:
        cells = api.plan_grid(grid, folder, reporter=reporter)
    channel = console.err()
    if not is_quiet:
        plan_summary.labelled(channel, _("Compare"), _announced(cells, folder))
    code = 0
    events = api.train_grid(cells, devices=devices, force=force, reporter=live_display.ConsoleReporter())
    with side_by_side.watching(devices, is_quiet=is_quiet) as several:
        for event in events:
            if several:
                several.saw(event)
            if event is None:
                continue
            if event.kind == "refused":  # the others may fit
                console.note("; ".join(f"{event.cell.name}: {problem.message()}" for problem in event.problems))
                code = event.exit_code
            elif devices:
                code = _show_one_of_several(event, is_quiet=is_quiet) or code
            elif event.kind == "started":
                code = _show_cell(event, is_quiet=is_quiet, is_verbose=is_verbose) or code
    return code


def _show_one_of_several(event: "CellStarted | CellEnded", *, is_quiet: bool) -> int:
    """That a run began or ended, while others go on; the exit code of the whole if it failed, or was stopped."""
    from tunewright import api
    from tunewright.report import formatting

    channel = console.err()
    if event.kind == "started":
        if not is_quiet:
            plan_summary.labelled(channel, f"{event.number}/{event.total}", event.cell.name)
        return 0
    run = api.TrainedRun(event.run)
    if event.state != "finished":
        live_display.say_why(run)
    elif not is_quiet:
        state = formatting.label(formatting.STATES, event.state)
        channel.line(_("{name}: {state}").format(name=event.cell.name, state=state))
    return 0 if event.state == "finished" else EXIT_INTERRUPTED if event.state == "stopped" else EXIT_FAILED


def _show_cell(event: "CellStarted", *, is_quiet: bool, is_verbose: bool) -> int:
    """Show a run to its end; the exit code of the whole if it failed. Raises: typer.Exit when it is interrupted."""
    from tunewright import api

    channel = console.err()
    if not is_quiet:
        plan_summary.labelled(channel, f"{event.number}/{event.total}", event.cell.name)
    run = api.TrainedRun(event.run)
    code = live_display.see_through(run, is_quiet=is_quiet, is_verbose=is_verbose, is_json=True, after=event.last_seq)
    if code in (EXIT_INTERRUPTED, EXIT_TERMINATED):
        channel.line(_("Stopped at {name}. The same command goes on from here.").format(name=event.cell.name))
        raise typer.Exit(code)
    if code:
        live_display.say_why(run)
        return EXIT_FAILED
    return 0


def _measure_prompted(runs: "Sequence[TrainedRun]", shots: int | None, *, is_quiet: bool) -> None:
    """Measure the base model with training rows in its prompt, once; that it cannot be is printed and no error."""
    from tunewright import api

    with live_display.meter(_("Evaluating the base model with examples in its prompt"), is_quiet=is_quiet) as reporter:
        problems = api.measure_prompted(runs, shots, reporter=reporter)
    if problems:
        console.note("; ".join(problem.message() for problem in problems))


def _announced(cells: "Sequence[Cell]", folder: Path) -> str:
    """How many runs, how many of them are to be trained, how long that takes, where they go."""
    from tunewright.report import formatting

    plans = [cell.plan for cell in cells if cell.plan]
    finished = [cell for cell in cells if cell.run and cell.run.state() == "finished"]
    parts = [ngettext("{count} run", "{count} runs", len(cells)).format(count=len(cells))]
    if finished:
        parts.append(_("{count} of them finished").format(count=len(finished)))
    if plans and all(plan.time for plan in plans):
        seconds = sum(plan.time.seconds for plan in plans if plan.time)
        parts.append(_("about {time} for those not started").format(time=formatting.duration(seconds)))
    return " · ".join([*parts, plan_summary.shorten(folder.resolve())])


def _print(result: "ComparisonResult", page: Path, *, is_quiet: bool) -> None:
    channel = console.out()
    if is_quiet:
        recommended = result.choice.take or result.choice.best
        channel.line(plan_summary.one_line(recommended.name) if recommended else "")
        return
    _table(result, channel)
    channel.line()
    plan_summary.labelled(channel, _("Verdict"), result.verdict)
    differing = ", ".join(result.comparison.differing)
    if differing:
        plan_summary.labelled(channel, _("Differs"), differing)
    for note in result.notes:
        channel.paragraph(channel.paint(printable(note), "dim"), " " * plan_summary.LABEL, " " * plan_summary.LABEL)
    plan_summary.labelled(channel, _("Report"), plan_summary.shorten(page))


def _table(result: "ComparisonResult", channel: console.Channel) -> None:
    """Narrow columns, so that eight of them fit into a terminal of 80; long names continue on the next line."""
    from tunewright.report import formatting

    headings = result.headings
    heads = ["", "", *(headings[name] for name in ("difference", "seconds", "speed", "peak", "trained", "adapter")), ""]
    lines = result.lines
    cells = [
        [f"{line.score} {line.interval}".rstrip(), line.difference, _tight(line.seconds), line.speed, _tight(line.peak),
         _tight(line.trained), _tight(line.adapter), ""]
        for line in lines
    ]  # fmt: skip
    # The empty column at the end is the one that a table may break.
    used = sum(1 + max(map(columns_of, column)) for column in zip(heads[1:], *cells, strict=True))
    room = max(NARROWEST_NAME, channel.width - used) if channel.width else None
    rows: list[list[str]] = []
    for line, figures in zip(lines, cells, strict=True):
        style: tuple[console.ConsoleStyle, ...] = ("green", "bold") if line.is_recommended else ()
        first, *rest = (channel.paint(piece, *style) for piece in _in_pieces(printable(line.name), room))
        rows += [[first, *figures], *([piece, *[""] * len(figures)] for piece in rest)]
    channel.line(channel.paint(formatting.label(formatting.METRICS, result.comparison.metric), "dim"))
    console.table(channel, rows, heads, right=range(3, 8), gap=1)


def _tight(text: str) -> str:
    """A figure without what a narrow column has no room for: 1.9G, 2min05s."""
    return "".join(text.split()).replace("iB", "")


def _in_pieces(name: str, room: int | None) -> list[str]:
    """A name in pieces that fit, broken after hyphens and blanks where there are some."""
    if room is None or columns_of(name) <= room:
        return [name]
    pieces = [""]
    for part in re.findall(rf"[^- ]{{1,{room - 1}}}[- ]?", name) or [name[:room]]:
        if pieces[-1] and columns_of(pieces[-1] + part) > room:
            pieces.append("")
        pieces[-1] += part
    return pieces
