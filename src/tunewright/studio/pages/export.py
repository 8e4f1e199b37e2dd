"""Export: the adapter's files, the run in other engines' formats, as a script, served; each with size and time before."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from tunewright import api
from tunewright.errors import TunewrightError
from tunewright.rundir.background_work import BackgroundWork
from tunewright.studio import rendering
from tunewright.studio.pages import run_rows
from tunewright.studio.state import studio_of

HUB = "hub"  # needs a key of the Hub, which this process does not have: a command to paste
SHOWN = 5


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
    return {"run": run, "name": run.name, "works": shown_works(run), "work_place": f"/runs/{run.name}/export"}


def shown_works(run: api.TrainedRun | None = None) -> list[dict[str, Any]]:
    """The last work of a run, or the last downloads: what page and stream show of it."""
    return [_shown(work) for work in api.works(run)[:SHOWN]]


def _shown(work: BackgroundWork) -> dict[str, Any]:
    record = work.record()
    return {
        "id": work.id,
        "record": record,
        "state": work.state,
        "proof": api.proof_lines(record.proof) if record.proof else None,
        "failure": api.proof_failure(record.proof) if record.proof else None,
        "use": api.usage(work) if work.state == "done" else "",
    }


def work_stream(works: Callable[[Request], Mapping[str, Any]], request: Request) -> Response:
    """The work of a page whenever it changes, until none of it runs."""

    def look() -> tuple[str, str]:
        values = works(request)
        text = rendering.html("work.html.j2", request, **values)
        return (text if is_running(values["works"]) else ""), text

    return studio_of(request).live.stream(look)


def is_running(works: object) -> bool:
    """Whether any of the shown work runs."""
    assert isinstance(works, Sequence)
    return any(work["state"] == "running" for work in works)


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
    stop_listed(api.works(run), rendering.text_of(form, "work"))
    return _changed(request, run)


def stop_listed(works: Sequence[BackgroundWork], work_id: str) -> None:
    """End one of these. Raises: HTTPException 404 for the id of another."""
    work = next((work for work in works if work.id == work_id), None)
    if work is None:
        raise HTTPException(404)
    api.stop_work(work)


def _changed(request: Request, run: api.TrainedRun) -> Response:
    if rendering.is_partial(request):
        return rendering.page("work_frame.html.j2", request, **_work_values(run))
    return rendering.see(request, f"/runs/{rendering.quoted(run.name)}/export")


def download(request: Request) -> Response:
    """`/runs/{name}/files/{file}`: one of the files that the page lists, and no other."""
    run = run_rows.run_named(request.path_params["name"])
    wanted = request.path_params["file"]
    found = next((file for file in api.files_to_give(run) if file.name == wanted), None)
    if found is None:
        raise HTTPException(404)
    return FileResponse(found.path, media_type="application/octet-stream", filename=found.path.name)


def card(request: Request) -> Response:
    """`/runs/{name}/card`: the model card as text."""
    run = run_rows.run_named(request.path_params["name"])
    found = next((file for file in api.files_to_give(run) if file.name == "adapter/README.md"), None)
    if found is None:
        raise HTTPException(404)
    return FileResponse(found.path, media_type="text/plain; charset=utf-8")


ROUTES = [
    Route("/runs/{name}/export", show),
    Route("/runs/{name}/export", rendering.posted(rendering.telling(begin)), methods=["POST"]),
    Route("/runs/{name}/export/stop", rendering.posted(rendering.telling(stop)), methods=["POST"]),
    Route("/runs/{name}/export/stream", partial(work_stream, _works)),
    Route("/runs/{name}/files/{file:path}", download),
    Route("/runs/{name}/card", card),
]
