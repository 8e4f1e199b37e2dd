"""A browser's pages under watch: what a console says, what a script throws and what is asked of others is a fault."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, WebError

# What a browser says of itself where a server is gone.
GONE = "htmx:sse:error|ERR_(CONNECTION_REFUSED|CONNECTION_RESET|INCOMPLETE_CHUNKED_ENCODING|EMPTY_RESPONSE|INTERNET_DISCONNECTED)"


@dataclass
class Watch:
    """The faults of a context's pages. A message that matches `expected` is none."""

    context: BrowserContext
    netloc: str
    faults: list[str] = field(default_factory=list)
    expected: str = ""

    def __post_init__(self) -> None:
        self.context.on("console", self._said)
        self.context.on("weberror", self._threw)
        self.context.on("request", self._asked)

    @contextmanager
    def expecting(self, pattern: str) -> Iterator[None]:
        """While a server is gone or a page is not there, the browser itself says so in the console."""
        before, self.expected = self.expected, pattern
        try:
            yield
        finally:
            self.expected = before

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._fault(f"{message.text} ({message.location.get('url')})")

    def _threw(self, fault: WebError) -> None:
        self._fault(str(fault.error))

    def _asked(self, request: Request) -> None:
        place = urlsplit(request.url)
        if place.scheme not in ("data", "blob") and place.netloc != self.netloc:
            self._fault(f"asked another host: {request.url}")

    def _fault(self, text: str) -> None:
        if not (self.expected and re.search(self.expected, text)):
            self.faults.append(text)
