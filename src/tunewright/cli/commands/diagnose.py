"""`tunewright diagnose`"""

from typing import TYPE_CHECKING

import typer

from tunewright.cli import console, options, paste_commands
from tunewright.cli.problem_display import print_problems, printable
from tunewright.i18n import _, ngettext
from tunewright.i18n import width as columns_of

if TYPE_CHECKING:
    from tunewright.cli.console import Channel, ConsoleStyle
    from tunewright.diagnose.rules import Diagnosis
    from tunewright.rundir.finding import Finding

INDENT = " " * 6
COLORS: dict[str, "ConsoleStyle"] = {"error": "red", "warning": "yellow", "hint": "cyan"}


def add_to(app: typer.Typer) -> None:
    app.command(help=_("Why a run died, did not learn, overfitted, broke or was slow, and what helps"))(diagnose)


def diagnose(run: options.RunOrLastArgument = "last", as_json: options.JsonFlag = False) -> None:
    from tunewright import api

    trained = api.open_run(run)
    diagnosis = api.diagnose(trained.dir)
    if as_json:
        console.as_json({"run": str(trained.path), "name": trained.name, **diagnosis.to_json()})
        return
    channel = console.out()
    for number, finding in enumerate(diagnosis.findings):
        if number:
            channel.line()
        _print(finding, channel)
    _print_rest(diagnosis, channel)


def _print(finding: "Finding", channel: "Channel") -> None:
    """Code and figures, the cause with its confidence, each remedy with its command, which is never broken."""
    from tunewright.report import formatting

    severity = formatting.label(formatting.SEVERITIES, finding.severity)
    head = f"{channel.paint(severity, COLORS[finding.severity], 'bold')} {channel.paint(finding.code, 'bold')}  "
    channel.paragraph(printable(finding.message()), INDENT, head)
    sure = formatting.label(formatting.CONFIDENCES, finding.confidence)
    cause = _("{cause} ({sure})").format(cause=finding.cause(), sure=sure)
    labels = [_("cause:"), *[_("remedy:") if n == 0 else _("or:") for n in range(len(finding.remedies))]]
    width = max(columns_of(label) for label in labels) + 1
    channel.paragraph(cause, INDENT + " " * width, INDENT + channel.paint(console.pad(labels[0], width), "dim"))
    for label, remedy in zip(labels[1:], finding.remedies, strict=True):
        text = printable(remedy.message())
        channel.paragraph(text, INDENT + " " * width, INDENT + channel.paint(console.pad(label, width), "green"))
        channel.line(f"{INDENT}{' ' * width}{printable(paste_commands.named(remedy.command))}")


def _print_rest(diagnosis: "Diagnosis", channel: "Channel") -> None:
    """What was checked if there are no findings; why the run ended if no finding explains it."""
    problems = diagnosis.evidence.problems
    if not diagnosis.findings:
        if problems:
            print_problems(problems, channel)
        channel.paragraph(_("No problems found. Checked: {what}.").format(what=_looked_at(diagnosis)))
    else:
        console.err().line(channel.paint(paste_commands.command("explain", diagnosis.findings[0].code), "dim"))


def _looked_at(diagnosis: "Diagnosis") -> str:
    counts = diagnosis.looked_at()
    parts = [
        ngettext("{count} logged step", "{count} logged steps", counts["steps"]).format(count=counts["steps"]),
        ngettext("{count} held-out measurement", "{count} held-out measurements", counts["evaluations"]).format(
            count=counts["evaluations"]
        ),
        ngettext("{count} row", "{count} rows", counts["rows"]).format(count=f"{counts['rows']:,}"),
        ngettext("{count} answer", "{count} answers", counts["answers"]).format(count=counts["answers"]),
        _("memory, speed and how the run ended"),
    ]
    return ", ".join(parts)
