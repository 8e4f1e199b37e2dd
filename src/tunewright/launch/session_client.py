"""The client of a session: one worker process that keeps the model of a finished run loaded and answers requests."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from tunewright.errors import error, errors_of
from tunewright.inspection.visible_device import visible_device
from tunewright.launch.worker_environment import worker_environment
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.base_fingerprint import BaseChange, as_problems, changes, refuse_without_base
from tunewright.rundir.run_dir import RunDir, unfit
from tunewright.rundir.session_protocol import (
    ErrorReply,
    ProgressReply,
    ResultReply,
    SessionRequest,
    SessionResult,
    TextReply,
    read_reply,
)
from tunewright.security import command, spawn

ResultT = TypeVar("ResultT", bound=SessionResult)
SessionState = Literal["away", "loading", "busy", "ready"]


@dataclass
class SessionClient:
    """Started with the first request; ends with `close` or with this process. Threads may share it: it is asked one thing at a
    time.
    """

    run: RunDir
    module: str = "tunewright.engine.session_server"
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: "subprocess.Popen[str] | None" = field(default=None, init=False)
    _changed: list[BaseChange] = field(default_factory=list, init=False)
    _has_loaded: bool = field(default=False, init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __enter__(self) -> "SessionClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(
        self,
        request: SessionRequest,
        result: type[ResultT],
        reporter: Reporter = SILENT,
        on_text: Callable[[str], None] = lambda _piece: None,
    ) -> ResultT:
        """The result of one operation of the session; `on_text` gets each piece of an answer, and an empty one when it begins.

        If the base has changed since the training, only answers are allowed: every measurement would be wrong.
        Raises: the errors of the worker; ModelError E324 for a missing base, TrainingError E515; E541 while another request is
        answered.
        """
        if not self._turn.acquire(blocking=False):
            raise error("E541", name=self.run.name)
        try:
            return self._answered(request, result, reporter, on_text)
        finally:
            self._turn.release()

    @property
    def state(self) -> SessionState:
        """`away` without a process, `loading` until its model is there, `busy` while it answers, else `ready`."""
        if self._process is None or self._process.poll() is not None:
            return "away"
        if self._turn.locked():
            return "busy" if self._has_loaded else "loading"
        return "ready" if self._has_loaded else "away"

    def _answered(
        self, request: SessionRequest, result: type[ResultT], reporter: Reporter, on_text: Callable[[str], None]
    ) -> ResultT:
        if not (self.run.adapter_dir / "adapter_config.json").is_file():
            raise unfit(self.run, request.do)
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        if self._process is None:
            plan = self.run.plan()
            refuse_without_base(plan)
            self._changed = changes(plan)
            self._has_loaded = False
        if self._changed and request.needs_same_base:
            raise errors_of(as_problems("E515", self._changed, name=self.run.name))
        process = self._process = self._process or self._start()
        reply = self._last_reply(process, request, reporter, on_text)
        if isinstance(reply, ErrorReply):
            raise errors_of(reply.problems)
        if reply is None:
            self._process = None
            how = f"exit code {process.wait()}"
            raise error("E506", how=how, log=str(self.run.file(file_names.LOG)), name=self.run.name)
        self._has_loaded = True
        return result.from_json(reply.result)

    def _last_reply(
        self,
        process: "subprocess.Popen[str]",
        request: SessionRequest,
        reporter: Reporter,
        on_text: Callable[[str], None],
    ) -> ResultReply | ErrorReply | None:
        """The reply that ends a request; None where the worker ended before it.

        A worker whose replies were not read to the end is ended too: the next request would take the rest for its own.
        """
        assert process.stdin is not None and process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # its output has then ended, too
                process.stdin.write(request.to_line() + "\n")
                process.stdin.flush()
            for line in process.stdout:
                if not line.endswith("\n"):  # it was ended while it wrote
                    return None
                reply = read_reply(line)
                if isinstance(reply, ProgressReply):
                    reporter.progress(reply.done, reply.total)
                elif isinstance(reply, TextReply):
                    self._has_loaded = True
                    on_text(reply.text)
                else:
                    return reply
        except BaseException:
            self._process = None
            process.kill()
            process.wait()
            raise
        return None

    def _start(self) -> "subprocess.Popen[str]":
        visible = visible_device(self.run.plan().run.run.device_index)
        with self.run.private(), _log(self.run.file(file_names.LOG)) as log:
            return spawn(
                command(self.module, str(self.run.path)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                detached=True,
                environment={**worker_environment(), **visible, **self.environment},
            )

    def interrupt(self) -> None:
        """End the answer that is being generated, whose text has begun to come: its request then returns what there is of it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """End the worker at once, from any thread: whoever waits for an answer gets TrainingError E506."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the worker, once it has answered."""
        process = self._process
        self._process = None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()


def _log(path: Path) -> BinaryIO:
    """The log, opened to append; the null device where it cannot be written: a read-only disk, a link to elsewhere."""
    try:
        return atomic_io.open_log(path)
    except OSError:
        return Path(os.devnull).open("ab")
