"""`tunewright init`"""

from pathlib import Path
from typing import Annotated, Any

import typer

from tunewright.cli import console, options, paste_commands
from tunewright.cli.problem_display import printable
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Write a commented config for a model and data"))(init)


def init(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help=_("A built-in name, a folder, a GGUF file or a Hub id."))
    ],
    data: Annotated[str, typer.Argument(metavar="DATA", help=_("A file, a folder or a Hub id."))],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help=_("The file; by default named after the data."))
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", help=_("How hard the task is: simple, medium or complex."))
    ] = "medium",
    task: options.TaskFlag = None,
    columns: options.MapFlag = None,
    sets: options.SetFlag = None,
    force: Annotated[bool, typer.Option("--force", help=_("Overwrite an existing file."))] = False,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    level: Any = preset
    path = Path(output or f"{Path(data).stem}.yaml")
    target = api.output_file(path, force=force)
    settings: dict[str, object] = {"task": task} if task else {}
    if mapping := options.mapping(columns):
        settings["data.map"] = mapping
    text, data_format = api.starter(model, data, level, sets=sets or (), **settings)
    api.write_file(target, text)
    if as_json:
        roles = dict(data_format.columns)
        console.as_json({"schema": 1, "path": str(path), "config": text, "format": data_format.name, "columns": roles})
        return
    console.note(printable(_("Recognised: {format}").format(format=data_format.describe())))
    console.out().line(str(path))
    file = paste_commands.operand(str(path))
    console.next_steps(
        (paste_commands.command("plan", file), _("what it would do")),
        (paste_commands.command("train", file), _("do it")),
    )
