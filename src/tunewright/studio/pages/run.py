"""One run, live or ended: state, phases, curves, what was said, its log; stopping, going on and removing it."""

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tunewright import api
from tunewright.errors import Problem, TrainingError
from tunewright.rundir import file_names
from tunewright.rundir.events import AlertEvent
from tunewright.rundir.run_dir import ENDED, LIVE, WAITING
from tunewright.studio import rendering
from tunewright.studio.live import Watch
from tunewright.studio.pages import findings, run_rows

PHASES = ("prepare", "load", "rehearse", "evaluate_before", "train", "evaluate_after")
LOG_LINES = 400
GOES_ON = ("stopped", "failed", "lost")


def show(request: Request) -> Response:
    """`/runs/{name}`: the same page while it runs and afterwards."""
    run = run_rows.run_named(request.path_params["name"])
    live = request.app.state.studio.live
    try:
        watch = live.watch(run)
        values = _values(watch)
    except TrainingError as fault:
        return rendering.page("damaged.html.j2", request, name=run.name, problems=fault.problems)
    sections = _sections(watch)
    if "record" in sections:
        values["problems"] = []  # the verdict names them
    return rendering.page("run.html.j2", request, **{**sections, **values}, log=_log(run, ""))


def _sections(watch: Watch) -> dict[str, object]:
    """What the report shows of a run that ended; `damage` where its files do not tell, nothing before the end."""
    if watch.run.state not in ENDED:
        return {"damage": []}
    try:
        sections = api.report_sections(watch.run.dir, watch.history)
    except TrainingError as fault:
        return {"damage": list(fault.problems)}
    return {"damage": [], **sections, **findings.values(watch.run, sections["findings"])}


def _values(watch: Watch) -> dict[str, Any]:
    """What the page shows of a run now."""
    run, plan = watch.run, watch.run.plan
    state = run.state
    clock = watch.history.clock
    return {
        "run": run,
        "name": run.name,
        "state": state,
        "is_live": state in LIVE,
        "is_waiting": state == WAITING,
        "goes_on": state in GOES_ON,
        "plan": plan,
        "view": watch.view,
        "phases": _rail(watch.view.phase, clock.ended, has_ended=state not in LIVE),
        "seconds": clock.seconds,
        "promised": plan.time.seconds if plan.time else None,
        "alerts": _alerts(watch),
        "notes": list(watch.history.notes.last),
        "problems": api.problems(run.dir) if state not in LIVE else [],
        "ranks": run.ranks(),
    }


def _rail(now: str, ended: Mapping[str, float], *, has_ended: bool) -> list[tuple[str, str]]:
    """Each phase with `done`, `now` or `next`; of a run that has ended those that there were."""
    rail = [
        (phase, "now" if phase == now and not has_ended else "done" if phase in ended else "next") for phase in PHASES
    ]
    return [(phase, when) for phase, when in rail if when != "next" or not has_ended]


def _alerts(watch: Watch) -> list[Problem]:
    """What was wrong, each code once, the last of its kind."""
    last: dict[str, AlertEvent] = {event.problem.code: event for event in watch.history.alerts.last}
    return [event.problem for event in last.values()]


def stream(request: Request) -> Response:
    """`/runs/{name}/stream`: the state of a run whenever it changes; ends with the run."""
    run = run_rows.run_named(request.path_params["name"])
    live = request.app.state.studio.live

    def look() -> tuple[str, str]:
        watch = live.watch(run)
        position = watch.look()  # before the text is made: what comes meanwhile makes another state
        values = _values(watch)
        text = rendering.html("status.html.j2", request, **values)
        is_over = not values["is_live"] and not values["is_waiting"]
        return ("" if is_over else f"{position} {values['state']}"), text

    response: Response = live.stream(look)
    return response


def curve(request: Request) -> Response:
    """`/runs/{name}/curve`: the curves so far as JSON."""
    run = run_rows.run_named(request.path_params["name"])
    watch = request.app.state.studio.live.watch(run)
    record = api.account(run.dir, watch.history)
    return JSONResponse({**api.curves(record), "state": record.state, "promised_steps": record.plan.num_steps})


def log(request: Request) -> Response:
    """`/runs/{name}/log`: the last lines of the log that hold `q`; the whole file with `download`."""
    run = run_rows.run_named(request.path_params["name"])
    if request.query_params.get("download"):
        name = f"{run.name}.{file_names.LOG}"
        headers = {"content-disposition": f"attachment; filename*=UTF-8''{rendering.quoted(name)}"}
        return PlainTextResponse("\n".join(api.log_lines(run)), headers=headers)
    word = request.query_params.get("q", "")
    return rendering.page("log.html.j2", request, name=run.name, log=_log(run, word))


def _log(run: api.TrainedRun, word: str) -> dict[str, object]:
    lines = [line for line in api.log_lines(run) if word.lower() in line.lower()]
    return {"word": word, "lines": lines[-LOG_LINES:], "num_older": max(0, len(lines) - LOG_LINES)}


def stop(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/stop`: save and end, with `now` end at once; what waits leaves the queue."""
    run = run_rows.run_named(request.path_params["name"])
    run.stop(now=rendering.text_of(form, "now") == "yes")
    return rendering.see(request, f"/runs/{rendering.quoted(run.name)}")


def resume(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/resume`: go on from the last checkpoint."""
    run = run_rows.run_named(request.path_params["name"])
    with request.app.state.studio.starting(rendering.text_of(form, "form_id")) as is_first:
        if is_first:
            api.resume(str(run.path))
    return rendering.see(request, f"/runs/{rendering.quoted(run.name)}")


def report(request: Request) -> Response:
    """`/runs/{name}/report`: the report as the file that it is, to be kept."""
    run = run_rows.run_named(request.path_params["name"])
    text = api.report_text(run)
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{rendering.quoted(run.name)}.html"}
    return Response(text, media_type="text/html; charset=utf-8", headers=headers)


ROUTES = [
    Route("/runs/{name}", show),
    Route("/runs/{name}/stream", stream),
    Route("/runs/{name}/curve", curve),
    Route("/runs/{name}/log", log),
    Route("/runs/{name}/report", report),
    Route("/runs/{name}/stop", rendering.posted(stop), methods=["POST"]),
    Route("/runs/{name}/resume", rendering.posted(resume), methods=["POST"]),
]
