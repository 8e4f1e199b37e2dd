"""Looks at data for pages: one at a time in a thread, with how far it is, a stop and a time limit. Who waits holds no thread."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from tunewright.errors import TunewrightError, error, unexpected
from tunewright.reporting import Reporter

logger = logging.getLogger(__name__)
MOST_SECONDS = 900
Seen = TypeVar("Seen")


class _StoppedError(Exception):
    """Somebody stopped a look, or it took too long."""


@dataclass
class PendingLook(Generic[Seen]):
    """A look under way, and its end: what was seen, or what is wrong. It is the reporter of its own work."""

    done: int = 0
    total: int = 0
    is_stopped: bool = False
    doing: str = field(default="", init=False)
    """what it does now, where that takes a moment"""
    _outcome: "Future[Seen]" = field(default_factory=Future)
    _begun: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._outcome.set_running_or_notify_cancel()  # whoever no longer waits for it does not cancel it

    def progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self.is_stopped or time.monotonic() - self._begun > MOST_SECONDS:
            raise _StoppedError

    def note(self, text: str) -> None:
        self.doing = text

    def stop(self) -> None:
        """End it at its next step, if it has not ended."""
        self.is_stopped = not self.has_ended

    @property
    def has_ended(self) -> bool:
        return self._outcome.done()

    async def ended(self, seconds: float | None = None) -> bool:
        """Whether it has ended, after so many seconds at most; without a number it has."""
        if not self.has_ended:
            waiting = asyncio.wrap_future(self._outcome)
            try:
                await asyncio.wait([waiting], timeout=seconds)
            finally:
                if not waiting.cancel():
                    waiting.exception()  # asyncio wants it asked for; `result` raises it
        return self.has_ended

    def result(self) -> Seen:
        """What was seen by a look that has ended. Raises: what is wrong with the data; DataError E268 for one that was stopped."""
        return self._outcome.result()

    def perform(self, look: Callable[[Reporter], Seen]) -> None:
        """Look, and end."""
        self._begun = time.monotonic()
        try:
            self.progress(0, 0)
            seen = look(self)
        except TunewrightError as fault:
            self._outcome.set_exception(fault)
        except _StoppedError:
            self.is_stopped = True
            self._outcome.set_exception(error("E268"))
        except Exception as fault:
            logger.exception("a look failed")
            self._outcome.set_exception(unexpected(fault))
        else:
            self.is_stopped = False  # it was quicker than the stop
            self._outcome.set_result(seen)


class BackgroundLooks(Generic[Seen]):
    """The looks of one kind of a server, each under a key that stands for what is looked at."""

    def __init__(self) -> None:
        self._pending: dict[Hashable, PendingLook[Seen]] = {}
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()

    def at(self, key: Hashable, look: Callable[[Reporter], Seen]) -> PendingLook[Seen]:
        """The look that is under way or was stopped, else one that begins now."""
        with self._lock:
            pending = self._pending.get(key)
            if pending is None:
                pending = self._pending[key] = PendingLook()
                # It speaks the language of whoever asked first.
                perform = partial(copy_context().run, self._perform, key, look, pending)
                threading.Thread(target=perform, daemon=True).start()
        return pending

    def stop(self, key: Hashable) -> None:
        """End the look that is under way; that it was stopped is held until it is asked for `again`."""
        with self._lock:
            if key in self._pending:
                self._pending[key].stop()

    def again(self, key: Hashable) -> None:
        """Forget that a look was stopped."""
        with self._lock:
            if key in self._pending and self._pending[key].is_stopped:
                del self._pending[key]

    def _perform(self, key: Hashable, look: Callable[[Reporter], Seen], pending: PendingLook[Seen]) -> None:
        with self._one_at_a_time:
            pending.perform(look)
        with self._lock:
            if not pending.is_stopped and self._pending.get(key) is pending:
                del self._pending[key]
