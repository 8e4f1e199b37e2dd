"""What runs now, for all who look: each run's events are read once, whoever watches, and streams end with the server."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from tunewright import api
from tunewright.errors import TunewrightError
from tunewright.rundir.event_log import Tail
from tunewright.rundir.run_history import RunHistory
from tunewright.rundir.run_progress import ProgressView

LOOK_SECONDS = 0.3
KEEP_ALIVE_SECONDS = 15
AGAIN_MS = 2000
MOST_STREAMS = 3  # of the six connections that a browser gives one host, pages must have some
MOST_WATCHED = 16


@dataclass
class Watch:
    """A run, and what its events have told so far."""

    run: api.TrainedRun
    created: float
    history: RunHistory = field(default_factory=RunHistory)
    view: ProgressView = field(default_factory=ProgressView)
    _tail: Tail = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._tail = self.run.dir.tail()

    def look(self) -> int:
        """Read what is new; how far the events were read, in bytes. Raises: TrainingError E525."""
        with self._lock:
            if self._tail.path.is_file():
                for events in self._tail.blocks():
                    self.history.take(events)
                    self.view.take(events)
            return self._tail.position


@dataclass
class Live:
    """The watches of a server and its open streams; the watches longest unused are forgotten."""

    is_ending: Callable[[], bool] = lambda: False
    _watches: OrderedDict[Path, Watch] = field(default_factory=OrderedDict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _streams: int = field(default=0, init=False)

    def watch(self, run: api.TrainedRun) -> Watch:
        """The watch of a run, as far as its events are now. Raises: TrainingError E525."""
        with self._lock:
            watch, created = self._watches.get(run.path), run.dir.info().created
            if watch is None or watch.created != created:
                watch = Watch(run, created)
            self._watches[run.path] = watch
            self._watches.move_to_end(run.path)
            while len(self._watches) > MOST_WATCHED:
                self._watches.popitem(last=False)
        watch.look()
        return watch

    def stream(self, look: Callable[[], tuple[str, str]]) -> Response:
        """What `look` gives, a state and its HTML, whenever the state is another one, until the state is empty.

        Where too many streams are open already it is sent once, and the page asks again soon, as after any stream that ended.
        What was removed or damaged meanwhile ends the stream: the page says so when it is asked for anew.
        """
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._frames(look), media_type="text/event-stream", headers=headers)

    async def _once(self, look: Callable[[], tuple[str, str]]) -> AsyncIterator[str]:
        state, text = await _looked(look)
        yield f"retry: {AGAIN_MS}\n" + (message(text) if text else "\n")
        if not state:
            yield message("end", event="end")

    async def _frames(self, look: Callable[[], tuple[str, str]]) -> AsyncIterator[str]:
        if self._streams >= MOST_STREAMS:  # counted when they are read: many may have been asked for at once
            async for frame in self._once(look):
                yield frame
            return
        self._streams += 1
        last, silent = None, 0.0
        try:
            while not self.is_ending():
                state, text = await _looked(look)
                if state != last:
                    last, silent = state, 0.0
                    if text:
                        yield message(text)
                    if not state:
                        yield message("end", event="end")
                        return
                elif silent >= KEEP_ALIVE_SECONDS:
                    silent = 0.0
                    yield ": still here\n\n"
                await asyncio.sleep(LOOK_SECONDS)
                silent += LOOK_SECONDS
        finally:
            self._streams -= 1


async def _looked(look: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    try:
        return await run_in_threadpool(look)
    except (TunewrightError, OSError):
        return "", ""


def message(text: str, event: str = "") -> str:
    """A message of a stream; one with a name is an event for the page's script, one without is swapped in."""
    head = f"event: {event}\n" if event else ""
    return head + "".join(f"data: {line}\n" for line in text.splitlines() or [""]) + "\n"
