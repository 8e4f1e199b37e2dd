"""One run, live or ended: state, phases, curves, what was said, its log; stopping, going on and removing it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tunewright import api
from tunewright.errors import Problem, TrainingError
from tunewright.planning.run_plan import Plan
from tunewright.rundir import file_names
from tunewright.rundir.events import AlertEvent, NoteEvent
from tunewright.rundir.rank_files import RankState
from tunewright.rundir.run_dir import ENDED, LIVE, RESUMABLE, WAITING
from tunewright.rundir.run_progress import ProgressView
from tunewright.studio import rendering
from tunewright.studio.live import Watch
from tunewright.studio.pages import findings, run_rows
from tunewright.studio.state import studio_of

if TYPE_CHECKING:
    from tunewright.report.run_report import ReportSections

PHASES = ("prepare", "load", "rehearse", "evaluate_before", "train", "evaluate_after")


def show(request: Request) -> Response:
    """`/runs/{name}`: the same page while it runs and afterwards."""
    run = run_rows.run_named(request.path_params["name"])
    live = studio_of(request).live
    try:
        watch = live.watch(run)
        status = _status(watch)
    except TrainingError as fault:
        return rendering.page("damaged.html.j2", request, name=run.name, problems=fault.problems)
    sections, damage = _sections(watch)
    shown: dict[str, Any] = {**status, "has_adapter": run.adapter.is_dir()}
    if sections:
        shown = {**sections, **findings.cards(run, sections["findings"]), **shown}
        shown["problems"] = []  # the verdict names them
    return rendering.page("run.html.j2", request, **shown, damage=damage, log=_log(run))


def _sections(watch: Watch) -> "tuple[ReportSections | None, Sequence[Problem]]":
    """What the report shows of a run that ended, or why its files do not tell; neither before the end."""
    if watch.run.state not in ENDED:
        return None, ()
    try:
        return api.report_sections(watch.run.dir, watch.history), ()
    except TrainingError as fault:
        return None, fault.problems


class RunStatus(TypedDict):
    """What status.html.j2 shows of a run now."""

    run: api.TrainedRun
    name: str
    state: str
    is_live: bool
    is_waiting: bool
    goes_on: bool
    """Whether a button resumes it."""
    plan: Plan
    view: ProgressView
    phases: Sequence[tuple[str, str]]
    """Each with `done`, `now` or `next`."""
    seconds: Mapping[str, float]
    """By phase."""
    planned_seconds: float | None
    alerts: Sequence[Problem]
    notes: Sequence[NoteEvent]
    problems: Sequence[Problem]
    """Why it ended as it did."""
    ranks: Sequence[RankState]


def _status(watch: Watch) -> RunStatus:
    run, plan = watch.run, watch.run.plan
    state = run.state
    clock = watch.history.clock
    return {
        "run": run,
        "name": run.name,
        "state": state,
        "is_live": state in LIVE,
        "is_waiting": state == WAITING,
        "goes_on": state in RESUMABLE,
        "plan": plan,
        "view": watch.view,
        "phases": _rail(watch.view.phase, clock.ended, has_ended=state not in LIVE),
        "seconds": clock.seconds,
        "planned_seconds": plan.time.seconds if plan.time else None,
        "alerts": _alerts(watch),
        "notes": list(watch.history.notes.last),
        "problems": api.problems(run.dir) if state not in LIVE else [],
        "ranks": run.ranks(),
    }


def _rail(now: str, ended: Mapping[str, float], *, has_ended: bool) -> list[tuple[str, str]]:
    """Where each phase is; of a run that has ended those that there were."""
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
    live = studio_of(request).live

    def look() -> tuple[str, str]:
        watch = live.watch(run)
        position = watch.look()  # before the text is made: what comes meanwhile makes another state
        status = _status(watch)
        text = rendering.html("status.html.j2", request, **status)
        is_over = not status["is_live"] and not status["is_waiting"]
        return ("" if is_over else f"{position} {status['state']}"), text

    return live.stream(look)


def curve(request: Request) -> Response:
    """`/runs/{name}/curve`: the curves so far as JSON."""
    run = run_rows.run_named(request.path_params["name"])
    watch = studio_of(request).live.watch(run)
    record = api.account(run.dir, watch.history)
    return JSONResponse({**api.curves(record), "state": record.state, "promised_steps": record.plan.num_steps})


def log(request: Request) -> Response:
    """`/runs/{name}/log`: the last lines of the log that hold `q`; the whole file with `download`."""
    run = run_rows.run_named(request.path_params["name"])
    if request.query_params.get("download"):
        headers = rendering.attachment(f"{run.name}.{file_names.LOG}")
        # Not a FileResponse: it promises the length, and the log of a live run grows meanwhile.
        return StreamingResponse(api.log_blocks(run), media_type="text/plain; charset=utf-8", headers=headers)
    word = request.query_params.get("q", "")
    return rendering.page("log.html.j2", request, name=run.name, log=_log(run, word))


def _log(run: api.TrainedRun, word: str = "") -> dict[str, object]:
    return {"word": word, "end": api.read_log(run, word)}


def stop(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/stop`: save and end, with `now` end at once; what waits leaves the queue."""
    run = run_rows.run_named(request.path_params["name"])
    run.stop(now=rendering.text_of(form, "now") == "yes")
    return rendering.see(request, rendering.run_address(run.name))


def resume(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/resume`: go on from the last checkpoint."""
    run = run_rows.run_named(request.path_params["name"])
    with studio_of(request).starting(rendering.text_of(form, "form_id")) as is_first:
        if is_first:
            api.resume(str(run.path))
    return rendering.see(request, rendering.run_address(run.name))


def report(request: Request) -> Response:
    """`/runs/{name}/report`: the report as the file that it is, to be kept."""
    run = run_rows.run_named(request.path_params["name"])
    text = api.report_text(run)
    return Response(text, media_type="text/html; charset=utf-8", headers=rendering.attachment(f"{run.name}.html"))


ROUTES = [
    Route("/runs/{name}", show),
    Route("/runs/{name}/stream", stream),
    Route("/runs/{name}/curve", curve),
    Route("/runs/{name}/log", log),
    Route("/runs/{name}/report", report),
    Route("/runs/{name}/stop", rendering.posted(stop), methods=["POST"]),
    Route("/runs/{name}/resume", rendering.posted(resume), methods=["POST"]),
]
