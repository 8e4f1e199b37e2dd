"""A front on its socket with the backend that was chosen: everything is bound and loaded, and nothing is answered yet."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunewright.errors import TunewrightError, unexpected
from tunewright.extras.serve.api_key import read_key
from tunewright.extras.serve.backend import ServedModel
from tunewright.extras.serve.front import Front
from tunewright.extras.serve.gate import Access
from tunewright.extras.serve.llama_backend import LlamaBackend
from tunewright.extras.serve.llama_engine import LlamaModel, start_engine
from tunewright.extras.serve.run_front import FrontServer, bind
from tunewright.extras.serve.serve_options import LOOPBACK, REQUEST_SECONDS, ServeOptions
from tunewright.extras.serve.session_backend import ServedSession, SessionBackend

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenFront:
    """A front and its socket: served in this thread by `run`, in another one inside `in_background`."""

    front: Front
    server: FrontServer

    @property
    def url(self) -> str:
        return self.server.url

    def run(self, beside: Callable[[], None] | None = None) -> None:
        """Serve until SIGINT or SIGTERM, which is raised again then; `beside` runs in a thread of its own as soon as it answers.

        Raises: ExportError E640, E641, E649; TrainingError E506; what `beside` raises, which ends serving.
        """
        if beside:
            thread = threading.Thread(target=self._ending_with_its_error, args=(beside,), daemon=True)
            self.front.on_start = thread.start
        self.server.run(self.front)

    def _ending_with_its_error(self, work: Callable[[], None]) -> None:
        try:
            work()
        except TunewrightError as failure:
            self.server.end_with(failure)
        except Exception as fault:
            logger.exception("what runs beside the front failed")
            self.server.end_with(unexpected(fault))

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Serve until the block ends. Raises: as `run`."""
        with self.server.in_background(self.front):
            yield


@contextmanager
def llama_front(
    model: LlamaModel, models: Sequence[ServedModel], options: ServeOptions, *, log: Path
) -> Iterator[OpenFront]:
    """llama.cpp behind the front. Raises: ExportError E601, E640, E642 to E644; ModelError E308."""
    access = _access(options)
    server = FrontServer(bind(options.host, options.port))
    with server.listener, start_engine(model, log=log) as engine:
        backend = LlamaBackend(engine, server.end_with, REQUEST_SECONDS)
        yield OpenFront(Front(backend, models, access, options.idle_seconds or None), server)


@contextmanager
def session_front(
    sessions: dict[str, ServedSession], models: Sequence[ServedModel], context: int, options: ServeOptions
) -> Iterator[OpenFront]:
    """The runs' own sessions behind the front. Raises: ExportError E642 to E644."""
    access = _access(options)
    server = FrontServer(bind(options.host, options.port))
    with server.listener:
        backend = SessionBackend(sessions, context, server.end_with)
        try:
            yield OpenFront(Front(backend, models, access, options.idle_seconds or None), server)
        finally:
            for session in sessions.values():
                session.client.close()


def _access(options: ServeOptions) -> Access:
    """Whom the front lets in. Where others reach it they have the key, and call it as their network does."""
    options.refuse_unsafe()
    key = read_key(options.api_key_file) if options.api_key_file else None
    hosts = LOOPBACK if options.host in LOOPBACK else None
    return Access(key, hosts, options.cors)
