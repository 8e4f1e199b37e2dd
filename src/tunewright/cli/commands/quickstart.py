"""`tunewright quickstart`"""

from typing import Annotated

import typer

from tunewright.cli import options, show, start
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Train, test and compare a small model on a built-in task, in minutes"))(quickstart)


def quickstart(
    seed: Annotated[int, typer.Option("--seed", help=_("Seed of the generated data and of the training."))] = 42,
    sets: options.Sets = None,
    detach: options.Detach = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    from tunewright import api

    if not quiet:
        show.note(
            _("The data of this task are generated here: they show that training works, not how well it does on yours.")
        )
    loaded = api.quickstart_request(seed, sets or ())
    start.run(loaded, force=force, detach=detach, is_json=as_json, is_quiet=quiet, is_verbose=verbose, is_demo=True)
