"""Whether memory ran out for a process, seen from beside it: what the kernel counted, what was held, what was left.

The kernel ends a process for memory by signal 9 without a message. But it counts such kills: in the control group that
the process is in (cgroup version 2 or 1), and for the whole machine.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tunewright.i18n import N_

OWN_GROUPS, MOUNT, VMSTAT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"), Path("/proc/vmstat")
LIMITS = ("memory.max", "memory.limit_in_bytes")
USED = ("memory.current", "memory.usage_in_bytes")
KILLS = ("memory.events", "memory.oom_control")
FILE_CACHE = (("total_inactive_file", "inactive_file"), ("total_active_file", "active_file"))
NO_LIMIT = 2**60
# Share of the memory that is left when daemons such as earlyoom begin to kill, whom no kernel counts.
NEARLY_FULL = 0.05
LOOKS_KEPT = 10

COUNTED = N_("the kernel counted a kill for memory")
FULL = N_("killed when almost no memory was left")


@dataclass(frozen=True)
class Cgroup:
    """The memory files of a control group, by its folder; a file that is not there says nothing."""

    folder: Path

    def limit_bytes(self) -> int | None:
        limit = _number(self.folder, LIMITS)
        return limit if limit is not None and limit < NO_LIMIT else None

    def left_bytes(self) -> int | None:
        """What the group may still use; page cache counts as free, as it is evicted."""
        limit, used = self.limit_bytes(), _number(self.folder, USED)
        if limit is None or used is None:
            return None
        cached = [_entry(self.folder / "memory.stat", names) or 0 for names in FILE_CACHE]
        return limit - used + sum(cached)

    def kills(self) -> int | None:
        """Processes of the group that were killed for memory, by any limit."""
        counts = [_entry(self.folder / name, ("oom_kill",)) for name in KILLS]
        return next((count for count in counts if count is not None), None)


def own_groups(listed: Path = OWN_GROUPS, mount: Path = MOUNT) -> tuple[Cgroup, ...]:
    """The control groups of memory that this process is in, the innermost first; none where there are no such groups."""
    if not listed.is_file():
        return ()
    lines = (line.split(":", 2) for line in listed.read_text().splitlines())
    groups = [group for _id, names, place in lines for group in _groups(names.split(","), place, mount)]
    return tuple(group for group in groups if group.limit_bytes() is not None or group.kills() is not None)


def _groups(controllers: list[str], place: str, mount: Path) -> Iterator[Cgroup]:
    """A group and those around it. A container may see its own group as the root of them all."""
    if controllers == [""] or "memory" in controllers:
        root = mount if controllers == [""] else mount / "memory"
        folder = root / place.lstrip("/")
        while folder != root and root in folder.parents:
            yield Cgroup(folder)
            folder = folder.parent
        yield Cgroup(root)


@dataclass(frozen=True)
class MemorySample:
    """One look: what the process held, what was left of the total, and kills for memory so far."""

    held_bytes: int
    left_bytes: int
    total_bytes: int
    kills: int


@dataclass
class MemoryMonitor:
    """Samples a process, and tells after its death whether memory ran out.

    Cost of a look: less than a millisecond.
    """

    pid: int
    groups: tuple[Cgroup, ...] = field(default_factory=own_groups)
    looks: deque[MemorySample] = field(default_factory=lambda: deque(maxlen=LOOKS_KEPT), init=False)
    peak_bytes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> None:
        """Record the current use; only the last samples are kept, and the peak."""
        held = self._held_bytes()
        self.looks.append(MemorySample(held, *self._room(), self._kills()))
        self.peak_bytes = max(self.peak_bytes, held)

    @property
    def total_bytes(self) -> int:
        """What there is altogether: the tightest limit, else the machine's memory."""
        return self.looks[-1].total_bytes

    def evidence(self) -> str | None:
        """How it is known that a process killed by signal 9 was killed for memory, in a phrase; None if nothing says so.

        A kill counts if the count rose within the last looks; the count of a machine may rise for others too.
        """
        if self._kills() > self.looks[0].kills:
            return COUNTED
        least = min(look.left_bytes / look.total_bytes for look in self.looks)
        return FULL if least < NEARLY_FULL else None

    def _held_bytes(self) -> int:
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _room(self) -> tuple[int, int]:
        """Bytes left and bytes in all, where the smallest share is left."""
        machine = psutil.virtual_memory()
        rooms = [(int(machine.available), int(machine.total))]
        for group in self.groups:
            left, limit = group.left_bytes(), group.limit_bytes()
            if left is not None and limit:
                rooms.append((left, min(limit, machine.total)))
        return min(rooms, key=lambda room: room[0] / room[1])

    def _kills(self) -> int:
        counts = [group.kills() for group in self.groups[:1]]
        counts += [_entry(VMSTAT, ("oom_kill",))]
        return next((count for count in counts if count is not None), 0)


def _number(folder: Path, names: tuple[str, ...]) -> int | None:
    """The number that the first of these files holds; None for `max`, or without such a file."""
    for name in names:
        try:
            text = (folder / name).read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdigit() else None
    return None


def _entry(path: Path, names: tuple[str, ...]) -> int | None:
    """The value of the first of these names in a file of `name value` lines."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    values = dict(line.rsplit(" ", 1) for line in lines if " " in line)
    return next((int(values[name]) for name in names if name in values), None)
