"""`tunewright config schema/validate/show`"""

from typing import Annotated

import typer

from tunewright.cli import again, options, show
from tunewright.cli.problems import printable
from tunewright.i18n import _

File = Annotated[str, typer.Argument(metavar="CONFIG.yaml", help=_("A config file."), show_default=False)]


def add_to(app: typer.Typer) -> None:
    group = options.branch(_("Check a config, show where its values come from, its JSON Schema"))
    group.command("validate", help=_("Check a config file without starting anything"))(validate)
    group.command("show", help=_("Every value with its origin"))(show_config)
    group.command("schema", help=_("JSON Schema of a config file, for editors"))(schema)
    app.add_typer(group, name="config")


def schema(as_json: options.Json = False) -> None:
    from tunewright import api

    found = api.config_schema()
    show.as_json({"schema": 1, "json_schema": found} if as_json else found)


def validate(file: File, sets: options.Sets = None, as_json: options.Json = False) -> None:
    from tunewright import api

    api.load(config=file, sets=sets or ())
    if as_json:
        show.as_json({"schema": 1, "valid": True, "path": file})
        return
    show.out().line(_("{path} is valid").format(path=file))
    show.next_steps((again.command("plan", again.operand(str(file))), _("what it would do")))


def show_config(file: File, sets: options.Sets = None, as_json: options.Json = False) -> None:
    from tunewright import api

    rows = api.config_rows(api.load(config=file, sets=sets or ()))
    if as_json:
        values = [{"path": row.path, "value": row.value, "origin": row.origin} for row in rows]
        show.as_json({"schema": 1, "values": values})
        return
    channel = show.out()
    origins = {"default": _("default")}
    cells = [
        (row.path, printable(api.words.plain(row.value)), channel.paint(origins.get(row.origin, row.origin), "dim"))
        for row in rows
    ]
    show.table(channel, cells)
