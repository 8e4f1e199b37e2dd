"""`tunewright eval RUN --benchmark TASK`: the part of the verb that needs lm-evaluation-harness."""

from tunewright.cli import console, live_display, paste_commands, plan_summary
from tunewright.cli.problem_display import printable
from tunewright.i18n import _


def measure(name: str, tasks: str, *, rows: int | None, folder: str | None, online: bool, as_json: bool) -> None:
    """Run the tasks on base and tuned model and show both side by side."""
    from tunewright import api

    run = api.open_run(name)
    console.note(_("Loading the model of {name}").format(name=plan_summary.one_line(run.name)))
    names = [task.strip() for task in tasks.split(",") if task.strip()]
    with live_display.meter(_("Evaluating")) as reporter:
        result = run.benchmark(names, rows=rows, include_path=folder, online=online, reporter=reporter)
    lines = api.benchmark_lines(result)
    if as_json:
        record = {"run": str(run.path), "name": run.name, **result, "lines": [line.to_json() for line in lines]}
        console.as_json({"schema": 1, **record})
        return
    channel = console.out()
    header = (_("Task"), _("Metric"), _("base"), _("tuned"), "")
    console.table(channel, [tuple(map(printable, line.cells())) for line in lines], header, right=(2, 3))
    channel.line()
    channel.paragraph(
        _(
            "± is the standard error. A difference is marked if it is outside the range that chance "
            "covers in 95 % of cases."
        )
    )
    path = plan_summary.shorten(run.dir.benchmark_path)
    report = paste_commands.command("report", paste_commands.handle(run))
    console.note(_("Kept in {path}; `{command}` shows it.").format(path=path, command=report))
