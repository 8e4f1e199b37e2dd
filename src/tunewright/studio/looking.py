"""Looks at data for pages: one at a time in a thread, with how far it is, a stop and a time limit; the last few are held."""

import logging
import threading
import time
from dataclasses import dataclass, field

from tunewright import api
from tunewright.config.load_config import LoadedConfig
from tunewright.errors import TunewrightError, error

logger = logging.getLogger(__name__)
MOST_SECONDS = 900
PATIENCE_SECONDS = 1.5  # that a page waits before it shows a bar and the first rows


class _StoppedError(Exception):
    """Somebody stopped a look, or it took too long."""


@dataclass
class Looking:
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


class Lookouts:
    """The looks of a server."""

    def __init__(self) -> None:
        self._held = api.DataLooks()
        self._under_way: dict[str, Looking] = {}
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()

    def at(self, loaded: LoadedConfig, patience: float | None = PATIENCE_SECONDS) -> Looking:
        """The look at the data of a config, begun where it is neither held nor under way, after so many seconds at most.

        With None it has ended.
        """
        key = loaded.run.model_dump_json()
        with self._lock:
            looking = self._under_way.get(key)
            if looking is None:
                looking = self._under_way[key] = Looking()
                threading.Thread(target=self._look, args=(key, loaded, looking), daemon=True).start()
        looking.ended.wait(patience)
        return looking

    def _look(self, key: str, loaded: LoadedConfig, looking: Looking) -> None:
        try:
            with self._one_at_a_time:
                looking.progress(0, 0)
                looking.look = api.look_at_rows(loaded, held=self._held, reporter=looking)
                looking.look.page()  # what all pages need is made once
        except TunewrightError as fault:
            looking.fault = fault
        except _StoppedError:
            looking.is_stopped = True
        except Exception as fault:
            logger.exception("a look failed")
            looking.fault = error("E802", reason=f"{type(fault).__name__}: {fault}")
        finally:
            with self._lock:
                del self._under_way[key]
            looking.ended.set()
