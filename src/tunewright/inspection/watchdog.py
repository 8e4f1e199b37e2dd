"""Whether a process still does anything, seen from beside it: the time its threads and children computed.

A worker that waits for something that never comes (a lock, a collective, a vanished disk) computes nothing and ends never.
The processors' time needs no word from it, so a worker that is deep in a library is watched like any other.
"""

import time
from dataclasses import dataclass, field

import psutil

STILL_SECONDS = 600.0
# Threads that only wait and poll use less in ten minutes; training, loading or writing uses more.
LEAST_COMPUTED_SECONDS = 1.0
# Looks that lie so far apart were paused themselves, and the process with them.
PAUSE_SECONDS = 30.0
PAUSED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


@dataclass
class Watchdog:
    """Looks at a process again and again. The clock does not run while the machine sleeps.

    Cost of a look: about a millisecond.
    """

    pid: int
    seconds: float = STILL_SECONDS
    _since: float = field(init=False)
    _looked: float = field(init=False)
    _computed: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.heard()
        self._looked = self._since

    def heard(self) -> None:
        """It gave another sign of life."""
        self._since = time.monotonic()

    def look(self) -> bool:
        """Whether the process did nothing for so long; one that is paused or gone is not still."""
        computed, now = self._computed_seconds(), time.monotonic()
        was_paused, self._looked = now - self._looked > PAUSE_SECONDS, now
        if computed is None or was_paused or abs(computed - self._computed) >= LEAST_COMPUTED_SECONDS:
            self._computed = computed or self._computed
            self.heard()
        return now - self._since >= self.seconds

    def _computed_seconds(self) -> float | None:
        """Of the process and its children, those that ended too; None if it is paused or gone."""
        try:
            process = psutil.Process(self.pid)
            if process.status() in PAUSED:
                return None
            family = [process, *process.children(recursive=True)]
            return sum(sum(member.cpu_times()[:4]) for member in family)  # the last two of them: children that ended
        except psutil.Error:
            return None
