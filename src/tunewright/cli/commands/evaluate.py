"""`tunewright eval`"""

from typing import Annotated

import typer

from tunewright.cli import console, live_display, options, plan_summary
from tunewright.cli.commands.benchmark import measure
from tunewright.cli.problem_display import printable
from tunewright.i18n import N_, _, ngettext


def add_to(app: typer.Typer) -> None:
    app.command("eval", help=_("Evaluate base and tuned model again on the held-out rows"))(evaluate)


def evaluate(
    run: options.RunOrLastArgument = "last",
    rows: Annotated[int | None, typer.Option("--rows", min=0, help=_("How many rows are answered."), show_default=False)] = None,
    min_score: Annotated[
        list[str] | None,
        typer.Option(
            "--min-score", metavar="METRIC=VALUE", show_default=False,
            help=_("Exit with 8 if the tuned model is below, as in accuracy=0.9; can be repeated."),
        ),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            "--benchmark", metavar="TASK[,TASK]", show_default=False,
            help=_("Run lm-evaluation-harness tasks instead, on base and tuned model: what was forgotten?"),
        ),
    ] = None,
    include_path: Annotated[
        str | None,
        typer.Option("--include-path", metavar="FOLDER", help=_("Where more tasks for --benchmark are."), show_default=False),
    ] = None,
    online: Annotated[bool, typer.Option("--online", help=_("Let --benchmark fetch the data of its tasks."))] = False,
    samples: Annotated[int, typer.Option("--samples", min=0, help=_("How many answers are shown."))] = 3,
    as_json: options.JsonFlag = False,
) -> None:  # fmt: skip
    from tunewright import api
    from tunewright.errors import error, errors_of
    from tunewright.metrics.metric_table import metrics_of
    from tunewright.metrics.thresholds import missed, parse_minimum
    from tunewright.report import formatting

    if benchmark is not None:
        if min_score:
            raise error("E133", name="--min-score", reason=N_("is not for --benchmark"), value=min_score[0])
        measure(run, benchmark, rows=rows, folder=include_path, online=online, as_json=as_json)
        return
    if rows == 0 and min_score:
        reason = N_("without an answered row there is no score to check")
        fix = N_("leave --rows out, or answer at least one row: --rows 20")
        raise error("E109", first="--rows 0", second="--min-score", reason=reason, fix=fix)
    trained = api.open_run(run)
    problem_type = trained.plan.facts.data.problem_type
    thresholds = parse_minimum(min_score or (), metrics_of(trained.task, problem_type))
    console.note(_("Loading the model of {name}").format(name=plan_summary.one_line(trained.name)))
    try:
        with live_display.meter(_("Evaluating")) as reporter:
            scores = trained.evaluate(rows, reporter)
    finally:
        trained.close()
    if as_json:
        console.as_json({"schema": 1, "run": str(trained.path), "name": trained.name, **scores})
    else:
        channel = console.out()
        answered = ngettext("{count} row answered", "{count} rows answered", scores["rows"]).format(
            count=scores["rows"]
        )
        held_out = _("loss of {count} held-out rows").format(count=scores["held_out_rows"])
        plan_summary.labelled(channel, _("Rows"), f"{answered} · {held_out}")
        base = api.account(trained.dir).references[0]
        plan_summary.score_table(scores["before"], scores["after"], channel, base=base, baseline=scores.get("baseline"))
        is_number = problem_type == "regression"
        for sample in scores["samples"][:samples]:
            channel.line()
            for label, key in (
                (_("prompt"), "prompt"),
                (_("reference"), "reference"),
                (_("base"), "base"),
                (_("tuned"), "answer"),
            ):
                text = formatting.numeral(sample[key]) if is_number and key != "prompt" else printable(sample[key])
                plan_summary.labelled(channel, label, text)
    problems = missed(scores["after"], thresholds)
    if problems:
        raise errors_of(problems)
