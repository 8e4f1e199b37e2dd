"""The application: its routes, what each request passes, and how errors become pages."""

import logging
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewright.errors import TunewrightError, of_system, unexpected
from tunewright.report import html_page
from tunewright.studio import rendering, uploads
from tunewright.studio.guard import Guard, Keys
from tunewright.studio.language import COOKIE, LANGUAGES, Speaking
from tunewright.studio.live import Live
from tunewright.studio.pages import (
    answers,
    chat,
    compare,
    data,
    data_changes,
    export,
    findings,
    machine,
    plan,
    run,
    runs,
    tags,
)
from tunewright.studio.state import Studio

logger = logging.getLogger(__name__)
LANGUAGE_SECONDS = 400 * 24 * 3600


def build(keys: Keys, is_ending: Callable[[], bool] = lambda: False) -> Starlette:
    """The application for a server on the port of `keys`; `is_ending` ends its streams."""
    app = Starlette(
        routes=[
            *runs.ROUTES,
            *run.ROUTES,
            *answers.ROUTES,
            *compare.ROUTES,
            *data.ROUTES,
            *data_changes.ROUTES,
            *chat.ROUTES,
            *export.ROUTES,
            *machine.ROUTES,
            *findings.ROUTES,
            *plan.ROUTES,
            *tags.ROUTES,
            Route("/language", rendering.posted(_language), methods=["POST"]),
            Mount("/static/report", _Static(directory=html_page.HERE / "static")),
            Mount("/static", _Static(directory=rendering.HERE / "static")),
        ],
        middleware=[
            Middleware(Speaking),
            Middleware(Guard, keys=keys, upload_paths=frozenset({"/data"}), max_upload=uploads.MAX_BYTES),
            Middleware(_Catching),
        ],
        exception_handlers={
            TunewrightError: _told,
            OSError: _refused_by_system,
            HTTPException: _not_served,
        },
    )
    app.state.studio = Studio(Live(is_ending))
    return app


class _Static(StaticFiles):
    """Files of ours; a browser keeps them, and asks whether they are still the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def _language(request: Request, form: FormData) -> Response:
    """The chosen language, on the page where it was chosen."""
    chosen, back = rendering.text_of(form, "language"), rendering.text_of(form, "back")
    is_path = back.startswith("/") and not back.startswith(("//", "/\\"))
    response = RedirectResponse(back if is_path else "/", 303)
    if chosen in LANGUAGES:
        response.set_cookie(COOKIE, chosen, max_age=LANGUAGE_SECONDS, httponly=True, samesite="strict")
    return response


def _told(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, TunewrightError)
    is_missing = fault.problems[0].code in ("E113", "E130", "E134")
    return rendering.failure(request, fault, 404 if is_missing else 409)


def _refused_by_system(request: Request, fault: Exception) -> Response:
    """A full disk and the like are no fault of ours."""
    assert isinstance(fault, OSError)
    return rendering.failure(request, of_system(fault, "."))


def _not_served(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    return rendering.page("missing.html.j2", request, status=fault.status_code, address=request.url.path)


class _Catching:
    """Our own faults become a page, inside of the guard and the language; what has begun to be sent is cut off."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def noticing(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, noticing)
        except Exception as fault:
            if has_begun or scope["type"] != "http":
                raise
            logger.exception("a page failed")
            problem = unexpected(fault)
            await rendering.failure(Request(scope, receive), problem, 500)(scope, receive, send)
