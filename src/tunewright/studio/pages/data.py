"""Data: what is in files, row by row, and what becomes of each. The forms that change something are in `data_changes`."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tunewright import api
from tunewright.config.tasks import TASKS
from tunewright.reporting import Reporter
from tunewright.studio import data_choices, data_store, data_view, model_fetch, rendering, uploads
from tunewright.studio.background_looks import PendingLook
from tunewright.studio.data_store import DataEntry
from tunewright.studio.data_view import DataPage, RowFilters
from tunewright.studio.model_fetch import ModelFetch
from tunewright.studio.state import studio_of

PAGE_SECONDS = 1.5  # that a page waits for a look before it shows a bar and the first rows
AGAIN_SECONDS = 0.2  # the same for a page that asks each second


def index(request: Request) -> Response:
    """`/data`: where data come from, and those that were brought before."""
    return rendering.page(
        "data_index.html.j2",
        request,
        entries=data_store.every(),
        folder=str(Path.cwd()),
        demos=data_choices.DEMOS,
        most_files=uploads.MAX_FILES,
        most_bytes=uploads.MAX_BYTES,
    )


async def show(request: Request) -> Response:
    """`/data/{id}`: the account, the findings, and the first rows; a bar and the rows as written while they are looked at."""
    return await answer("data.html.j2", request, await page_of(request, await entry_of(request), _filters(request)))


async def look(request: Request) -> Response:
    """`/data/{id}/look`: the same without the frame, for a page that waits."""
    entry = await entry_of(request)
    if not rendering.is_partial(request):
        return RedirectResponse(f"/data/{entry.id}", 303)
    page = await page_of(request, entry, _filters(request), patience=AGAIN_SECONDS)
    return await answer("data_look.html.j2", request, page)


async def rows(request: Request) -> Response:
    """`/data/{id}/rows?kind&q&page`: fifty rows; a whole page where nothing but that was asked for."""
    return await _part("data_rows.html.j2", request)


async def lengths(request: Request) -> Response:
    """`/data/{id}/lengths?max_length`: how many rows another limit would cut."""
    return await _part("data_lengths.html.j2", request)


async def _part(template: str, request: Request) -> Response:
    page = await page_of(request, await entry_of(request), _filters(request))
    return await answer(template if rendering.is_partial(request) and page.seen else "data.html.j2", request, page)


async def row(request: Request) -> Response:
    """`/data/{id}/rows/{number}`: one row, its cells to be changed; the page of its data while these are looked at."""
    entry = await entry_of(request)
    outcome = await _outcome(request, entry, PAGE_SECONDS)
    if isinstance(outcome, ModelFetch) or not outcome.has_ended:
        return rendering.see(request, f"/data/{entry.id}")
    form = await run_in_threadpool(data_view.row_form, outcome.result(), request.path_params["number"])
    template = "data_cells.html.j2" if rendering.is_partial(request) else "data_row.html.j2"
    page = partial(rendering.page, template, request, entry=entry, filters=_filters(request), row=form)
    return await run_in_threadpool(page)


async def entry_of(request: Request) -> DataEntry:
    """The data that an address names. Raises: HTTPException 404."""
    return await run_in_threadpool(data_store.entry, request.path_params["id"])


def _filters(request: Request) -> RowFilters:
    return RowFilters.of(request.query_params)


async def page_of(
    request: Request, entry: DataEntry, filters: RowFilters, *, patience: float | None = None
) -> DataPage:
    """The page of data with their changes made, as it is after so many seconds at most."""
    outcome = await _outcome(request, entry, PAGE_SECONDS if patience is None else patience)
    max_length = rendering.number_in(request.query_params.get("max_length", "")) or None
    return await run_in_threadpool(data_view.data_page, entry, filters, outcome, max_length=max_length)


async def answer(template: str, request: Request, page: DataPage, status: int = 200) -> Response:
    """A page of data, or the part of one that a template is."""
    render = partial(
        rendering.page, template, request, status=status,
        page=page, tasks=TASKS, uses=data_view.USES, as_text=data_view.as_text,
    )  # fmt: skip
    return await run_in_threadpool(render)


async def _outcome(request: Request, entry: DataEntry, patience: float) -> PendingLook[api.DataLook] | ModelFetch:
    """The look at data after so many seconds at most, or the model without which they cannot be looked at."""
    fetch = await run_in_threadpool(model_fetch.needed, entry.model)
    if fetch:
        return fetch
    pending = looking_at(request, data_store.settings_of(entry))
    await pending.ended(patience)
    return pending


def looking_at(request: Request, settings: Mapping[str, object]) -> PendingLook[api.DataLook]:
    """The look at the data of these settings, by dotted path; its end may be settings that do not fit."""
    studio = studio_of(request)
    return studio.data_looks.at(key_of(settings), partial(_look, settings, studio.held_looks))


async def seen_in(request: Request, settings: Mapping[str, object]) -> api.DataLook:
    """What a look at the data of these settings has seen, for a click that needs it; one that was stopped is begun again.

    Raises: TunewrightError, what is wrong with data or settings.
    """
    studio_of(request).data_looks.again(key_of(settings))
    pending = looking_at(request, settings)
    await pending.ended()
    return pending.result()


def key_of(settings: Mapping[str, object]) -> str:
    """What a look at the data of these settings goes by."""
    return json.dumps(settings, sort_keys=True)


def _look(settings: Mapping[str, object], held: api.DataLooks, reporter: Reporter) -> api.DataLook:
    look = api.look_at_rows(api.load(named=settings), held=held, reporter=reporter)
    look.page()  # what all pages need is made once
    return look


ROUTES = [
    Route("/data", index),
    Route("/data/{id}", show),
    Route("/data/{id}/look", look),
    Route("/data/{id}/rows", rows),
    Route("/data/{id}/lengths", lengths),
    Route("/data/{id}/rows/{number:row}", row),
]
