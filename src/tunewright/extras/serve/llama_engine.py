"""llama.cpp's server as a child: started, waited for, started again once if it dies, and never left behind. Torch-free."""

import contextlib
import http.client
import os
import re
import secrets
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tunewright.errors import TunewrightError, error
from tunewright.extras.serve.engine_settings import EngineAddress, EngineSettings
from tunewright.i18n import N_, Phrase
from tunewright.security import command, gate_gguf, printable, spawn

WORKER = "tunewright.extras.serve.llama_worker"
START_SECONDS = 300.0
SLOWEST_DISK = 20 * 2**20  # bytes a second: so much longer a large file may take
# How often a thread that waits for the others looks before it sleeps, of GNU's OpenMP. Its own 300,000 keep the core from other
# processes, and a token then takes seconds; with none of it each of a token's many waits wakes a sleeping core. Tokens a second
# of one client, idle and beside a process that computes: 0: 26 and 42; 100: 58 and 36; 300: 76 and 29; 600: 82 and 23;
# 10,000: 88 and 3 (SmolLM2-135M with an adapter, two cores of an AMD EPYC, November 2026).
WAITING = {"GOMP_SPINCOUNT": "500"}
CLOSE_SECONDS = 5.0
ENDING_SECONDS = 5.0
POLL_SECONDS = 0.02
NUM_ERRORS = 3
_LEVEL = re.compile(r"^[\d.]+ ([EWI]) ")  # as llama.cpp writes them


@dataclass(frozen=True)
class LlamaModel:
    """A GGUF file and the LoRA adapters on it.

    Adapters have the ids 0, 1, ... in requests. A single one is applied from the start; of several none is, until a
    request names their scales: `"lora": [{"id": 0, "scale": 1.0}, {"id": 1, "scale": 0.0}]`. An id left out of that list
    keeps nothing on, an empty list changes nothing (llama.cpp #28674), so that a request names them all.
    """

    path: Path
    adapters: tuple[Path, ...] = ()
    context: int = 2048
    """Tokens of prompt and answer together that one request may have."""
    slots: int = 1
    """How many requests are answered at once; each has a context of its own."""
    threads: int | None = None
    """All cores this process may use, if None."""

    def num_threads(self) -> int:
        return self.threads or len(os.sched_getaffinity(0))

    def settings(self, key: str) -> EngineSettings:
        """What the child is told."""
        adapters = tuple(str(path.resolve()) for path in self.adapters)
        return EngineSettings(
            str(self.path.resolve()), adapters, self.context, self.slots, self.num_threads(), key
        )  # fmt: skip

    def start_seconds(self) -> float:
        """After how long a start counts as hung."""
        return START_SECONDS + self.path.stat().st_size / SLOWEST_DISK


@dataclass
class LlamaEngine:
    """A running server on a random port of the loopback interface, with a random key. Not to be shared by processes."""

    model: LlamaModel
    log: Path
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    restarts: int = field(default=0, init=False)
    """How often it had to be started again."""
    _port: int = field(default=0, init=False)
    _log_start: int = field(default=0, init=False)
    _process: "subprocess.Popen[str] | None" = field(default=None, init=False, repr=False)

    def __enter__(self) -> "LlamaEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where it listens; another port after a restart."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self.is_running() and self._process else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the child and wait until it answers. Raises: ExportError E640, E641."""
        deadline = time.monotonic() + self.model.start_seconds()
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            process = spawn(
                command(WORKER),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, detached=True, environment=WAITING,
            )  # fmt: skip
        self._process = process
        try:
            self._port = self._address(process, deadline)
            while not self._is_ready():
                if process.poll() is not None:
                    raise self._failure("E640")
                if time.monotonic() > deadline:
                    raise self._too_late()
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.close()
            raise

    def restart(self) -> None:
        """Start it again after it died; a second time it stays down. Raises: ExportError E641, E640."""
        if self.is_running():
            return
        if self.restarts:
            raise self._failure("E641")
        self.restarts += 1
        self.close()
        self.start()

    def ends_soon(self) -> bool:
        """Whether the child has ended, or does so within moments: its connections break before it is gone."""
        process = self._process
        try:
            return process is None or process.wait(ENDING_SECONDS) is not None
        except subprocess.TimeoutExpired:
            return False

    def end_hung(self) -> None:
        """End a child that runs and does not answer any more; `restart` may follow."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """End the child: at the end of its input at once, by SIGKILL if it does not hear."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _address(self, process: "subprocess.Popen[str]", deadline: float) -> int:
        """The port that the child reports."""
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # its output has then ended, too
            process.stdin.write(self.model.settings(self.key).to_line() + "\n")
            process.stdin.flush()
        select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not _is_readable(process):
            raise self._too_late()
        line = process.stdout.readline()
        if not line:
            raise self._failure("E640")
        return EngineAddress.from_line(line).port

    def _is_ready(self) -> bool:
        """Whether the model is loaded: /health needs no key, and says 503 until then."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _failure(self, code: str) -> TunewrightError:
        return self._fault(code, last_words(self.log, self._log_start))

    def _too_late(self) -> TunewrightError:
        seconds = round(self.model.start_seconds())
        return self._fault("E640", Phrase(N_("it did not answer within {seconds} seconds"), seconds=seconds))

    def _fault(self, code: str, reason: str) -> TunewrightError:
        return error(code, file=self.model.path.name, log=str(self.log), reason=reason)


def _is_readable(process: "subprocess.Popen[str]") -> bool:
    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0)[0])


def last_words(log: Path, start: int) -> str:
    """What a log says from this byte on, fit for a terminal: its last errors, or its last line."""
    lines = log.read_bytes()[start:].decode("utf-8", "replace").splitlines()
    errors = [line for line in lines if (level := _LEVEL.match(line)) and level[1] == "E"]
    messages = [_LEVEL.sub("", printable(line)).strip() for line in errors[-NUM_ERRORS:] or lines[-1:]]
    return "; ".join(messages)


def refuse_without_engine() -> None:
    """Raises: ExportError E601 where llama.cpp's wheel is not installed."""
    if find_spec("xllamacpp") is None:
        raise error("E601", what="llama.cpp", extra="serve")


@contextmanager
def start_engine(model: LlamaModel, *, log: Path) -> Iterator[LlamaEngine]:
    """llama.cpp's server for this model, ready to answer, until the block ends.

    Its key and address are `.key` and `.url`. The child also ends with this process, however that ends.
    Raises: ExportError E601, E640; ModelError E308 for a file that does not hold.
    """
    refuse_without_engine()
    for path in (model.path, *model.adapters):
        gate_gguf(path)
    with LlamaEngine(model, log) as engine:
        engine.start()
        yield engine
