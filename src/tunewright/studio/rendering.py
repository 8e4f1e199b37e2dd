"""From a request to a page: templates, languages, fragments for htmx, and forms that change something."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tunewright import api
from tunewright.errors import TunewrightError
from tunewright.i18n import language, ngettext
from tunewright.report import html_page
from tunewright.studio.language import LANGUAGES

HERE = Path(__file__).parent
MOST_FIELDS = 2000
MOST_DIGITS = 9
FormHandler = Callable[[Request, FormData], Awaitable[Response]]


class _RowNumber(Convertor[int]):
    """A part of an address: starlette's `int` fails at numbers that Python refuses to read."""

    regex = f"[0-9]{{1,{MOST_DIGITS}}}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("row", _RowNumber())


def html(template: str, request: Request, **values: Any) -> str:
    """A template as text; each knows the request's path, the languages and whether it fills a page or a part of one."""
    environment = html_page.environment(HERE / "templates")
    return environment.get_template(template).render(
        lang=html_page.HTML_LANGUAGES[language()],
        languages=LANGUAGES,
        here=_here(request),
        ngettext=ngettext,
        new_id=api.new_work_id,
        **values,
    )


def _here(request: Request) -> str:
    """The address to come back to: of a page that answers a form, the page that the form was on."""
    path, query = request.url.path, request.url.query
    if request.method == "POST":
        path = query = ""
        with suppress(ValueError):  # what is no address
            shown = urlsplit(request.headers.get("referer", ""))
            path, query = shown.path, shown.query
    return (path or "/") + (f"?{query}" if query else "")


def page(template: str, request: Request, *, status: int = 200, **values: Any) -> Response:
    """A page, or the part of one that a template is."""
    return HTMLResponse(html(template, request, **values), status, headers={"vary": "hx-request"})


def is_partial(request: Request) -> bool:
    """Whether htmx asks, which puts the answer into the page that is there."""
    return "hx-request" in request.headers


def see(request: Request, address: str) -> Response:
    """Send the reader elsewhere after something was changed; names in the address are `quoted`."""
    if is_partial(request):
        return Response(status_code=200, headers={"hx-redirect": address})
    return RedirectResponse(address, 303)


def failure(request: Request, fault: TunewrightError, status: int = 409) -> Response:
    """What is wrong, as a page or as the part of one."""
    template = "problems.html.j2" if is_partial(request) else "failure.html.j2"
    back = _here(request) if request.method == "POST" else "/"
    return page(template, request, status=status, problems=fault.problems, back=back)


def telling(handler: Callable[[Request, FormData], Response]) -> Callable[[Request, FormData], Response]:
    """A handler of forms whose refusals htmx puts into `#told`, whatever else the form fills."""

    def told(request: Request, form: FormData) -> Response:
        try:
            return handler(request, form)
        except TunewrightError as fault:
            answer = failure(request, fault)
            answer.headers.update(
                {"hx-retarget": "#told", "hx-reswap": "innerHTML show:top"} if is_partial(request) else {}
            )
            return answer

    return told


def posted(handler: Callable[[Request, FormData], Response], *, max_files: int = 0) -> Callable[[Request], Any]:
    """An endpoint for a form: read as it comes, answered in a thread."""

    async def in_thread(request: Request, form: FormData) -> Response:
        return await run_in_threadpool(handler, request, form)

    return read_form(in_thread, max_files=max_files)


def read_form(handler: FormHandler, *, max_files: int = 0) -> Callable[[Request], Any]:
    """An endpoint for a form whose handler may wait without a thread."""

    async def endpoint(request: Request) -> Response:
        async with request.form(max_files=max_files, max_fields=MOST_FIELDS) as form:
            return await handler(request, form)

    return endpoint


def quoted(text: str) -> str:
    """A text as one part of an address: no character of it ends that part."""
    return quote(text, safe="")


def run_address(name: str, rest: str = "") -> str:
    """The address of a run's page, or with `rest` of a page below it."""
    return f"/runs/{quoted(name)}{rest}"


def attachment(file_name: str) -> dict[str, str]:
    """The header by which a browser saves an answer under this name."""
    return {"content-disposition": f"attachment; filename*=UTF-8''{quoted(file_name)}"}


def text_of(form: FormData, name: str) -> str:
    """A field of a form that is a text; empty where it is missing or a file."""
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def number_in(text: str) -> int | None:
    """The whole number that was typed; None for anything else, and for one that is too long to mean anything here."""
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else None
