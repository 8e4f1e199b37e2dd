"""Who may ask: the same user's browser alone, in pages of our own. Checked before a body is read or a page is made.

docs/security.md names the threats; tests/studio/test_guard.py has a row for each.
"""

import hmac
import secrets
import time
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewright.i18n import _

CODE = "code"  # the parameter of the printed address
CODE_SECONDS = 3600
MAX_BODY = 2**20
MOST_DIGITS = 18  # of a length: Python refuses to read very long numbers
COOKIE_SECONDS = 400 * 24 * 3600
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # Under no-referrer a browser sends `Origin: null` with a plain form, which would be refused as somebody else's.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass
class Keys:
    """What the secret of this user gives: the cookie of a server's browser, and codes that are good once.

    A code can be made by whoever reads the secret's file, so that a second `tunewright studio` can open the page of the first.
    """

    secret: bytes = field(repr=False)
    port: int
    begun: float = field(default_factory=time.time)
    _used: set[str] = field(default_factory=set, init=False, repr=False)

    @property
    def cookie_name(self) -> str:
        """With the port, as cookies know hosts alone."""
        return f"tunewright_{self.port}"

    @property
    def cookie(self) -> str:
        return self._signed("cookie")

    def new_code(self) -> str:
        """A code for one visit within the hour."""
        nonce = f"{time.time():.3f}.{secrets.token_hex(8)}"
        return f"{nonce}.{self._signed(f'code {nonce}')}"

    def takes(self, code: str) -> bool:
        """Whether a code is ours, young and new; it is used up then."""
        nonce, _dot, signature = code.rpartition(".")
        if not _same(signature, self._signed(f"code {nonce}")) or nonce in self._used:
            return False
        issued_at = float(nonce.split(".", 2)[0])
        if not self.begun - 1 <= issued_at + 1 or not time.time() - issued_at < CODE_SECONDS:
            return False
        self._used.add(nonce)
        return True

    def knows(self, cookie_header: str) -> bool:
        """Whether a request brings the cookie.

        Browsers send along what other servers of this host have set, under any name and not always as cookies are written.
        """
        pairs = (pair.strip().partition("=") for pair in cookie_header.split(";"))
        return any(name == self.cookie_name and _same(value, self.cookie) for name, _equals, value in pairs)

    def _signed(self, text: str) -> str:
        return hmac.new(self.secret, f"{self.port} {text}".encode(), sha256).hexdigest()


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())


@dataclass
class Guard:
    """ASGI middleware: answers what is refused, counts what a body brings, and adds the headers that hold a page in."""

    app: ASGIApp
    keys: Keys
    upload_paths: frozenset[str] = frozenset()
    """Paths whose forms may bring files."""
    max_upload: int = MAX_BODY

    @property
    def hosts(self) -> tuple[str, ...]:
        return f"127.0.0.1:{self.keys.port}", f"localhost:{self.keys.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.max_upload if scope["path"] in self.upload_paths else MAX_BODY
        answer = self._answer(scope, limit)
        if answer:
            await answer(scope, receive, _adding_headers(send))
        else:
            await self.app(scope, _counted(receive, limit), _adding_headers(send))

    def _answer(self, scope: Scope, limit: int) -> Response | None:
        """What a request gets by its head alone; None if it is let through."""
        headers, method = Headers(scope=scope), scope["method"]
        if headers.get("host") not in self.hosts:
            return _refused(421, _("This name is not served here."))
        if method not in ("GET", "HEAD", "POST"):
            return _refused(405, _("Only GET and POST are answered here."))
        code = parse_qs(scope["query_string"].decode("latin-1")).get(CODE, [""])[0]
        if code and method == "GET" and self.keys.takes(code):
            return self._welcome(scope)
        if not self.keys.knows(headers.get("cookie", "")):
            text = _(
                "This page belongs to whoever started it: open the address that `tunewright studio` prints. It is good once."
            )
            return _refused(403, text)
        if method == "POST":
            return _post_refusal(headers, limit)
        return None

    def _welcome(self, scope: Scope) -> Response:
        """The code for the cookie, and the same address without the code."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        rest = urlencode([(name, value) for name, values in query.items() if name != CODE for value in values])
        response = RedirectResponse(_path(scope) + (f"?{rest}" if rest else ""), 303)
        response.set_cookie(
            self.keys.cookie_name, self.keys.cookie, max_age=COOKIE_SECONDS, httponly=True, samesite="strict"
        )
        return response


def _path(scope: Scope) -> str:
    """The path of a request, never one that a browser would take for another host."""
    return "/" + str(scope["path"]).lstrip("/\\")


def _post_refusal(headers: Headers, limit: int) -> Response | None:
    if (
        headers.get("origin") != f"http://{headers['host']}"
        or headers.get("sec-fetch-site", "same-origin") != "same-origin"
    ):
        return _refused(403, _("Only pages of this server may change something."))
    length = headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > MOST_DIGITS or int(length) > limit:
        return _refused(413, _("This is larger than {size} MiB.").format(size=limit // 2**20))
    return None


def _refused(status: int, text: str) -> Response:
    return PlainTextResponse(text + "\n", status)


def _counted(receive: Receive, limit: int) -> Receive:
    """A body whose head did not say how long it is ends at the limit."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413)
        return message

    return counted


def _adding_headers(send: Send) -> Send:
    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return adding
