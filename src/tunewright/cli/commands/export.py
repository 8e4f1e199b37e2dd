"""`tunewright export`"""

from typing import Annotated

import typer

from tunewright.cli import console, options, paste_commands, plan_summary
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    app.command(help=_("The adapter as a folder for other machines"))(export)


def export(
    run: options.RunOrLastArgument = "last",
    folder: Annotated[
        str, typer.Option("-o", "--output", metavar="DIR", help=_("A new folder."), show_default=False)
    ] = "exported",
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    trained = api.open_run(run)
    base = trained.export(folder)
    if as_json:
        console.as_json({"schema": 1, "run": str(trained.path), "name": trained.name, "path": folder, **vars(base)})
        return
    channel = console.out()
    plan_summary.labelled(channel, _("Saved"), folder)
    plan_summary.labelled(channel, _("Model"), base.hub_id or base.note)
    files = paste_commands.command("verify", paste_commands.operand(folder))
    console.next_steps((files, _("check its files; README.md says how to load it")))
