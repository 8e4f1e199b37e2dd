"""The first page: what runs now, what waits, and all runs; on the first start two buttons and what the machine can do."""

from functools import partial
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.config.load_config import LoadedConfig
from tunewright.errors import TrainingError
from tunewright.i18n import N_
from tunewright.inspection.builtin_models import DEFAULT_MODEL
from tunewright.rundir.run_dir import LIVE
from tunewright.studio import rendering
from tunewright.studio.pages import run_rows
from tunewright.studio.state import studio_of

FILTERS = {"state": N_("State"), "task": N_("Task"), "model": N_("Model"), "data": N_("Data")}


def show(request: Request) -> Response:
    """`/`: runs and queue; with filters in the address the list alone is what htmx asks for."""
    filters = {key: request.query_params.get(key, "") for key in (*FILTERS, "q")}
    every = run_rows.rows({})
    shown = run_rows.rows(filters) if any(filters.values()) else every
    left_out = run_rows.left_out()
    values: dict[str, Any] = {"rows": shown, "num_all": len(every), "filters": filters, "left_out": left_out}
    if rendering.is_partial(request) and request.headers.get("hx-target", "").endswith("run-list"):
        return rendering.page("run_list.html.j2", request, **values)
    if not every and not left_out:
        return rendering.page("first.html.j2", request, machine=api.environment()["machine"], demo=_demo_model())
    return rendering.page(
        "runs.html.j2", request, **values, names=FILTERS, choices=run_rows.choices(every), now=_now(request)
    )


def _demo_model() -> dict[str, object]:
    """The model of the demo: whether it is here, and what fetching it would take."""
    card = api.builtin_models()[DEFAULT_MODEL]
    return {
        "name": DEFAULT_MODEL, "title": card.model.title, "licence": card.model.licence, "is_here": card.is_here,
        "num_bytes": card.download_bytes,
    }  # fmt: skip


def stream(request: Request) -> Response:
    """`/stream`: the runs of now and the queue, whenever something of it changes."""
    live = studio_of(request).live

    def look() -> tuple[str, str]:
        text = rendering.html("now.html.j2", request, now=_now(request))
        return text, text

    return live.stream(look)


def _now(request: Request) -> dict[str, object]:
    """What runs, with its last figures, and what waits."""
    queue, here = api.queue(), run_rows.every()
    live = {run.path: run for run in queue.running} | {run.path: run for run in here if run.state in LIVE}
    running = []
    for path, run in sorted(live.items()):
        try:
            watch = studio_of(request).live.watch(run)
        except TrainingError:
            continue  # damaged: the list says so
        is_here = path in {one.path for one in here}
        running.append({"run": run, "state": run.state, "view": watch.view, "is_here": is_here})
    waiting = [{"run": run, "seconds": api.planned_seconds(run)} for run in queue.waiting]
    return {"running": running, "waiting": waiting, "queue": queue}


def start_demo(request: Request, form: FormData) -> Response:
    """`POST /demo`: the generated task, at once or, where something runs, as soon as it has ended."""
    with studio_of(request).starting(rendering.text_of(form, "form_id")) as is_first:
        if not is_first:
            return rendering.see(request, "/")
        api.fetch(DEFAULT_MODEL)
        return begin(request, api.quickstart_request())


def begin(request: Request, loaded: LoadedConfig, *, force: bool = False, waits: bool = False) -> Response:
    """Start a config, or put it into the queue where another run has the machine, and show it.

    Raises: TunewrightError with everything that can be known before a run.
    """
    plan = api.plan(loaded)
    if waits or api.queue().running:
        run, place = api.enqueue(loaded, plan, force=force)
        return rendering.see(request, rendering.run_address(run.name, f"?place={place}"))
    started = api.TrainedRun(api.begin(loaded, plan, force=force))
    return rendering.see(request, rendering.run_address(started.name))


def change_queue(verb: str, request: Request, form: FormData) -> Response:
    """`POST /queue/...`: move, cancel, pause, go."""
    if verb == "pause":
        api.pause_queue()
    elif verb == "go":
        api.start_queue()
    else:
        wanted = rendering.text_of(form, "run")
        waiting = enumerate(api.queue().waiting, start=1)
        place, run = next(((place, one) for place, one in waiting if str(one.path) == wanted), (0, None))
        if run and verb == "cancel":
            api.cancel_in_queue(run)
        elif run:
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
