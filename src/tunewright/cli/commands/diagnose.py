"""`tunewright diagnose`"""

from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, options, paste_commands, run_and_follow
from tunewright.cli.problem_display import print_problems, printable
from tunewright.i18n import _, ngettext
from tunewright.i18n import width as columns_of

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun
    from tunewright.cli.console import Channel, ConsoleStyle
    from tunewright.diagnose.rules import Diagnosis
    from tunewright.rundir.finding import Finding, Remedy

INDENT = " " * 6
COLORS: dict[str, "ConsoleStyle"] = {"error": "red", "warning": "yellow", "hint": "cyan"}


def add_to(app: typer.Typer) -> None:
    text = _("Why a run died, did not learn, overfitted, broke or was slow, and what helps")
    app.command(help=text, epilog=_("Example: tunewright diagnose last --apply"))(diagnose)


def diagnose(
    run: options.RunOrLastArgument = "last",
    apply: Annotated[
        bool,
        typer.Option("--apply", help=_("Train again, in a new run, with the first remedy of what matters most.")),
    ] = False,
    force: options.ForceFlag = False,
    detach: options.DetachFlag = False,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api

    if (force or detach) and not apply:
        raise typer.BadParameter(_("--force and --detach are for the run that --apply starts"))
    trained = api.open_run(run)
    diagnosis = api.diagnose(trained.dir)
    if apply:
        finding, remedy = diagnosis.first_remedy()
        loaded = api.remedied(trained, remedy)
        _print_changes(trained, finding, remedy, console.err())
        run_and_follow.run(loaded, force=force, detach=detach, is_json=as_json, is_quiet=False, is_verbose=False)
        return
    if as_json:
        console.as_json({"run": str(trained.path), "name": trained.name, **diagnosis.to_json()})
        return
    channel = console.out()
    for number, finding in enumerate(diagnosis.findings):
        if number:
            channel.line()
        _print(finding, channel)
    _print_rest(diagnosis, channel)


def _print_changes(run: "TrainedRun", finding: "Finding", remedy: "Remedy", channel: "Channel") -> None:
    """What was found, and the settings that the remedy changes: as they were, as they will be."""
    from tunewright import api

    _print_head(finding, channel)
    channel.paragraph(printable(remedy.message()), INDENT, INDENT + channel.paint(_("remedy:"), "green") + " ")
    rows = [
        (path, printable(api.as_text(was)), printable(api.as_text(now)))
        for path, (was, now) in api.changes_by(run, remedy).items()
    ]
    console.table(channel, rows, (_("setting"), _("was"), _("will be")), indent=INDENT)


def _print_head(finding: "Finding", channel: "Channel") -> None:
    from tunewright.report import formatting

    severity = formatting.label(formatting.SEVERITIES, finding.severity)
    head = f"{channel.paint(severity, COLORS[finding.severity], 'bold')} {channel.paint(finding.code, 'bold')}  "
    channel.paragraph(printable(finding.message()), INDENT, head)


def _print(finding: "Finding", channel: "Channel") -> None:
    """Code and figures, the cause with its confidence, each remedy with its command, which is never broken."""
    from tunewright.report import formatting

    _print_head(finding, channel)
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
