"""`tunewright report`"""

from typing import Annotated

import typer

from tunewright.cli import brief, options, show
from tunewright.i18n import _


def add_to(app: typer.Typer) -> None:
    app.command(help=_("The report of a run: one self-contained HTML file"))(report)


def report(
    run: options.RunOrLast = "last",
    output: Annotated[
        str | None, typer.Option("-o", "--output", help=_("Where to; report.html in the run if not given."))
    ] = None,
    as_json: options.Json = False,
) -> None:
    from tunewright import api

    found = api.open_run(run)
    path = found.report(output)
    if as_json:
        show.as_json({**api.summary(found.dir), "report": str(path)})
    else:
        show.out().line(brief.shorten(path))
