"""The server: bound to this machine alone before anything is loaded, one for each folder, ended without a trace."""

import contextlib
import gc
import hashlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout
from starlette.types import ASGIApp

from tunewright.errors import error
from tunewright.rundir import atomic_io
from tunewright.security import home

HOST = "127.0.0.1"
PORT = 8686
MORE_PORTS = 20  # that are tried where the usual one is taken
BACKLOG = 128
GRACE_SECONDS = 2
LOOKS, LOOK_SECONDS = 10, 0.1


@dataclass(frozen=True)
class Address:
    """Where a server is, with a code that is good once."""

    port: int
    code: str

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/?code={self.code}"


def listener(port: int | None) -> socket.socket:
    """A socket on this port, or on the first free one from the usual one on. Raises: ExportError E642."""
    wanted = [port] if port is not None else range(PORT, PORT + MORE_PORTS)
    refusal: OSError | None = None
    for candidate in wanted:
        # Where a socket does not name TCP asyncio leaves Nagle's waiting on: 40 ms for each answer on a kept connection.
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # also while old connections end
        try:
            opened.bind((HOST, candidate))
            opened.listen(BACKLOG)
        except OSError as fault:
            opened.close()
            refusal = fault
        else:
            return opened
    assert refusal is not None
    raise error("E642", host=HOST, port=wanted[-1], reason=refusal.strerror or str(refusal))


@contextmanager
def only_one() -> Iterator[Callable[[int], None] | int]:
    """Of the servers of this folder: what is to be told the port, or the port of the one that is there."""
    name = hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:16]
    folder = home() / "studio"
    atomic_io.make_folder(folder)
    record, lock = folder / f"{name}.json", FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        if port := _port_in(record):
            yield port
        else:  # damaged: this one serves as well, on a port of its own
            yield lambda port: atomic_io.write_json(record, {"port": port, "folder": str(Path.cwd())})
        return
    try:
        yield lambda port: atomic_io.write_json(record, {"port": port, "folder": str(Path.cwd())})
    finally:
        record.unlink(missing_ok=True)
        lock.release()


def _port_in(record: Path) -> int | None:
    """The port that a server wrote down; None where it is not there or damaged."""
    for _look in range(LOOKS):  # it is written a moment after the lock is taken
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return int(json.loads(record.read_text())["port"])
        time.sleep(LOOK_SECONDS)
    return None


def serve(opened: socket.socket, build: Callable[[Callable[[], bool]], ASGIApp]) -> None:
    """Serve what `build` makes, which is told whether the server is about to end, until SIGINT or SIGTERM."""
    server: uvicorn.Server
    app = build(lambda: server.should_exit)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="off", ws="none", proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip
    logging.getLogger("uvicorn.error").addFilter(lambda record: "CancelledError" not in record.getMessage())
    server = uvicorn.Server(config)
    gc.freeze()  # else each collection looks through what was imported: an eighth of the time of a long curve
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after a clean end
        server.run(sockets=[opened])
