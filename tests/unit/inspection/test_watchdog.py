"""Which processes are taken to stand still: those that wait, not those that compute, themselves or by a child, or are paused."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tunewright.inspection import watchdog
from tunewright.inspection.watchdog import LEAST_COMPUTED_SECONDS, STILL_SECONDS, Watchdog

pytestmark = pytest.mark.processes

WAITS = "import time; time.sleep(60)"
COMPUTES = "while True: pass"
HAS_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {COMPUTES!r}])"


class Clock:
    """Stands in for the module `time`: it goes on when it is told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watchdog, "time", clock)
    return clock


@contextmanager
def program(code: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        yield process
    finally:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for member in family:
            member.kill()
        process.wait()


def wait_until_computed(pid: int) -> None:
    """Until the process and its children have computed enough to count."""
    deadline = time.monotonic() + 60
    process, computed = psutil.Process(pid), 0.0
    while computed < LEAST_COMPUTED_SECONDS + 0.1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        computed = sum(member.cpu_times().user for member in [process, *process.children(recursive=True)])


def looks(seen: Watchdog, clock: Clock, until: float) -> bool:
    """What the last look says, of one every ten seconds."""
    while clock.now + 10 < until:
        clock.now += 10
        seen.look()
    clock.now = until
    return seen.look()


def test_a_process_that_waits_stands_still_after_ten_minutes(clock: Clock) -> None:
    with program(WAITS) as process:
        seen = Watchdog(process.pid)
        assert not looks(seen, clock, STILL_SECONDS - 1)
        assert looks(seen, clock, STILL_SECONDS)


def test_one_that_was_paused_together_with_who_looks_is_left_alone(clock: Clock) -> None:
    with program(WAITS) as process:
        seen = Watchdog(process.pid)
        assert not looks(seen, clock, STILL_SECONDS - 1)
        clock.now += 3600
        assert not seen.look()
        assert looks(seen, clock, clock.now + STILL_SECONDS)


@pytest.mark.parametrize("code", [COMPUTES, HAS_A_CHILD])
def test_one_that_computes_does_not(clock: Clock, code: str) -> None:
    with program(code) as process:
        seen = Watchdog(process.pid)
        wait_until_computed(process.pid)
        assert not looks(seen, clock, STILL_SECONDS)
        assert not looks(seen, clock, STILL_SECONDS + 9), "it counts from the first look that saw it compute"


def test_one_that_is_paused_is_left_alone(clock: Clock) -> None:
    with program(WAITS) as process:
        seen = Watchdog(process.pid)
        process.send_signal(signal.SIGSTOP)
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        assert not looks(seen, clock, STILL_SECONDS)
        process.send_signal(signal.SIGCONT)
        assert not looks(seen, clock, 2 * STILL_SECONDS - 1)


def test_one_that_is_gone_is_left_alone(clock: Clock) -> None:
    with program(WAITS) as process:
        seen = Watchdog(process.pid)
    assert not looks(seen, clock, STILL_SECONDS)


def test_a_sign_of_life_begins_anew(clock: Clock) -> None:
    with program(WAITS) as process:
        seen = Watchdog(process.pid)
        looks(seen, clock, STILL_SECONDS - 1)
        seen.heard()
        assert not looks(seen, clock, 2 * STILL_SECONDS - 2)
