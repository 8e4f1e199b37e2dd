"""Background work as a page shows it: exports of a run, downloads of this machine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tunewright import api
from tunewright.errors import Problem
from tunewright.rundir.background_work import BackgroundWork, WorkRecord, WorkState
from tunewright.studio import rendering
from tunewright.studio.state import studio_of

SHOWN = 5
ProofLines = tuple[str, Sequence[tuple[str, str, str, str]]]


@dataclass(frozen=True)
class ShownWork:
    """Work as it is now; `use` is what to paste to use what was made."""

    id: str
    record: WorkRecord
    state: WorkState
    is_stopping: bool
    proof: ProofLines | None
    failure: Problem | None
    use: str


def shown_works(run: api.TrainedRun | None = None) -> list[ShownWork]:
    """The last work of a run, or the last downloads: what page and stream show of it."""
    return [shown(work) for work in api.works(run)[:SHOWN]]


def shown(work: BackgroundWork) -> ShownWork:
    """One piece of work. Raises: TrainingError E525."""
    record, state = work.record(), work.state
    return ShownWork(
        id=work.id,
        record=record,
        state=state,
        is_stopping=state == "running" and work.is_asked_to_stop(),
        proof=api.proof_lines(record.proof) if record.proof else None,
        failure=api.proof_failure(record.proof) if record.proof else None,
        use=api.usage(work) if state == "done" else "",
    )


def stream(works: Callable[[Request], Mapping[str, object]], request: Request) -> Response:
    """The work of a page whenever it changes, until none of it runs."""

    def look() -> tuple[str, str]:
        values = works(request)
        text = rendering.html("work.html.j2", request, **values)
        return (text if _is_running(values["works"]) else ""), text

    return studio_of(request).live.stream(look)


def _is_running(works: object) -> bool:
    """Whether any of the shown work runs."""
    assert isinstance(works, Sequence)
    return any(work.state == "running" for work in works)


def stop(works: Sequence[BackgroundWork], work_id: str) -> None:
    """End one of these. Raises: HTTPException 404 for the id of another."""
    for work in works:
        if work.id == work_id:
            api.stop_work(work)
            return
    raise HTTPException(404)
