"""Who may ask, and how much at once: checked before a body is read or an engine hears of it."""

import hmac
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewright.extras.serve.api_error import ApiError
from tunewright.extras.serve.serve_options import LOOPBACK

MAX_BODY = 2**20
OPEN_PATHS = ("/health",)


@dataclass(frozen=True)
class Access:
    """Whom the front lets in."""

    key: str | None = field(default=None, repr=False)
    """What requests must bring as bearer token, if anything."""
    hosts: tuple[str, ...] | None = LOOPBACK
    """Names that `Host` may have; any with None. A page of another name must not reach us (DNS rebinding)."""
    origins: tuple[str, ...] = ()
    """Pages whose scripts may ask, as their `Origin`."""

    def refusal(self, method: str, path: str, headers: Headers) -> ApiError | None:
        """Why a request is refused by its head alone; None if it is not."""
        if self.hosts is not None and _host(headers.get("host", "")) not in self.hosts:
            return ApiError(403, "This host name is not served here", "host_not_allowed")
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins:
            return ApiError(403, "Scripts of other pages may not ask here", "origin_not_allowed")
        if path not in OPEN_PATHS and method != "OPTIONS" and not self._has_key(headers):
            return ApiError(401, "The API key is missing or wrong", "invalid_api_key")
        if method == "POST":
            return _body_refusal(headers)
        return None

    def _has_key(self, headers: Headers) -> bool:
        if self.key is None:
            return True
        scheme, _blank, key = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(key.encode(), self.key.encode())


def _host(value: str) -> str:
    try:
        return urlsplit(f"//{value}").hostname or ""
    except ValueError:
        return ""


def _body_refusal(headers: Headers) -> ApiError | None:
    # A form of another page may be sent without asking the browser's leave, JSON not.
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return ApiError(415, "The body must be application/json", "unsupported_media_type")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BODY:
        return _too_large()
    return None


def _too_large() -> ApiError:
    return ApiError(413, f"The body may have {MAX_BODY} bytes", "request_too_large")


@dataclass
class Gate:
    """ASGI middleware: answers what `Access` refuses, and ends a body that grows beyond its limit."""

    app: ASGIApp
    access: Access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self.access.refusal(scope["method"], scope["path"], Headers(scope=scope))
        if refusal:
            await refusal.response()(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise _too_large()
            return message

        await self.app(scope, counted, send)
