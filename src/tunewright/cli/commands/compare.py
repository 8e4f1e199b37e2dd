"""`tunewright compare`"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, plan_summary
from tunewright.cli.problem_display import printable
from tunewright.errors.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED
from tunewright.i18n import _, ngettext
from tunewright.i18n import width as columns_of

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun
    from tunewright.extras.comparison.comparison_result import ComparisonResult
    from tunewright.extras.comparison.grid import Cell, Grid

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
    bool, typer.Option("--full", help=_("Train every linear layer as a whole, too: full fine-tuning, for comparison."))
]
ShotsFlag = Annotated[
    int | None,
    typer.Option(
        "--shots", metavar="N", min=0, help=_("Ask the base model with N training rows in its prompt, too (causal_lm)."),
        show_default=_("3 where runs are trained"),
    ),
]  # fmt: skip


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

    code, is_left_open = 0, shots is None
    if ranks or methods or grid or full or seeds > 1:
        config, named = options.inputs_of(words, {"run.offline": offline})
        asked = api.Grid(config, named, sets or (), _names(methods), _ranks(ranks), _axes(grid), seeds, full)
        folder = Path(output) if output else api.cells_folder(asked)
        api.check_page(folder / PAGE)
        shown = {"is_json": as_json, "is_quiet": quiet, "is_verbose": verbose}
        code = _train(asked, folder, force=force, **shown)
        runs = api.runs(folder)
        shots = api.SHOTS if is_left_open else shots
    else:
        runs = [run for word in words for run in _found(word)]
        folder = Path(output) if output else _common_folder(runs)
        api.check_page(folder / PAGE)
    if shots:
        _ask_with_examples([run for run in runs if not is_left_open or run.task == "causal_lm"], shots, is_quiet=quiet)
    compared = api.compare_runs(runs, shots=shots)
    page = compared.report(folder.resolve() / PAGE)
    if as_json:
        console.as_json({**compared.to_json(), "report": str(page)})
    else:
        _print(compared, page, is_quiet=quiet)
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


def _axes(texts: Sequence[str] | None) -> dict[str, list[str]]:
    """PATH=V,V texts; commas in brackets belong to a value."""
    from tunewright import api

    found = {}
    for text in texts or ():
        path, equals, values = text.partition("=")
        if not (path and equals and values):
            raise typer.BadParameter(
                _('--grid takes PATH=VALUE,VALUE, as in --grid train.learning_rate=1e-4,3e-4, not "{text}"').format(
                    text=text
                )
            )
        found[path] = api.split_values(values)
    return found


def _found(word: str) -> list["TrainedRun"]:
    """The run of a word; all runs of a folder that holds some."""
    from tunewright import api

    inside = api.runs(word) if Path(word).is_dir() else []
    return inside or [api.open_run(word)]


def _common_folder(runs: "Sequence[TrainedRun]") -> Path:
    """The folder that all runs lie in, else this one."""
    parents = {run.path.parent for run in runs}
    return parents.pop() if len(parents) == 1 else Path.cwd()


def _train(asked: "Grid", folder: Path, *, force: bool, is_json: bool, is_quiet: bool, is_verbose: bool) -> int:
    """Train what is not trained yet, one run after another; the exit code. Raises: typer.Exit when it is interrupted."""
    from tunewright import api
    from tunewright.errors import ResourceError

    with live_display.meter(_("Looking at the data"), is_quiet=is_quiet) as progress:
        cells = api.plan_cells(asked, folder, note=console.note, progress=progress)
    channel = console.err()
    if not is_quiet:
        plan_summary.labelled(channel, _("Compare"), _announced(cells, folder))
    code = 0
    for number, cell in enumerate(cells, 1):
        known = max((event["seq"] for event in cell.run.read_events()), default=-1) if cell.run else -1
        try:
            begun = api.begin_cell(cell, force=force, note=console.note)
        except ResourceError as fault:  # the others may fit
            console.note("; ".join(f"{cell.name}: {problem.message()}" for problem in fault.problems))
            code = fault.exit_code
            continue
        if begun is None:
            continue
        if not is_quiet:
            plan_summary.labelled(channel, f"{number}/{len(cells)}", cell.name)
        run = api.TrainedRun(begun)
        ended = live_display.see_through(run, is_quiet=is_quiet, is_verbose=is_verbose, is_json=True, after=known)
        if ended in (EXIT_INTERRUPTED, EXIT_TERMINATED):
            channel.line(_("Stopped at {name}. The same command goes on from here.").format(name=cell.name))
            raise typer.Exit(ended)
        if ended:
            live_display.say_why(run)
            code = EXIT_FAILED
    return code


def _ask_with_examples(runs: "Sequence[TrainedRun]", shots: int, *, is_quiet: bool) -> None:
    """Measure the base model with training rows in its prompt, once; where it cannot be, that is said and is no fault."""
    from tunewright.errors import TunewrightError, of_system

    ends = [run for run in runs if run.state == "finished"]
    if not ends or any(run.dir.prompted().get("asked") == shots for run in ends):
        return
    with live_display.meter(_("Asking the base model with examples in its prompt"), is_quiet=is_quiet) as progress:
        try:
            ends[0].prompted(shots, progress)
        except TunewrightError as fault:
            console.note("; ".join(problem.message() for problem in fault.problems))
        except OSError as fault:  # the runs may lie on a disk that is full, or only read
            console.note("; ".join(problem.message() for problem in of_system(fault, ends[0].path).problems))
        finally:
            ends[0].close()


def _announced(cells: "Sequence[Cell]", folder: Path) -> str:
    """How many runs, how many of them are to be trained, how long that takes, where they go."""
    from tunewright.report import formatting

    new = [cell.plan for cell in cells if cell.plan]
    ends = [cell for cell in cells if cell.run and cell.run.state() == "finished"]
    parts = [ngettext("{count} run", "{count} runs", len(cells)).format(count=len(cells))]
    if ends:
        parts.append(_("{count} of them finished").format(count=len(ends)))
    if new and all(plan.time for plan in new):
        seconds = sum(plan.time.seconds for plan in new if plan.time)
        parts.append(_("about {time} for what was not begun").format(time=formatting.duration(seconds)))
    return " · ".join([*parts, plan_summary.shorten(folder.resolve())])


def _print(compared: "ComparisonResult", page: Path, *, is_quiet: bool) -> None:
    channel = console.out()
    if is_quiet:
        taken = compared.choice.take or compared.choice.best
        channel.line(plan_summary.one_line(taken.name) if taken else "")
        return
    _table(compared, channel)
    channel.line()
    plan_summary.labelled(channel, _("Verdict"), compared.verdict)
    differing = ", ".join(compared.found.differing)
    if differing:
        plan_summary.labelled(channel, _("Differs"), differing)
    for note in compared.notes:
        channel.paragraph(channel.paint(printable(note), "dim"), " " * plan_summary.LABEL, " " * plan_summary.LABEL)
    plan_summary.labelled(channel, _("Report"), plan_summary.shorten(page))


def _table(compared: "ComparisonResult", channel: console.Channel) -> None:
    """Narrow columns, so that eight of them fit into a terminal of 80; names go on in the next line where they must."""
    from tunewright import api
    from tunewright.report import formatting

    heads = [
        "",
        "",
        *(_(api.HEADS[name]) for name in ("difference", "seconds", "speed", "peak", "trained", "adapter")),
        "",
    ]
    lines = compared.lines
    cells = [
        [f"{line.score} {line.interval}".rstrip(), line.difference, _tight(line.seconds), line.speed, _tight(line.peak),
         _tight(line.trained), _tight(line.adapter), ""]
        for line in lines
    ]  # fmt: skip
    # The empty column at the end is the one that a table may break.
    taken = sum(1 + max(map(columns_of, column)) for column in zip(heads[1:], *cells, strict=True))
    room = max(NARROWEST_NAME, channel.width - taken) if channel.width else None
    rows: list[list[str]] = []
    for line, figures in zip(lines, cells, strict=True):
        style: tuple[console.ConsoleStyle, ...] = ("green", "bold") if line.is_taken else ()
        first, *rest = (channel.paint(piece, *style) for piece in _in_pieces(printable(line.name), room))
        rows += [[first, *figures], *([piece, *[""] * len(figures)] for piece in rest)]
    channel.line(channel.paint(formatting.label(formatting.METRICS, compared.found.metric), "dim"))
    console.table(channel, rows, heads, right=range(3, 8), gap=1)


def _tight(text: str) -> str:
    """A figure without what a narrow column has no room for: 1.9G, 2min05s."""
    return "".join(text.split()).replace("iB", "")


def _in_pieces(name: str, room: int | None) -> list[str]:
    """A name in pieces that fit, broken behind hyphens and blanks where there are some."""
    if room is None or columns_of(name) <= room:
        return [name]
    pieces = [""]
    for part in re.findall(rf"[^- ]{{1,{room - 1}}}[- ]?", name) or [name[:room]]:
        if pieces[-1] and columns_of(pieces[-1] + part) > room:
            pieces.append("")
        pieces[-1] += part
    return pieces
