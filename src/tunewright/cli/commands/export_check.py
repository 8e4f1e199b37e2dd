"""`tunewright export check`"""

from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, plan_summary
from tunewright.cli.problem_display import printable
from tunewright.i18n import _

if TYPE_CHECKING:
    from tunewright.cli.console import Channel, ConsoleStyle
    from tunewright.rundir.records import Proof

ROWS = 40
COLORS: "dict[str, ConsoleStyle]" = {"ok": "green", "failed": "red", "measured": "dim", "not_applicable": "dim"}


def add_to(app: typer.Typer) -> None:
    # One verb of two words: `export` itself takes a run, so that it cannot hold other verbs.
    app.command("export check", hidden=True, help=_("Whether what was deployed answers as the run"))(export_check)


def export_check(
    where: Annotated[
        str, typer.Argument(metavar="FOLDER | URL", help=_("An export with a GGUF file, or the address of a server."))
    ],
    run: Annotated[
        str, typer.Option("--run", metavar="RUN", help=_("Path, name, beginning of a name, or `last`."))
    ] = "last",
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help=_("What the server calls the model."), show_default=False)
    ] = "",
    api_key_file: Annotated[
        str | None, typer.Option("--api-key-file", metavar="FILE", help=_("A file with the key of the server."))
    ] = None,
    quant: Annotated[
        str | None,
        typer.Option(
            "--quant", metavar="TYPE", help=_("What the weights are in, where the server does not say: q4_k_m.")
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help=_("Held-out rows that are compared."))] = ROWS,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api
    from tunewright.errors import errors_of

    trained = api.open_run(run)
    console.note(_("Loading the model of {name}").format(name=plan_summary.one_line(trained.name)))
    try:
        with live_display.meter(_("Comparing")) as reporter:
            proof = api.check_export(
                trained, where, model=model, api_key_file=api_key_file, quant=quant, rows=rows, reporter=reporter
            )
    finally:
        trained.close()
    if as_json:
        console.as_json({**proof.to_stored(), "proven": not proof.failed})
    else:
        print_proof(proof, console.out())
    problem = api.proof_failure(proof)
    if problem:
        raise errors_of([problem])


def print_proof(proof: "Proof", channel: "Channel") -> None:
    """Each check with what was seen."""
    from tunewright import api

    title, lines = api.proof_lines(proof)
    plan_summary.labelled(channel, _("Checked"), printable(title))
    rows, below = [], []
    for check, (name, outcome, count, seen) in zip(proof.checks, lines, strict=True):
        rows.append((name, channel.paint(outcome, COLORS[check.outcome]), count))
        below.append(printable(seen))
    console.table(channel, rows, (_("what must be equal"), "", _("on")), right=(2,), below=below)
    if not proof.failed:
        plan_summary.labelled(channel, _("Verdict"), _("the deployed model answers as the run"))
