"""`tunewright eval RUN --benchmark TASK`: the part of the verb that needs lm-evaluation-harness."""

from tunewright.cli import again, brief, live, show
from tunewright.cli.problems import printable
from tunewright.i18n import _


def measure(name: str, tasks: str, *, rows: int | None, folder: str | None, online: bool, as_json: bool) -> None:
    """Run the tasks on base and tuned model and show both side by side."""
    from tunewright import api

    run = api.open_run(name)
    show.note(_("Loading the model of {name}").format(name=brief.one_line(run.name)))
    names = [task.strip() for task in tasks.split(",") if task.strip()]
    with live.meter(_("Measuring")) as progress:
        found = run.benchmark(names, rows=rows, include_path=folder, online=online, progress=progress)
    lines = api.benchmark_lines(found)
    if as_json:
        shown = {"run": str(run.path), "name": run.name, **found, "lines": [line.to_json() for line in lines]}
        show.as_json({"schema": 1, **shown})
        return
    channel = show.out()
    header = (_("Task"), _("Metric"), _("base"), _("tuned"), "")
    show.table(channel, [tuple(map(printable, line.cells())) for line in lines], header, right=(2, 3))
    channel.line()
    channel.paragraph(_("± is the standard error. A difference is named if 95 % of chance does not explain it."))
    kept = brief.shorten(run.dir.benchmark_path)
    report = again.command("report", again.handle(run))
    show.note(_("Kept in {path}; `{command}` shows it.").format(path=kept, command=report))
