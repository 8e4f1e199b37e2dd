"""The language of a request: what its reader chose on the page, else what the browser prefers, else that of this process."""

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from tunewright.i18n import language, speaking

LANGUAGES = {"en": "English", "zh": "中文"}
COOKIE = "tunewright_language"


def language_of(headers: Headers) -> str:
    """`en` or `zh`."""
    chosen = cookie_parser(headers.get("cookie", "")).get(COOKIE)
    if chosen in LANGUAGES:
        return str(chosen)
    preferred = headers.get("accept-language", "")
    if not preferred:
        return language()
    return "zh" if preferred.strip().lower().startswith("zh") else "en"


class Speaking:
    """ASGI middleware: everything that answers a request speaks its language, in threads, too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with speaking(language_of(Headers(scope=scope))):
            await self.app(scope, receive, send)
