"""`tunewright env`"""

import typer

from tunewright.cli import console, options
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Versions and machine, for a bug report"))(env)


def env(as_json: options.JsonFlag = False) -> None:
    from tunewright import api

    found = api.environment()
    if as_json:
        console.as_json(found)
        return
    machine = {key: value for key, value in found["machine"].items() if key != "probe"}
    rows = [*found["versions"].items(), *((key, str(value)) for key, value in machine.items())]
    console.table(console.out(), rows)
