"""`tunewright eject`"""

import shlex
from typing import Annotated

import typer

from tunewright.cli import console, options
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    app.command(help=_("The same run as a plain PEFT script, with its rows"))(eject)


def eject(
    run: options.RunArgument,
    folder: Annotated[str, typer.Argument(metavar="DIR", help=_("A new folder."), show_default=False)],
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    trained = api.open_run(run)
    script = trained.eject(folder)
    if as_json:
        console.as_json(
            {
                "schema": 1,
                "run": str(trained.path),
                "name": trained.name,
                "script": str(script),
                "base": str(trained.base_folder),
            }
        )
        return
    console.out().line(str(script))
    words = ["python", str(script), "--base", str(trained.base_folder)]
    console.next_steps((shlex.join(words), _("the same run without Tunewright")))
