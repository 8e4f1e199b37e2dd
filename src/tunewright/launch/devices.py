"""Devices that runs are placed on side by side, one run on each: GPUs by their numbers, cores of a CPU by theirs.

A run's parent holds a lock of its device for as long as it lives, so that runs of several commands take turns.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from filelock import FileLock, Timeout

from tunewright.config.validation_problems import one_of
from tunewright.errors import error
from tunewright.inspection.visible_device import name_of, visible_device
from tunewright.security import home

ALL = "all"
LOOK_SECONDS = 0.5
PLACE = "TUNEWRIGHT_DEVICE"  # what a parent is told: gpu-1, cpu-0


@dataclass(frozen=True)
class Device:
    """A GPU among those visible here, or a core among those that this process may use."""

    kind: Literal["gpu", "cpu"]
    number: int

    @property
    def name(self) -> str:
        """What all commands of this machine call it, in characters of a file's name."""
        number = name_of(self.number) if self.kind == "gpu" else str(self.number)
        return f"{self.kind}-{re.sub(r'[^A-Za-z0-9.-]', '-', number)}"

    def environment(self) -> dict[str, str]:
        """What a parent on this device is told, and which GPU it sees."""
        return {PLACE: self.name} | (visible_device(self.number) if self.kind == "gpu" else {})


def named(text: str, *, is_on_cpu: bool, num_gpus: int) -> list[Device]:
    """The devices of `--devices`: `all`, or numbers with commas between them. Raises: ConfigError E133."""
    kind: Literal["gpu", "cpu"] = "cpu" if is_on_cpu else "gpu"
    there = cores() if is_on_cpu else list(range(num_gpus))
    if text.strip() == ALL:
        return [Device(kind, number) for number in there]
    words = [word.strip() for word in text.split(",") if word.strip()]
    known = {str(number): number for number in there}
    if not words or any(word not in known for word in words):
        raise error("E133", name="--devices", reason=one_of([ALL, *known]), value=text)
    return [Device(kind, number) for number in dict.fromkeys(known[word] for word in words)]


def cores() -> Sequence[int]:
    """Numbers of the cores that this process may use; those of the whole machine where the system tells no more."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


@contextmanager
def occupied(is_asked_to_stop: Callable[[], bool]) -> Iterator[None]:
    """For a run's parent: wait until the device that it is placed on is free, and stay on it; at once for one that is not placed.

    Who is asked to stop while it waits goes on without the device, to stop.
    """
    name = os.environ.pop(PLACE, "")
    if not name:
        yield
        return
    kind, _hyphen, number = name.partition("-")
    folder = home() / "devices"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    while not lock.is_locked and not is_asked_to_stop():
        with suppress(Timeout):
            lock.acquire(timeout=LOOK_SECONDS)
    if kind == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(number)})
    try:
        yield
    finally:
        lock.release()
