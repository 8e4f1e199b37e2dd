"""`tunewright verify`"""

from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli import console, live_display, options, plan_summary
from tunewright.cli.problem_display import printable
from tunewright.i18n import _, ngettext

if TYPE_CHECKING:
    from tunewright.api.run_handle import TrainedRun
    from tunewright.cli.console import Channel, ConsoleStyle
    from tunewright.errors import Problem
    from tunewright.extras.session_requests import ProofRecord
    from tunewright.rundir.integrity import IntegrityReport

FILES_NAMED = 5
COLORS: dict[str, "ConsoleStyle"] = {"ok": "green", "failed": "red", "not_applicable": "dim"}


def add_to(app: typer.Typer) -> None:
    app.command(
        help=_("Check the files against their checksums; with --numerics, fast paths against the plain computation")
    )(verify)


def verify(
    what: Annotated[
        str, typer.Argument(metavar="RUN | DIR", help=_("A run, or a folder that was copied from one."))
    ] = "last",
    numerics: Annotated[
        bool,
        typer.Option(
            "--numerics",
            help=_("Load the run's model and compare its fast paths with the plain computation on a few rows."),
        ),
    ] = False,
    as_json: options.JsonFlag = False,
) -> None:
    from tunewright import api
    from tunewright.errors import errors_of

    folders = api.verify(what)
    run = None if any(folder.kind == "folder" for folder in folders) else api.open_run(what)
    if numerics and run is None:
        raise typer.BadParameter(_("--numerics needs a run, as a folder alone has no model and no rows"))
    faults = _file_problems(folders, run) + _base_problems(folders)
    proof = _prove(run) if numerics and run and not faults else None
    if as_json:
        console.as_json(_json(folders, run, proof))
    else:
        _print(folders, run, console.out())
        if proof:
            _print_checks(proof, console.out())
    problems = faults or (_check_problems(proof) if proof else [])
    if problems:
        raise errors_of(problems)


def _prove(run: "TrainedRun") -> "ProofRecord":
    console.note(_("Loading the model of {name}").format(name=plan_summary.one_line(run.name)))
    try:
        with live_display.meter(_("Comparing")) as reporter:
            return run.prove(reporter)
    finally:
        run.close()


def _json(folders: "list[IntegrityReport]", run: "TrainedRun | None", proof: "ProofRecord | None") -> dict[str, object]:
    who = {"run": str(run.path), "name": run.name, "state": run.state} if run else {}
    sound = not any(folder.faults for folder in folders)
    proven = {"proven": not any(check["outcome"] == "failed" for check in proof["checks"]), **proof} if proof else {}
    return {"schema": 1, **who, "sound": sound, "folders": [folder.to_json() for folder in folders], **proven}


def _file_problems(folders: "list[IntegrityReport]", run: "TrainedRun | None") -> "list[Problem]":
    from tunewright.errors import Problem
    from tunewright.rundir.run_dir import RESUMABLE

    sealed = [folder for folder in folders if folder.kind != "base"]
    named = [f"{folder.path.name}/{fault.file}" for folder in sealed for fault in folder.faults]
    if not named:
        return []
    more = ", ..." if len(named) > FILES_NAMED else ""
    values = {"count": len(named), "files": ", ".join(named[:FILES_NAMED]) + more}
    can_go_on = run is not None and run.state in RESUMABLE
    return [Problem("E605", values=values | ({"name": run.name} if run and can_go_on else {}))]


def _base_problems(folders: "list[IntegrityReport]") -> "list[Problem]":
    """E516 for a base that is not the one of the training."""
    from tunewright.errors import Problem

    return [
        Problem("E516", values={"folder": str(folder.path), "what": _faults_of(folder)})
        for folder in folders
        if folder.kind == "base" and folder.faults
    ]


def _check_problems(proof: "ProofRecord") -> "list[Problem]":
    from tunewright.errors import Problem
    from tunewright.planning.fast_paths import PATHS

    checks = proof["checks"]
    failed = [check["name"] for check in checks if check["outcome"] == "failed"]
    if not failed:
        return []
    total = sum(check["outcome"] != "not_applicable" for check in checks)
    values = {"count": len(failed), "total": total, "checks": ", ".join(failed)}
    paths = [name for name in failed if name in PATHS]
    return [Problem("E606", values=values | ({"path": paths[0]} if paths else {}))]


def _print(folders: "list[IntegrityReport]", run: "TrainedRun | None", channel: "Channel") -> None:
    """Each sealed folder with its files, then each file that is not as it was."""
    from tunewright.report import formatting

    if run:
        plan_summary.labelled(
            channel, _("Run"), f"{plan_summary.one_line(run.name)} · {formatting.label(formatting.STATES, run.state)}"
        )
    if all(folder.kind == "base" for folder in folders):
        plan_summary.labelled(channel, _("Files"), _("nothing is sealed yet"))
    rows = [
        (
            _("base")
            if folder.kind == "base"
            else printable(folder.path.name if run else plan_summary.shorten(folder.path)),
            ngettext("{count} file", "{count} files", folder.files).format(count=folder.files),
            _faults_of(folder) or _("unchanged"),
        )
        for folder in folders
    ]
    console.table(channel, rows, indent=" " * plan_summary.LABEL)


def _faults_of(folder: "IntegrityReport") -> str:
    from tunewright.report import formatting

    return "; ".join(
        f"{printable(_(fault.file))}: {formatting.label(formatting.HARMS, fault.kind)}" for fault in folder.faults
    )


def _print_checks(proof: "ProofRecord", channel: "Channel") -> None:
    """Each equality with what was found, how much is allowed, and what that is a share of."""
    from tunewright.report import formatting

    rows, below = [], []
    for check in proof["checks"]:
        outcome = channel.paint(formatting.label(formatting.OUTCOMES, check["outcome"]), COLORS[check["outcome"]])
        rows.append((formatting.label(formatting.CHECKS, check["name"]), outcome, "", ""))
        below.append(printable(_(check["reason"])) if check["reason"] else "")
        for compared in check["compared"]:
            difference = formatting.DASH if compared["difference"] is None else f"{compared['difference']:.1e}"
            scale = formatting.label(formatting.COMPARED, compared["what"])
            rows.append((f"  {scale}", "", difference, f"{compared['tolerance']:.0e}"))
            below.append("")
    channel.line()
    header = (_("what must be equal"), "", _("differs by"), _("allowed"))
    console.table(channel, rows, header, right=(2, 3), below=below)
    count = ngettext("{count} row", "{count} rows", proof["rows"]).format(count=proof["rows"])
    channel.line()
    plan_summary.labelled(channel, _("Compared"), _("on {rows} of the training data, dropout off").format(rows=count))
