"""Runs that wait for this machine: their order, and which runs are on it now. Files below the home folder.

A run that waits is whole, with config and plan; its state is `waiting`, and nobody owns it. `queue/queue.json` is changed
under a lock. Each parent leaves the path of its run in `running/` while it lives; what a killed one leaves does not count, as
nobody owns its run.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import Field

from tunewright.config.stored_record import StoredRecord
from tunewright.errors import TrainingError
from tunewright.i18n import N_
from tunewright.rundir import atomic_io, run_lock
from tunewright.rundir.record_reader import read_optional
from tunewright.rundir.run_dir import WAITING, RunDir, is_run, unfit
from tunewright.security import home


class QueueRecord(StoredRecord):
    """queue.json."""

    is_paused: bool = False
    """whether no run of the queue is started"""
    runs: list[str] = Field(default_factory=list)
    """paths of the runs that wait, the next one first"""


class Queue:
    """The queue while its lock is held."""

    def __init__(self, record: QueueRecord) -> None:
        self.is_paused = record.is_paused
        self.runs = [run for path in record.runs if (run := RunDir(Path(path))) and _waits(run)]

    def record(self) -> QueueRecord:
        return QueueRecord(is_paused=self.is_paused, runs=[str(run.path) for run in self.runs])

    def place_of(self, run: RunDir, verb: str) -> int:
        """The place of a run, 0 for the next one. Raises: ConfigError E116 for a run that does not wait."""
        if run not in self.runs:
            needed = N_("in the queue") if run.state() == WAITING else N_("waiting")
            raise unfit(run, verb, needed)
        return self.runs.index(run)


def read() -> Queue:
    """The queue as it is now, without runs that somebody removed or started meanwhile. Raises: TrainingError E525."""
    return Queue(read_optional(_file(), QueueRecord) or QueueRecord())


@contextmanager
def changing() -> Iterator[Queue]:
    """The queue, to be changed: nobody else reads it to change it meanwhile. Raises: TrainingError E525; OSError."""
    atomic_io.make_folder(_folder())
    with FileLock(_folder() / "queue.lock"):
        stored = read_optional(_file(), QueueRecord)
        queue = Queue(stored or QueueRecord())
        yield queue
        record = queue.record().to_stored() | {"schema": 1}
        if stored is None or record != stored.to_stored():
            atomic_io.write_json(_file(), record)


@contextmanager
def taking_turns(patience_seconds: float = 1.0) -> Iterator[FileLock | None]:
    """For the one process that starts what waits: its lock, to be released under that of the queue; None if there is one.

    Who only looks whether there is one holds the lock for some microseconds, for which a new one has patience.
    """
    atomic_io.make_folder(_folder())
    lock = FileLock(_folder() / "runner.lock")
    try:
        lock.acquire(timeout=patience_seconds)
    except Timeout:
        yield None
        return
    try:
        yield lock
    finally:
        lock.release()


def has_runner() -> bool:
    """Whether a process starts what waits."""
    with taking_turns(0) as lock:
        return lock is None


@contextmanager
def registered(run: RunDir) -> Iterator[None]:
    """For a parent: its run counts as being on this machine."""
    entry = register(run)
    try:
        yield
    finally:
        atomic_io.drop(entry)


def register(run: RunDir) -> Path:
    """Let a run count as being on this machine for as long as it is owned; the file that says so.

    A home folder that cannot be written is not worth an error.
    """
    entry = home() / "running" / run.info().id
    with suppress(OSError):
        atomic_io.make_folder(entry.parent)
        atomic_io.write_text(entry, str(run.path))
    return entry


def running() -> Sequence[RunDir]:
    """The runs that are on this machine now; what no parent removed is cleared away."""
    folder, runs = home() / "running", []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        with suppress(OSError):
            run = RunDir(Path(entry.read_text(encoding="utf-8")))
            if run_lock.is_held(run.path):
                runs.append(run)
            else:
                atomic_io.drop(entry)
    return runs


def _waits(run: RunDir) -> bool:
    if not is_run(run.path):
        return False
    try:
        return run.info().state == WAITING
    except TrainingError:
        return False


def _folder() -> Path:
    return home() / "queue"


def _file() -> Path:
    return _folder() / "queue.json"
