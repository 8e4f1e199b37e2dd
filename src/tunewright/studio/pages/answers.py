"""The answers of a run before and after: filtered, counted, row by row, and as a file."""

from functools import partial
from typing import Literal
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tunewright import api
from tunewright.errors import TrainingError
from tunewright.studio import rendering
from tunewright.studio.pages import answer_fixes, run_rows

FILTERS = ("outcome", "label", "length", "search", "order")
KEYS = {"fixed": "f", "broken": "b", "wrong": "w", "right": "r"}
FILES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
MOST_ASKED = 2000  # characters of a prompt in an address


def show(request: Request) -> Response:
    """`/runs/{name}/answers`: fifty rows, with filters in the address."""
    run, wanted = run_rows.run_named(request.path_params["name"]), _wanted(request.query_params)
    try:
        shown = api.answer_page(run.dir, wanted, rendering.number_in(request.query_params.get("page", "")) or 1)
    except TrainingError as fault:
        return rendering.page("damaged.html.j2", request, name=run.name, problems=fault.problems)
    return rendering.page(
        "answers.html.j2",
        request,
        name=run.name,
        shown=shown,
        wanted=wanted,
        keys=KEYS,
        to=partial(_address, run.name, wanted),
        address=partial(_row_address, run.name),
        ask=partial(_ask_address, run),
        files=list(FILES),
    )


def show_row(request: Request) -> Response:
    """`/runs/{name}/answers/{row}`: one row, with the ways to its neighbours."""
    run, row = run_rows.run_named(request.path_params["name"]), request.path_params["row"]
    try:
        pair, rows = api.answer_row(run.dir, row)
        fate = answer_fixes.fate(run, row)
    except TrainingError as fault:
        return rendering.page("damaged.html.j2", request, name=run.name, problems=fault.problems)
    if pair is None:
        raise HTTPException(404)
    place = rows.index(row)
    return rendering.page(
        "answer.html.j2",
        request,
        name=run.name,
        pair=pair,
        fate=fate,
        earlier=_row_address(run.name, rows[place - 1]) if place else "",
        later=_row_address(run.name, rows[place + 1]) if place + 1 < len(rows) else "",
        ask=_ask_address(run, pair.prompt),
    )


def download(file_format: Literal["csv", "jsonl"], request: Request) -> Response:
    """`/runs/{name}/answers.csv`, `.jsonl`: all rows that the filters find, whole."""
    run = run_rows.run_named(request.path_params["name"])
    pieces = api.answer_file(run.dir, _wanted(request.query_params), file_format)
    headers = rendering.attachment(f"{run.name}.answers.{file_format}")
    return StreamingResponse(pieces, media_type=FILES[file_format], headers=headers)


def _wanted(query: QueryParams) -> api.AnswerFilter:
    return api.AnswerFilter(**{name: query.get(name, "") for name in FILTERS})


def _address(name: str, wanted: api.AnswerFilter, end: str = "", **changes: str | int) -> str:
    """The page, or with `end` a file, with these filters and some of them changed; a new filter begins at the first page."""
    values = {key: value for key, value in {**vars(wanted), **changes}.items() if value}
    query = f"?{urlencode(values)}" if values else ""
    return rendering.run_address(name, f"/answers{end}{query}")


def _row_address(name: str, row: int) -> str:
    return rendering.run_address(name, f"/answers/{row}")


def _ask_address(run: api.TrainedRun, prompt: str) -> str:
    """The chat with a row's prompt in it; nothing for one that is too long for an address."""
    if len(prompt) > MOST_ASKED:
        return ""
    return rendering.run_address(run.name, f"/chat?{urlencode({'prompt': prompt})}")


ROUTES = [
    Route("/runs/{name}/answers", show),
    Route("/runs/{name}/answers/{row:row}", show_row),
    Route("/runs/{name}/answers.csv", partial(download, "csv")),
    Route("/runs/{name}/answers.jsonl", partial(download, "jsonl")),
    *answer_fixes.ROUTES,
]
