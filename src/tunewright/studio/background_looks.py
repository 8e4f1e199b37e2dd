"""Looks at data for pages: one at a time in a thread, with how far it is, a stop and a time limit; the last few are held."""

import logging
import threading
import time
from dataclasses import dataclass, field

from tunewright import api
from tunewright.config.load_config import LoadedConfig
from tunewright.errors import TunewrightError, error, unexpected

logger = logging.getLogger(__name__)
MOST_SECONDS = 900


class _StoppedError(Exception):
    """Somebody stopped a look, or it took too long."""


@dataclass
class PendingLook:
    """A look under way, and its end: a look, or what is wrong. It is the reporter of its own work."""

    done: int = 0
    total: int = 0
    look: api.DataLook | None = None
    fault: TunewrightError | None = None
    is_stopped: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    _begun: float = field(default_factory=time.monotonic)

    def progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self.is_stopped or time.monotonic() - self._begun > MOST_SECONDS:
            raise _StoppedError

    def note(self, text: str) -> None:
        pass

    def stop(self) -> None:
        """End it at its next step."""
        self.is_stopped = True

    def result(self) -> api.DataLook:
        """What was found. Raises: what is wrong with the data."""
        self.ended.wait()
        if self.look is None:
            raise self.fault or error("E268")
        return self.look


class BackgroundLooks:
    """The looks of a server."""

    def __init__(self) -> None:
        self._held = api.DataLooks()
        self._under_way: dict[str, PendingLook] = {}
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()

    def at(self, loaded: LoadedConfig, patience: float | None) -> PendingLook:
        """The look at the data of a config, begun where it is neither held nor under way, after so many seconds at most.

        With None it has ended.
        """
        key = loaded.run.model_dump_json()
        with self._lock:
            pending = self._under_way.get(key)
            if pending is None:
                pending = self._under_way[key] = PendingLook()
                threading.Thread(target=self._look, args=(key, loaded, pending), daemon=True).start()
        pending.ended.wait(patience)
        return pending

    def _look(self, key: str, loaded: LoadedConfig, pending: PendingLook) -> None:
        try:
            with self._one_at_a_time:
                pending.progress(0, 0)
                pending.look = api.look_at_rows(loaded, held=self._held, reporter=pending)
                pending.look.page()  # what all pages need is made once
        except TunewrightError as fault:
            pending.fault = fault
        except _StoppedError:
            pending.is_stopped = True
        except Exception as fault:
            logger.exception("a look failed")
            pending.fault = unexpected(fault)
        finally:
            with self._lock:
                del self._under_way[key]
            pending.ended.set()
