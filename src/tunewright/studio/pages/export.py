"""Export: the adapter's files, the run in other engines' formats, as a script, served; each with size and time before."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from tunewright import api
from tunewright.errors import Problem, TunewrightError
from tunewright.rundir.run_files import RunFile
from tunewright.studio import rendering, work_view
from tunewright.studio.pages import run_rows
from tunewright.studio.work_frame import work_frame

if TYPE_CHECKING:
    from tunewright.extras.export.export_plan import ExportPlan
    from tunewright.extras.export.formats import ExportFormat

HUB = "hub"  # needs a key of the Hub, which this process does not have: a command to paste
MERGED, SCRIPT = "merged", "script"  # what a form may ask for besides the formats
CARD = "adapter/README.md"


@dataclass(frozen=True)
class OfferedFormat:
    """A format with what an export to it would write, or why it would be refused."""

    row: "ExportFormat"
    plan: "ExportPlan | None"
    problems: Sequence[Problem]


def show(request: Request) -> Response:
    """`/runs/{name}/export`: what there is, what can be made of it, and what is being made."""
    run = _run_of(request)
    command = shlex.join(["tunewright", "export", run.name])
    return rendering.page(
        "export.html.j2",
        request,
        name=run.name,
        **work_frame(_place(run), run),
        files=api.files_to_give(run),
        ways=_offered(run) if run.adapter.is_dir() else [],
        merged_bytes=api.merged_bytes(run),
        proofs=[api.proof_lines(proof) for proof in api.deployed(run)],
        command=command,
        hub_command=f"{command} --to {HUB} -o OWNER/NAME",
        serve_command=shlex.join(["tunewright", "serve", run.name]),
        python=f'import tunewright as tw\ntw.open_run({run.name!r}).export("exported")',
    )


def _run_of(request: Request) -> api.TrainedRun:
    return run_rows.run_named(request.path_params["name"])


def _offered(run: api.TrainedRun) -> list[OfferedFormat]:
    """The formats that the page can write by itself."""
    return [_format(run, row) for row in api.export_formats() if row.name != HUB]


def _format(run: api.TrainedRun, row: "ExportFormat") -> OfferedFormat:
    try:
        planned = api.plan_export(run, row.name, api.export_target(run, row.name))
    except TunewrightError as fault:
        return OfferedFormat(row, None, fault.problems)
    return OfferedFormat(row, planned, planned.problems)


def _place(run: api.TrainedRun) -> str:
    return rendering.run_address(run.name, "/export")


def begin(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/export`: begin an export, a merge or a script; it goes on without the page."""
    run = _run_of(request)
    work_id, to = rendering.text_of(form, "form_id"), rendering.text_of(form, "to")
    if not api.is_work_id(work_id) or to == HUB:
        raise HTTPException(400)
    if to == MERGED:
        api.begin_merge(run, work_id)
    elif to == SCRIPT:
        api.begin_eject(run, work_id)
    else:
        way, quant = rendering.text_of(form, "as"), rendering.text_of(form, "quant")
        api.begin_export(run, to, work_id, as_=way or None, quant=quant or None)
    return _changed(request, run)


def stop(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/export/stop`: end work of this run; nothing half done stays."""
    run = _run_of(request)
    work_view.stop(api.works(run), rendering.text_of(form, "work"))
    return _changed(request, run)


def _changed(request: Request, run: api.TrainedRun) -> Response:
    if rendering.is_partial(request):
        return rendering.page("work_frame.html.j2", request, **work_frame(_place(run), run))
    return rendering.see(request, _place(run))


def stream(request: Request) -> Response:
    """`/runs/{name}/export/stream`: the work of the run whenever it changes."""
    run = _run_of(request)
    return work_view.stream(lambda _request: work_frame(_place(run), run), request)


def download(request: Request) -> Response:
    """`/runs/{name}/files/{file}`: one of the files that the page lists, and no other."""
    file = _listed_file(request, request.path_params["file"])
    return FileResponse(file.path, media_type="application/octet-stream", filename=file.path.name)


def card(request: Request) -> Response:
    """`/runs/{name}/card`: the model card as text."""
    return FileResponse(_listed_file(request, CARD).path, media_type="text/plain; charset=utf-8")


def _listed_file(request: Request, name: str) -> RunFile:
    """A file of the run that the page lists. Raises: HTTPException 404 for any other."""
    for file in api.files_to_give(_run_of(request)):
        if file.name == name:
            return file
    raise HTTPException(404)


ROUTES = [
    Route("/runs/{name}/export", show),
    Route("/runs/{name}/export", rendering.posted(rendering.telling(begin)), methods=["POST"]),
    Route("/runs/{name}/export/stop", rendering.posted(rendering.telling(stop)), methods=["POST"]),
    Route("/runs/{name}/export/stream", stream),
    Route("/runs/{name}/files/{file:path}", download),
    Route("/runs/{name}/card", card),
]
