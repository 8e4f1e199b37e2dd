"""`tunewright config schema/validate/show`"""

from typing import Annotated

import typer

from tunewright.cli import console, options, paste_commands
from tunewright.cli.problem_display import printable
from tunewright.i18n import _

ConfigFileArgument = Annotated[str, typer.Argument(metavar="CONFIG.yaml", help=_("A config file."), show_default=False)]


def add_to(app: typer.Typer) -> None:
    group = options.branch(_("Check a config, show where its values come from, its JSON Schema"))
    group.command("validate", help=_("Check a config file without starting anything"))(validate)
    group.command("show", help=_("Every value with its origin"))(show_config)
    group.command("schema", help=_("JSON Schema of a config file, for editors"))(schema)
    app.add_typer(group, name="config")


def schema(as_json: options.JsonFlag = False) -> None:
    from tunewright import api

    json_schema = api.config_schema()
    console.as_json({"schema": 1, "json_schema": json_schema} if as_json else json_schema)


def validate(file: ConfigFileArgument, sets: options.SetFlag = None, as_json: options.JsonFlag = False) -> None:
    from tunewright import api

    api.load(config=file, sets=sets or ())
    if as_json:
        console.as_json({"schema": 1, "valid": True, "path": file})
        return
    console.out().line(_("{path} is valid").format(path=file))
    console.next_steps((paste_commands.command("plan", paste_commands.operand(str(file))), _("what it would do")))


def show_config(file: ConfigFileArgument, sets: options.SetFlag = None, as_json: options.JsonFlag = False) -> None:
    from tunewright import api
    from tunewright.report import formatting

    rows = api.config_rows(api.load(config=file, sets=sets or ()))
    if as_json:
        values = [{"path": row.path, "value": row.value, "origin": row.origin} for row in rows]
        console.as_json({"schema": 1, "values": values})
        return
    channel = console.out()
    origins = {"default": _("default")}
    cells = [
        (row.path, printable(formatting.plain(row.value)), channel.paint(origins.get(row.origin, row.origin), "dim"))
        for row in rows
    ]
    console.table(channel, cells)
