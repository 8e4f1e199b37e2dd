"""`tunewright export`"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, paste_commands, plan_summary
from tunewright.cli.commands.export_check import print_proof
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.extras.export.export_plan import ExportPlan
    from tunewright.extras.export.export_run import ExportResult

PLAIN, FOLDER = "peft", "exported"
ROWS = 40


def add_to(app: typer.Typer) -> None:
    check = _("tunewright export check FOLDER|URL --run RUN proves what is deployed already.")
    app.command(help=_("The adapter as a folder for other machines, or --to another engine's format"), epilog=check)(
        export
    )


def export(
    run: options.RunOrLastArgument = "last",
    folder: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help=_("A new folder; for the Hub the repository."), show_default=False
        ),
    ] = None,
    to: Annotated[
        str,
        typer.Option("--to", metavar="FORMAT", help=_("peft, gguf, ollama, vllm, mlx, onnx, openvino, ct2 or hub.")),
    ] = PLAIN,
    as_: Annotated[
        str | None,
        typer.Option("--as", metavar="WAY", help=_("merged: base and adapter as one model; adapter: for its base.")),
    ] = None,
    quant: Annotated[
        str | None, typer.Option("--quant", metavar="TYPE", help=_("Type of the weights; GGUF is q8_0 if not given."))
    ] = None,
    only_plan: Annotated[
        bool, typer.Option("--plan", help=_("Only say what would be written, and what would be refused."))
    ] = False,
    rows: Annotated[
        int, typer.Option("--rows", min=1, help=_("Held-out rows on which it is compared with the run."))
    ] = ROWS,
    no_check: Annotated[bool, typer.Option("--no-check", help=_("Do not compare it with the run."))] = False,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    trained = api.open_run(run)
    if to == "hub" and folder is None:
        raise typer.BadParameter(_("--to hub needs the repository: -o OWNER/NAME"))
    target = folder or (FOLDER if to == PLAIN else f"{trained.name}-{to}")
    if only_plan:
        _show_plan(api.plan_export(trained, to, target, as_=as_, quant=quant), as_json=as_json)
        return
    try:
        with live_display.meter(_("Exporting"), is_quiet=as_json) as reporter:
            result = trained.export(
                target, to, as_=as_, quant=quant, rows=rows, check=not no_check, reporter=reporter
            )  # fmt: skip
    finally:
        trained.close()
    if as_json:
        console.as_json(result.to_json())
    else:
        _show(result)


def _show_plan(plan: "ExportPlan", *, as_json: bool) -> None:
    """What would be done. Raises the refusals, after they are shown."""
    from tunewright.errors import errors_of
    from tunewright.report import formatting

    if as_json:
        console.as_json(plan.to_json())
    elif not plan.problems:
        channel = console.out()
        files = ", ".join(f"{file.name} ({formatting.size(file.bytes)})" for file in plan.files)
        what = _("{format}, {way}").format(format=plan.row.title, way=_way(plan))
        plan_summary.labelled(channel, _("Format"), f"{what}{f', {plan.quant}' if plan.quant else ''}")
        plan_summary.labelled(channel, _("Files"), _("about {files}").format(files=files))
        meanwhile = _("{size} on the disk meanwhile").format(size=formatting.size(plan.bytes + plan.scratch_bytes))
        time = _("about {time}").format(time=formatting.duration(plan.seconds))
        plan_summary.labelled(channel, _("Takes"), f"{time}, {meanwhile}")
        _notes(plan)
    if plan.problems:
        raise errors_of(plan.problems)


def _way(plan: "ExportPlan") -> str:
    return _("base and adapter as one model") if plan.merges else _("the adapter for its base")


def _notes(plan: "ExportPlan") -> None:
    from tunewright.i18n import Phrase

    for note in plan.notes:
        text = note.spoken() if isinstance(note, Phrase) else note
        plan_summary.labelled(console.out(), _("Note"), text)


def _show(result: "ExportResult") -> None:
    from tunewright.report import formatting

    channel = console.out()
    place = result.place if "://" in result.place else plan_summary.shorten(Path(result.place))
    size = formatting.size(sum(file.bytes for file in result.record.files.values()))
    plan_summary.labelled(channel, _("Saved"), f"{place} ({size}, {formatting.duration(result.seconds)})")
    _notes(result.plan)
    if result.proof:
        print_proof(result.proof, channel)
    if result.plan.row.name == PLAIN:
        plan_summary.labelled(channel, _("Model"), result.base.hub_id or result.base.note)
        files = paste_commands.command("verify", paste_commands.operand(place))
        console.next_steps((files, _("check its files; README.md says how to load it")))
    elif start := result.start_command():
        console.next_steps((start, _("starts it")))
