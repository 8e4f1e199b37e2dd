"""Long work beside the runs that a process of its own does: exports, downloads. A folder for each below the home folder.

Whoever asked for it may go; what became of it is in work.json. Its process holds the folder's lock while it lives.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import Field

from tunewright.config.stored_record import Count, Number, Stamp, StoredRecord
from tunewright.errors import TrainingError
from tunewright.rundir import atomic_io, file_names, run_lock
from tunewright.rundir.record_reader import read_object
from tunewright.rundir.records import Proof, StoredProblem
from tunewright.security import home

RECORD, STOP = "work.json", "stop"
ID = re.compile(r"[0-9a-f]{16}")
KEPT = 20  # of those that have ended

Kind = Literal["export", "merge", "eject", "fetch"]
WorkState = Literal["running", "done", "failed", "stopped", "lost"]


class WorkRecord(StoredRecord):
    """work.json."""

    do: Kind
    """what is done"""
    what: str
    """the format, with its way and type; the model's name"""
    run: str = ""
    """the run's folder; empty for a download"""
    target: str = ""
    """the folder that is written"""
    options: dict[str, str] = Field(default_factory=dict)
    """`to`, `as` and `quant` of an export"""
    lang: str = "en"
    """language of `note`"""
    created: Stamp
    """when it was begun"""
    state: WorkState = "running"
    """as its process wrote it; read `BackgroundWork.state`, which asks the lock"""
    done: Count = 0
    """how far it is"""
    total: Count = 0
    """of how much; 0 where that is not known"""
    note: str = ""
    """what it does at the moment"""
    problems: list[StoredProblem] = Field(default_factory=list)
    """why it failed"""
    seconds: Number | None = None
    """how long it took"""
    bytes: Count | None = None
    """size of what was written"""
    command: str = ""
    """what starts an engine on it"""
    proof: Proof | None = None
    """how an export compares with the run"""
    figures: dict[str, Number] = Field(default_factory=dict)
    """of a merge: `prompts`, `equal`, `max_logit_difference`"""
    led_to: str = ""
    """the folder of the run that was begun as soon as it was done"""


@dataclass(frozen=True)
class BackgroundWork:
    """One folder of such work."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    def record(self) -> WorkRecord:
        """What is known of it now. Raises: TrainingError E525."""
        return read_object(self.folder / RECORD, WorkRecord)

    @property
    def state(self) -> WorkState:
        """Its state; of a process that is gone without a word `stopped` if it was asked to end, else `lost`.

        Raises: TrainingError E525.
        """
        record = self.record()
        if record.state == "running" and not run_lock.is_held(self.folder):
            again = self.record().state  # its process may have written its end between the two looks
            if again == "running":
                return "stopped" if self.is_asked_to_stop() else "lost"
            return again
        return record.state

    def update(self, **changes: Any) -> None:
        """Write some fields; for its process alone."""
        stored = self.record().model_dump(by_alias=True, exclude_unset=True)
        record = WorkRecord.model_validate({**stored, **changes})
        atomic_io.write_json(self.folder / RECORD, record.to_stored())

    def follow_up(self, begin: Callable[[], Path]) -> Path:
        """The folder of the run that follows this work: begun by the first who asks, whichever process that is in.

        For work that has ended. Raises: what `begin` raises, after which the next who asks begins it.
        """
        with FileLock(self.folder / "next.lock"):
            known = self.record().led_to
            if known:
                return Path(known)
            run = begin()
            self.update(led_to=str(run))
            return run

    def request_stop(self) -> None:
        """Ask its process to end."""
        atomic_io.mark(self.folder / STOP)

    def is_asked_to_stop(self) -> bool:
        return (self.folder / STOP).exists()

    @property
    def log(self) -> Path:
        return self.folder / file_names.LOG


def root() -> Path:
    return home() / "work"


def find(work_id: str) -> BackgroundWork | None:
    """The work of this id; None if there is none, or for what is no id."""
    work = BackgroundWork(root() / work_id) if ID.fullmatch(work_id) else None
    return work if work and (work.folder / RECORD).is_file() else None


def listed() -> list[BackgroundWork]:
    """All that is kept, the newest first; what cannot be read is passed over, as its result lies elsewhere."""
    dated_work = []
    for folder in root().iterdir() if root().is_dir() else ():
        work = find(folder.name)
        with suppress(TrainingError):
            dated_work += [(work.record().created, work)] if work else []
    return [work for _created, work in sorted(dated_work, key=lambda pair: pair[0], reverse=True)]


def running() -> list[BackgroundWork]:
    """What is being done now."""
    return [work for work in listed() if work.state == "running"]


def forget_old() -> None:
    """Remove what ended long ago; results stay, as they lie elsewhere."""
    ended = [work for work in listed() if work.state != "running"]
    for work in ended[KEPT:]:
        atomic_io.drop(work.folder)
