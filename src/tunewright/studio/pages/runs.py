"""The first page: what runs now, what waits, and all runs; on the first start two buttons and what the machine can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.api.waiting_runs import QueueState
from tunewright.config.load_config import LoadedConfig
from tunewright.errors import TrainingError
from tunewright.i18n import N_
from tunewright.inspection.builtin_models import DEFAULT_MODEL
from tunewright.rundir.run_dir import LIVE
from tunewright.rundir.run_progress import ProgressView
from tunewright.studio import model_fetch, rendering
from tunewright.studio.model_fetch import ModelFetch
from tunewright.studio.pages import run_rows
from tunewright.studio.pages.run_rows import RunRow
from tunewright.studio.state import Studio, studio_of

DEMO_ASKED = "/?try=yes"  # the first page where the demo is to begin as soon as its model has come
FILTERS = {"state": N_("State"), "task": N_("Task"), "model": N_("Model"), "data": N_("Data")}


class RunList(TypedDict):
    """What run_list.html.j2 shows."""

    rows: Sequence[RunRow]
    num_all: int
    filters: Mapping[str, str]


@dataclass(frozen=True)
class Demo:
    """The demo on the first page: its model, and what there is of the download of one that is not here.

    `after` is the id of the download after which the page goes on by itself, as the demo was asked for.
    """

    status: api.BuiltinModelStatus
    fetch: ModelFetch | None
    is_asked: bool
    after: str


@dataclass(frozen=True)
class RunningRun:
    """A run with its last figures; `is_here` tells whether it has a page in this folder."""

    run: api.TrainedRun
    state: str
    view: ProgressView
    is_here: bool


@dataclass(frozen=True)
class WaitingRun:
    """A run of the queue, and how long it takes by its plan."""

    run: api.TrainedRun
    seconds: float | None


@dataclass(frozen=True)
class Now:
    """What runs and what waits."""

    running: Sequence[RunningRun]
    waiting: Sequence[WaitingRun]
    queue: QueueState


def show(request: Request) -> Response:
    """`/`: runs and queue; of htmx the list alone is asked for, or the demo of the first page."""
    if rendering.is_partial(request) and request.headers.get("hx-target", "").endswith("#demo"):
        return rendering.page("first_demo.html.j2", request, demo=_demo(request))
    filters = {key: request.query_params.get(key, "") for key in (*FILTERS, "q")}
    every = run_rows.rows({})
    left_out = run_rows.left_out()
    listed: RunList = {"rows": run_rows.matching(every, filters), "num_all": len(every), "filters": filters}
    if rendering.is_partial(request) and request.headers.get("hx-target", "").endswith("run-list"):
        return rendering.page("run_list.html.j2", request, **listed)
    if not every and not left_out:
        return rendering.page("first.html.j2", request, machine=api.environment()["machine"], demo=_demo(request))
    return rendering.page(
        "runs.html.j2",
        request,
        **listed,
        left_out=left_out,
        names=FILTERS,
        choices=run_rows.choices(every),
        now=_now(request),
    )


def _demo(request: Request) -> Demo:
    fetch, is_asked = model_fetch.needed(DEFAULT_MODEL), request.query_params.get("try") == "yes"
    work = api.last_fetch(DEFAULT_MODEL) if is_asked and fetch is None else None
    after = work.id if work and work.state == "done" and _may_follow(work.record().led_to) else ""
    return Demo(api.builtin_models()[DEFAULT_MODEL], fetch, is_asked, after)


def _may_follow(led_to: str) -> bool:
    """Whether a page may go on after a download: to a run that begins now, or to the one that another page began here."""
    return not led_to or _is_here(Path(led_to))


def _is_here(run: Path) -> bool:
    return run in {listed.path.resolve() for listed in run_rows.every()}


def stream(request: Request) -> Response:
    """`/stream`: the runs of now and the queue, whenever something of it changes."""
    live = studio_of(request).live

    def look() -> tuple[str, str]:
        text = rendering.html("now.html.j2", request, now=_now(request))
        return text, text

    return live.stream(look)


def _now(request: Request) -> Now:
    queue, here = api.queue(), run_rows.every()
    live = {run.path: run for run in queue.running} | {run.path: run for run in here if run.state in LIVE}
    places = {run.path for run in here}
    running = []
    for path, run in sorted(live.items()):
        try:
            watch = studio_of(request).live.watch(run)
        except TrainingError:
            continue  # damaged: the list says so
        running.append(RunningRun(run, run.state, watch.view, path in places))
    return Now(running, [WaitingRun(run, api.planned_seconds(run)) for run in queue.waiting], queue)


def start_demo(request: Request, form: FormData) -> Response:
    """`POST /demo`: the generated task, at once or, where something runs, as soon as it has ended.

    Its model is downloaded first, with `stop` no more; after one download it begins once, from however many pages.
    """
    page = "/" if rendering.text_of(form, "stop") else DEMO_ASKED
    if answer := model_fetch.answer(request, form, DEFAULT_MODEL, page):
        return answer
    form_id = rendering.text_of(form, "form_id")
    work = api.last_fetch(DEFAULT_MODEL)
    if work is not None and work.id == form_id:
        run = api.run_after(work, lambda: _begun(studio_of(request), api.quickstart_request())[0])
        return rendering.see(request, rendering.run_address(run.name) if _is_here(run.path) else "/")
    with studio_of(request).starting(form_id) as is_first:
        return begin(request, api.quickstart_request()) if is_first else rendering.see(request, "/")


def begin(request: Request, loaded: LoadedConfig, *, force: bool = False, waits: bool = False) -> Response:
    """Start a config, or put it into the queue where another run has the machine, and show it.

    Raises: TunewrightError with everything that can be known before a run.
    """
    run, place = _begun(studio_of(request), loaded, force=force, waits=waits)
    return rendering.see(request, rendering.run_address(run.name, f"?place={place}" if place else ""))


def _begun(
    studio: Studio, loaded: LoadedConfig, *, force: bool = False, waits: bool = False
) -> tuple[api.TrainedRun, int]:
    """The run, and its place in the queue; 0 for one that was started."""
    plan = api.plan(loaded)
    with studio.beginning:
        queue = api.queue()
        if waits or queue.running or (queue.waiting and not queue.is_paused):
            return api.enqueue(loaded, plan, force=force)
        return api.TrainedRun(api.begin(loaded, plan, force=force)), 0


def change_queue(verb: str, request: Request, form: FormData) -> Response:
    """`POST /queue/...`: move, cancel, pause, go."""
    if verb == "pause":
        api.pause_queue()
    elif verb == "go":
        api.start_queue()
    else:
        wanted = rendering.text_of(form, "run")
        for place, run in enumerate(api.queue().waiting, start=1):
            if str(run.path) == wanted and verb == "cancel":
                api.cancel_in_queue(run)
            elif str(run.path) == wanted:
                api.move_in_queue(run, max(1, place + (-1 if verb == "up" else 1)))
    if rendering.is_partial(request):
        return rendering.page("now.html.j2", request, now=_now(request))
    return rendering.see(request, "/")


def remove(request: Request, form: FormData) -> Response:
    """`POST /runs/remove`: asks with their sizes first, then deletes the chosen runs."""
    chosen = [run_rows.run_named(str(name)) for name in form.getlist("run")]
    if rendering.text_of(form, "sure") != "yes":
        sizes = [(run.name, run.state, api.run_bytes(run.dir)) for run in chosen]
        return rendering.page("remove.html.j2", request, sizes=sizes)
    for run in chosen:
        api.remove(run.dir)
    return rendering.see(request, "/")


ROUTES = [
    Route("/", show),
    Route("/stream", stream),
    Route("/demo", rendering.posted(start_demo), methods=["POST"]),
    Route("/runs/remove", rendering.posted(remove), methods=["POST"]),
    *(
        Route(f"/queue/{verb}", rendering.posted(partial(change_queue, verb)), methods=["POST"])
        for verb in ("up", "down", "cancel", "pause", "go")
    ),
]
