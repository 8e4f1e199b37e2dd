"""`tunewright report`"""

from typing import Annotated

import typer

from tunewright.cli import console, options, plan_summary
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    app.command(help=_("The report of a run: one self-contained HTML file"))(report)


def report(
    run: options.RunOrLastArgument = "last",
    output: Annotated[
        str | None, typer.Option("-o", "--output", help=_("Where to; report.html in the run if not given."))
    ] = None,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    trained = api.open_run(run)
    path = trained.report(output)
    if as_json:
        console.as_json({**api.summary(trained.dir), "report": str(path)})
    else:
        console.out().line(plan_summary.shorten(path))
