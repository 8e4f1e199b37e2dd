"""The front on a socket: bound before anything is loaded, served until it is stopped, with nothing left behind."""

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psutil
import uvicorn

from tunewright.errors import TunewrightError, error
from tunewright.extras.serve.front import Front
from tunewright.i18n import N_

GRACE_SECONDS = 5  # for requests in flight when it is stopped
BACKLOG = 128


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there, on any free port for 0. Raises: ExportError E642."""
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Where a socket does not name TCP asyncio leaves Nagle's waiting on: 40 ms for each answer on a kept connection.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # also while old connections end
        with contextlib.ExitStack() as on_refusal:
            on_refusal.callback(listener.close)
            listener.bind(address)
            listener.listen(BACKLOG)
            on_refusal.pop_all()
    except OSError as refusal:
        reason = refusal.strerror or str(refusal)
        raise error("E642", host=host, port=port, reason=reason, **_listener_of(port)) from None
    return listener


def _listener_of(port: int) -> dict[str, Any]:
    """The process of ours that listens on a port: `pid` and `process`; empty where the system does not tell."""
    try:
        connections = psutil.net_connections("tcp")
        listening = [c for c in connections if c.status == psutil.CONN_LISTEN and c.pid]
        pid = next(c.pid for c in listening if c.laddr[1:] == (port,))
        return {"pid": pid, "process": psutil.Process(pid).name()}
    except (StopIteration, psutil.Error):
        return {}


@dataclass
class FrontServer:
    """A front on a bound socket, in this thread or in one of its own."""

    listener: socket.socket
    _server: uvicorn.Server | None = field(default=None, init=False)
    _failure: TunewrightError | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Where it is reached from this machine."""
        host, port = self.listener.getsockname()[:2]
        return f"http://{_reachable(host)}:{port}"

    def end_with(self, failure: TunewrightError) -> None:
        """Stop serving, because the engine is gone for good."""
        self._failure = self._failure or failure
        if self._server is not None:
            self._server.should_exit = True

    def run(self, front: Front) -> None:
        """Serve until SIGINT or SIGTERM, which is raised again then. Raises: ExportError E640, E641 of an engine, E649."""
        server = self._prepared(front)
        try:
            server.run(sockets=[self.listener])
        except SystemExit:
            if server.started:  # else it is uvicorn's, for an application that did not start
                raise
        if self._failure:
            raise self._failure
        if not server.started:
            raise _start_failure(front)

    @contextmanager
    def in_background(self, front: Front) -> Iterator[None]:
        """Serve in a thread until the block ends. Raises: ExportError E640, E641 of an engine that ended meanwhile, E649."""
        server = self._prepared(front)
        start: Future[None] = Future()
        front.on_start = partial(start.set_result, None)

        def serve() -> None:
            try:
                with contextlib.suppress(SystemExit):  # uvicorn's, for an application that did not start
                    server.run(sockets=[self.listener])
            finally:
                if not start.done():
                    start.set_exception(_start_failure(front))

        thread = threading.Thread(target=serve, name="tunewright serve", daemon=True)
        thread.start()
        start.result()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()
        if self._failure:
            raise self._failure

    def _prepared(self, front: Front) -> uvicorn.Server:
        config = uvicorn.Config(
            front.app(), log_config=None, access_log=False, server_header=False, lifespan="on", ws="none",
            proxy_headers=False, timeout_graceful_shutdown=GRACE_SECONDS,
        )  # fmt: skip
        logging.getLogger("uvicorn.error").addFilter(_is_fault)
        self._server = uvicorn.Server(config)
        return self._server


def _is_fault(record: logging.LogRecord) -> bool:
    """Whether uvicorn tells of a fault, and not of a second Ctrl-C, which cancels what still waits."""
    return "CancelledError" not in record.getMessage()


def _start_failure(front: Front) -> TunewrightError:
    """Why nothing is served, where the server ended before it answered."""
    fault = front.start_fault
    if isinstance(fault, TunewrightError):
        return fault
    reason = str(fault) or type(fault).__name__ if fault else N_("it ended before it answered")
    return error("E649", reason=reason)


def _reachable(host: str) -> str:
    """A host as a URL has it; the loopback interface for one that means all of them."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
