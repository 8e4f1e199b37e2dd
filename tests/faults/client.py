"""Asks the fork server for a worker. As a program, `python client.py SOCKET HOME RUN` is that worker to a real parent: it
hands signals on, ends as the worker ends, and leaves the worker's pid in RUN.pid and its own in RUN.client. Nothing but the
standard library is imported.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

# What a parent tells the processes of a run about each other.
OF_RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TUNEWRIGHT_MEETING", "TUNEWRIGHT_RANK", "TUNEWRIGHT_FIRST", "GLOO_")


class Forked:
    """A worker of the fork server."""

    def __init__(
        self, address: str, home: str, run: str, fault: dict[str, Any], environment: dict[str, str] | None = None
    ) -> None:
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(address)
        order = json.dumps({"run": run, "home": home, "fault": fault, "environment": environment or {}}).encode()
        socket.send_fds(self.connection, [order], [0])  # a parent's lock, if this is its worker
        self.line = self.connection.makefile("r")
        self.pid = int(self.line.readline())

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, to a worker that may have ended meanwhile."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code, negative for a signal."""
        code = int(self.line.readline())
        self.line.close()
        self.connection.close()
        return code


def _fault(run: str, rank: str) -> dict[str, Any]:
    """What is to go wrong in the first process of this number; those that follow it have no fault."""
    done = Path(f"{run}.faulty{rank}")
    if done.exists():
        return {}
    done.touch()
    return dict(json.loads(os.environ.get(f"FAULT{rank}", "{}")))


def main() -> int:
    address, home, run = sys.argv[1:]
    Path(f"{run}.client").write_text(str(os.getpid()))
    rank = os.environ.get("RANK", "")
    environment = {name: text for name, text in os.environ.items() if name.startswith(OF_RANKS)}
    worker = Forked(address, home, run, _fault(run, rank), environment)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: worker.kill(number))
    Path(f"{run}.pid{rank}").write_text(str(worker.pid))
    code = worker.wait()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main())
