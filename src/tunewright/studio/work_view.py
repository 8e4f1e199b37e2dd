"""Background work as a page shows it: exports of a run, downloads of this machine."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tunewright import api
from tunewright.rundir.background_work import BackgroundWork
from tunewright.studio import rendering
from tunewright.studio.state import studio_of

SHOWN = 5


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


def stream(works: Callable[[Request], Mapping[str, Any]], request: Request) -> Response:
    """The work of a page whenever it changes, until none of it runs."""

    def look() -> tuple[str, str]:
        values = works(request)
        text = rendering.html("work.html.j2", request, **values)
        return (text if _is_running(values["works"]) else ""), text

    return studio_of(request).live.stream(look)


def _is_running(works: object) -> bool:
    """Whether any of the shown work runs."""
    assert isinstance(works, Sequence)
    return any(work["state"] == "running" for work in works)


def stop(works: Sequence[BackgroundWork], work_id: str) -> None:
    """End one of these. Raises: HTTPException 404 for the id of another."""
    work = next((work for work in works if work.id == work_id), None)
    if work is None:
        raise HTTPException(404)
    api.stop_work(work)
