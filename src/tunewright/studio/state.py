"""What all requests of a server share."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from tunewright import api
from tunewright.studio.background_looks import BackgroundLooks
from tunewright.studio.live import Live


@dataclass
class Studio:
    """The state of a server; nothing of it is missed when the server is killed."""

    live: Live
    data_looks: BackgroundLooks[api.DataLook] = field(default_factory=BackgroundLooks)
    held_looks: api.DataLooks = field(default_factory=api.DataLooks)
    plan_looks: BackgroundLooks[None] = field(default_factory=BackgroundLooks)
    chats: api.Chats = field(default_factory=api.Chats)
    planner: api.Planner = field(default_factory=api.Planner)
    data_changes: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """by the id of data: a change adds to those before it, so two at once would lose one"""
    beginning: threading.Lock = field(default_factory=threading.Lock)
    """from the look whether a run is on this machine until the next one is"""
    _sent: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def starting(self, form_id: str) -> Iterator[bool]:
        """Whether a form that starts something is sent for the first time; one that failed to start it may be sent again."""
        with self._lock:
            is_first = form_id not in self._sent or not form_id
            self._sent.add(form_id)
        try:
            yield is_first
        except BaseException:
            if is_first:
                self._sent.discard(form_id)
            raise


def studio_of(request: Request) -> Studio:
    """The state of the server that a request came to: Starlette's own `app.state` has no types."""
    studio: Studio = request.app.state.studio
    return studio
