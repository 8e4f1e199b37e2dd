"""`tunewright env`"""

import typer

from tunewright.cli import console, options
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Versions and machine, for a bug report"))(env)


def env(as_json: options.JsonFlag = False) -> None:
    from tunewright import api

    record = api.environment()
    if as_json:
        console.as_json(record)
        return
    machine = {key: value for key, value in record["machine"].items() if key != "probe"}
    rows = [*record["versions"].items(), *((key, str(value)) for key, value in machine.items())]
    console.table(console.out(), rows)
