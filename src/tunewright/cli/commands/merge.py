"""`tunewright merge`"""

from pathlib import Path
from typing import Annotated

import typer

from tunewright.cli import console, live_display, options, paste_commands, plan_summary
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Base and adapter as one model, checked against the adapter's answers"))(merge)


def merge(
    run: options.RunOrLastArgument = "last",
    folder: Annotated[
        str | None, typer.Argument(metavar="DIR", help=_("Where to; merged/ in the run if not given."))
    ] = None,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api
    from tunewright.report import formatting

    trained = api.open_run(run)
    console.note(_("Loading the model of {name}").format(name=plan_summary.one_line(trained.name)))
    try:
        with live_display.meter(_("Merging")) as reporter:
            result = trained.merge(folder, reporter)
    finally:
        trained.close()
    if as_json:
        console.as_json({"schema": 1, "run": str(trained.path), "name": trained.name, **result})
        return
    channel = console.out()
    size = formatting.size(result["bytes"])
    where = f"{plan_summary.shorten(Path(result['path']))} ({size}, {_('bare transformers loads it')})"
    plan_summary.labelled(channel, _("Merged"), where)
    checked = _("{equal} of {total} greedy answers equal, largest logit difference {difference}")
    plan_summary.labelled(
        channel,
        _("Checked"),
        checked.format(
            equal=result["equal"], total=result["prompts"], difference=f"{result['max_logit_difference']:.1g}"
        ),
    )
    further = paste_commands.command(
        "train", paste_commands.operand(paste_commands.shorten(Path(result["path"]).absolute())), "my.jsonl"
    )
    steps = [(further, _("a model like any other: train on from it"))]
    formats = [row for row in api.export_formats() if trained.task in row.tasks and not row.is_plain]
    if formats:
        export = paste_commands.command("export", paste_commands.handle(trained), "--to", formats[0].name)
        names = ", ".join(row.title for row in formats)
        steps.append((export, _("for other engines: {names}").format(names=names)))
    console.next_steps(*steps)
