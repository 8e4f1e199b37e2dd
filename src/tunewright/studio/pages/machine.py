"""This machine in words: what it can train, built-in models, what runs take on the disk, versions; and what terms mean."""

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright import api
from tunewright.studio import rendering, work_view
from tunewright.studio.pages import run_rows
from tunewright.studio.work_frame import work_frame

PLACE = "/machine"


def show(request: Request) -> Response:
    """`/machine`."""
    runs = run_rows.every()
    uses = sorted(map(api.disk_use, runs), key=lambda use: use.total_bytes, reverse=True)
    return rendering.page(
        "machine.html.j2",
        request,
        **work_frame(PLACE),
        machine=api.doctor(measures=False),
        cards=list(api.builtin_models().values()),
        uses=[(use, api.TrainedRun(use.run).state) for use in uses],
        report=api.bug_report(),
    )


def stream(request: Request) -> Response:
    """`/machine/stream`: the downloads whenever something of them changes."""
    return work_view.stream(lambda _request: work_frame(PLACE), request)


def fetch(request: Request, form: FormData) -> Response:
    """`POST /machine/fetch`: download a built-in model; the page said before what and how much."""
    work_id = rendering.text_of(form, "form_id")
    if not api.is_work_id(work_id):
        raise HTTPException(400)
    api.begin_fetch(rendering.text_of(form, "model"), work_id)
    return _changed(request)


def stop(request: Request, form: FormData) -> Response:
    """`POST /machine/stop`: end a download."""
    work_view.stop(api.works(), rendering.text_of(form, "work"))
    return _changed(request)


def remove_model(request: Request, form: FormData) -> Response:
    """`POST /machine/remove`: asks with its size first, then removes a built-in model."""
    name = rendering.text_of(form, "model")
    card = next((card for card in api.builtin_models().values() if card.model.name == name and card.is_here), None)
    if card is None:
        raise HTTPException(404)
    if rendering.text_of(form, "sure") != "yes":
        return rendering.page("remove_model.html.j2", request, card=card)
    api.remove_model(name)
    return rendering.see(request, PLACE)


def remove_checkpoints(request: Request, form: FormData) -> Response:
    """`POST /machine/checkpoints`: asks with their size first, then removes the checkpoints of a run that is not live."""
    run = run_rows.run_named(rendering.text_of(form, "run"))
    if rendering.text_of(form, "sure") != "yes":
        use = api.disk_use(run)
        return rendering.page("remove_checkpoints.html.j2", request, use=use, state=run.state)
    api.remove_checkpoints(run)
    return rendering.see(request, PLACE)


def _changed(request: Request) -> Response:
    if rendering.is_partial(request):
        return rendering.page("work_frame.html.j2", request, **work_frame(PLACE))
    return rendering.see(request, PLACE)


def explain(request: Request) -> Response:
    """`/explain/{word}`: what a code, a key or a term means; without the frame for htmx."""
    explained = api.explain(request.path_params["word"])
    template = "explanation.html.j2" if rendering.is_partial(request) else "explain.html.j2"
    return rendering.page(template, request, explained=explained)


ROUTES = [
    Route(PLACE, show),
    Route(f"{PLACE}/stream", stream),
    Route(f"{PLACE}/fetch", rendering.posted(rendering.telling(fetch)), methods=["POST"]),
    Route(f"{PLACE}/stop", rendering.posted(rendering.telling(stop)), methods=["POST"]),
    Route(f"{PLACE}/remove", rendering.posted(remove_model), methods=["POST"]),
    Route(f"{PLACE}/checkpoints", rendering.posted(remove_checkpoints), methods=["POST"]),
    Route("/explain/{word:path}", explain),
]
