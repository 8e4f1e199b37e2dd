"""How a run says how it ended on a disk that is full: with reserved space, and by trying again.

Parent and worker each hold a few kilobytes in the run's folder. They are given back when the disk refuses run.json or the
last events, which then have room, and are reserved again as soon as there is some.
"""

import io
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.rundir import atomic_io
from tunewright.rundir.event_log import EventLog
from tunewright.rundir.run_dir import RunDir

RESERVE = ".reserve-"
SIZES = (65536, 32768, 16384, 8192)  # bytes; as much as there is
TRY_SECONDS, PAUSE_SECONDS = 20.0, 0.2


@dataclass(frozen=True)
class DiskReserve:
    """A file that is there for the room that it takes."""

    path: Path

    def hold(self) -> None:
        """Put room aside, if there is any and it is not held already."""
        for size in SIZES:
            if self.path.is_file():
                return
            with suppress(OSError):
                atomic_io.write_random(self.path, size)

    def give_back(self) -> None:
        atomic_io.drop(self.path)


def reserve_of(run: RunDir, who: str) -> DiskReserve:
    """The room of the `parent` or of the `worker`."""
    return DiskReserve(run.file(RESERVE + who))


@dataclass
class EndingWriter:
    """run.json for the process that owns the run: what the disk refuses waits, and is written with the next change."""

    run: RunDir
    _waiting: dict[str, object] = field(default_factory=dict, init=False)

    @property
    def reserve(self) -> DiskReserve:
        return reserve_of(self.run, "parent")

    def update(self, **changes: Any) -> bool:
        """Change run.json, now or later; False if it waits."""
        self._waiting |= changes
        return self.flush()

    def flush(self) -> bool:
        """Write what waits, with the reserved space if necessary; False if the disk still refuses it."""
        if self._waiting and not self._write():
            self.reserve.give_back()
            if not self._write():
                return False
        self.reserve.hold()
        return True

    def close(self, **changes: Any) -> bool:
        """The last change, tried for a while; all room is given back. False if the disk refused it to the end."""
        self._waiting |= changes
        for who in ("parent", "worker"):  # a worker may have been killed
            reserve_of(self.run, who).give_back()
        return _until(self._write)

    def _write(self) -> bool:
        try:
            self.run.update_info(**self._waiting)
        except OSError as fault:
            if fault.errno not in atomic_io.REFUSALS:
                raise
            return False
        self._waiting.clear()
        return True


def last_words(events: EventLog, reserve: DiskReserve) -> bool:
    """See to it that all events of a process that ends are written; False if the disk refused them to the end."""
    reserve.give_back()
    return _until(events.flush)


def _until(is_done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + TRY_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_SECONDS)
    return True


class _Lossy(io.FileIO):
    """A log that does not end its process: what a full disk has no room for is dropped."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def keep_talking() -> None:
    """Give this process a standard output and error that a full disk does not turn into an error of their own."""
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(_Lossy(number, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)
        for number in (1, 2)
    )
