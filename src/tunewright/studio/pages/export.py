"""Export: the adapter's files, the run in other engines' formats, as a script, served; each with size and time before."""

import shlex
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from tunewright import api
from tunewright.errors import TunewrightError
from tunewright.studio import rendering, work_view
from tunewright.studio.pages import run_rows

HUB = "hub"  # needs a key of the Hub, which this process does not have: a command to paste


def show(request: Request) -> Response:
    """`/runs/{name}/export`: what there is, what can be made of it, and what is being made."""
    run = run_rows.run_named(request.path_params["name"])
    plan = run.plan
    command = shlex.join(["tunewright", "export", run.name])
    return rendering.page(
        "export.html.j2",
        request,
        **_work_values(run),
        files=api.files_to_give(run),
        ways=[_way(run, row.name) for row in api.export_formats() if row.name != HUB] if run.adapter.is_dir() else [],
        merged_bytes=_merged_bytes(run),
        proofs=[api.proof_lines(proof) for proof in api.deployed(run)],
        plan=plan,
        state=run.state,
        command=command,
        hub_command=f"{command} --to hub -o OWNER/NAME",
        serve_command=shlex.join(["tunewright", "serve", run.name]),
        python=f'import tunewright as tw\ntw.open_run({run.name!r}).export("exported")',
    )


def _way(run: api.TrainedRun, to: str) -> dict[str, Any]:
    """A format with what an export to it would write, or why it would be refused."""
    row = next(row for row in api.export_formats() if row.name == to)
    try:
        planned = api.plan_export(run, to, api.export_target(run, to))
    except TunewrightError as fault:
        return {"row": row, "plan": None, "problems": fault.problems}
    return {"row": row, "plan": planned, "problems": planned.problems}


def _merged_bytes(run: api.TrainedRun) -> int | None:
    """About what a merged model takes; None where the method cannot be merged."""
    planned = (
        api.plan_export(run, "vllm", api.export_target(run, "vllm"), as_="merged") if run.adapter.is_dir() else None
    )
    can_merge = planned is not None and all(problem.code != "E603" for problem in planned.problems)
    return planned.bytes if planned and can_merge else None


def _work_values(run: api.TrainedRun) -> dict[str, Any]:
    place = rendering.run_address(run.name, "/export")
    return {"run": run, "name": run.name, "works": work_view.shown_works(run), "work_place": place}


def _works(request: Request) -> Mapping[str, Any]:
    return _work_values(run_rows.run_named(request.path_params["name"]))


def begin(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/export`: begin an export, a merge or a script; it goes on without the page."""
    run = run_rows.run_named(request.path_params["name"])
    work_id = rendering.text_of(form, "form_id")
    to = rendering.text_of(form, "to")
    if not api.is_work_id(work_id) or to == HUB:
        raise HTTPException(400)
    if to == "merged":
        api.begin_merge(run, work_id)
    elif to == "script":
        api.begin_eject(run, work_id)
    else:
        as_, quant = (rendering.text_of(form, field) or None for field in ("as", "quant"))
        api.begin_export(run, to, work_id, as_=as_, quant=quant)
    return _changed(request, run)


def stop(request: Request, form: FormData) -> Response:
    """`POST /runs/{name}/export/stop`: end work of this run; nothing half done stays."""
    run = run_rows.run_named(request.path_params["name"])
    work_view.stop(api.works(run), rendering.text_of(form, "work"))
    return _changed(request, run)


def _changed(request: Request, run: api.TrainedRun) -> Response:
    if rendering.is_partial(request):
        return rendering.page("work_frame.html.j2", request, **_work_values(run))
    return rendering.see(request, rendering.run_address(run.name, "/export"))


def download(request: Request) -> Response:
    """`/runs/{name}/files/{file}`: one of the files that the page lists, and no other."""
    run = run_rows.run_named(request.path_params["name"])
    wanted = request.path_params["file"]
    given_file = next((file for file in api.files_to_give(run) if file.name == wanted), None)
    if given_file is None:
        raise HTTPException(404)
    return FileResponse(given_file.path, media_type="application/octet-stream", filename=given_file.path.name)


def card(request: Request) -> Response:
    """`/runs/{name}/card`: the model card as text."""
    run = run_rows.run_named(request.path_params["name"])
    given_file = next((file for file in api.files_to_give(run) if file.name == "adapter/README.md"), None)
    if given_file is None:
        raise HTTPException(404)
    return FileResponse(given_file.path, media_type="text/plain; charset=utf-8")


ROUTES = [
    Route("/runs/{name}/export", show),
    Route("/runs/{name}/export", rendering.posted(rendering.telling(begin)), methods=["POST"]),
    Route("/runs/{name}/export/stop", rendering.posted(rendering.telling(stop)), methods=["POST"]),
    Route("/runs/{name}/export/stream", partial(work_view.stream, _works)),
    Route("/runs/{name}/files/{file:path}", download),
    Route("/runs/{name}/card", card),
]
