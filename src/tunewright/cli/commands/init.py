"""`tunewright init`"""

from pathlib import Path
from typing import Annotated, Any

import typer

from tunewright.cli import again, options, show
from tunewright.cli.problems import printable
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
    task: options.Task = None,
    columns: options.Map = None,
    sets: options.Sets = None,
    force: Annotated[bool, typer.Option("--force", help=_("Write over an existing file."))] = False,
    as_json: options.Json = False,
) -> None:
    from tunewright import api
    from tunewright.errors import exists_already

    level: Any = preset
    asked: dict[str, Any] = {"task": task} if task else {}
    if mapping := options.mapping(columns):
        asked["data.map"] = mapping
    text, recognised = api.starter(model, data, level, sets=sets or (), **asked)
    path = Path(output or f"{Path(data).stem}.yaml")
    if path.exists() and not force:
        raise exists_already(path, force="--force")
    path.write_text(text, encoding="utf-8")
    if as_json:
        roles = dict(recognised.columns)
        show.as_json({"schema": 1, "path": str(path), "config": text, "format": recognised.name, "columns": roles})
        return
    show.note(printable(_("Recognised: {format}").format(format=recognised.describe())))
    show.out().line(str(path))
    file = again.operand(str(path))
    show.next_steps((again.command("plan", file), _("what it would do")), (again.command("train", file), _("do it")))
