"""A stand-in for a limit on memory, where no control group can be made: `python -m tests.limited RUN GROUP LIMIT LATER`.

A parent as in launch/supervisor.py, beside a watcher that does what the kernel does: when the worker holds more than LIMIT bytes
of its own, the kill is counted in the files of the control group GROUP, and the worker gets signal 9. From the first
checkpoint on the limit is LATER, as if a neighbour had taken memory meanwhile. The most that was held is left in
GROUP/peak. 0 is no limit.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from tunewright.inspection.memory_monitor import Cgroup
from tunewright.launch.supervisor import Supervisor
from tunewright.rundir import run_lock
from tunewright.rundir.checkpoints import CheckpointStore
from tunewright.rundir.run_dir import RunDir

PAGE = os.sysconf("SC_PAGE_SIZE")
LOOK_SECONDS = 0.002


def held_bytes(pid: int) -> int:
    """Memory of a process that no file stands behind: what the kernel cannot take back."""
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return 0
    return (int(resident) - int(shared)) * PAGE


class Watcher:
    """The kernel's part, for one parent."""

    def __init__(self, parent: Supervisor, group: Path, limit: int, later: int) -> None:
        self.parent, self.group, self.limit, self.later = parent, group, limit, later
        self.checkpoints = CheckpointStore(parent.run.checkpoints_dir, parent.run.info().id)
        self.kills = self.peak = self.killed = 0
        self.write()

    def write(self) -> None:
        (self.group / "memory.max").write_text(str(self.limit or "max"))
        (self.group / "memory.current").write_text("0")
        (self.group / "memory.events").write_text(f"oom_kill {self.kills}\n")
        (self.group / "peak").write_text(str(self.peak))

    def watch(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            if self.limit != self.later and self.checkpoints.own():
                self.limit = self.later
                self.write()
            worker = self.parent.worker
            if worker is not None and worker.pid != self.killed:
                self.look(worker.pid)

    def look(self, pid: int) -> None:
        held = held_bytes(pid)
        if held > self.peak:
            self.peak = held
            (self.group / "peak").write_text(str(held))
        if self.limit and held > self.limit:
            self.kills, self.killed = self.kills + 1, pid
            self.write()
            os.kill(pid, signal.SIGKILL)


def main() -> int:
    run, group = RunDir(Path(sys.argv[1])), Path(sys.argv[2])
    limit, later = map(int, sys.argv[3:5])
    group.mkdir(exist_ok=True)
    descriptor = run_lock.own(run.path)
    assert descriptor is not None, "another process owns the run"
    parent = Supervisor(run, groups=(Cgroup(group),), lock=descriptor)
    watcher = Watcher(parent, group, limit, later)
    threading.Thread(target=watcher.watch, daemon=True).start()
    return parent.supervise()


if __name__ == "__main__":
    sys.exit(main())
