"""Starts work in the background: one at a time, as it takes what runs need."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from tunewright.errors import error, system_faults
from tunewright.i18n import N_, Phrase, language
from tunewright.rundir import atomic_io, background_work, run_lock
from tunewright.rundir.background_work import RECORD, BackgroundWork, Kind, WorkRecord
from tunewright.security import command, spawn

MODULE = "tunewright.extras.deploy.background_worker"
NAMES: Mapping[Kind, str] = {
    "export": N_("an export"),
    "merge": N_("a merge"),
    "eject": N_("a script"),
    "fetch": N_("a download"),
}
NO_OPTIONS: Mapping[str, str] = {}


def begin(
    do: Kind, what: str, work_id: str, *, run: Path | None = None, target: Path | None = None,
    options: Mapping[str, str] = NO_OPTIONS,
) -> BackgroundWork:  # fmt: skip
    """Start a process that does this; with the id of work that there is already, that. A download that goes on already is joined.

    Raises: TrainingError E542 while other work is under way, E520 to E523 where its folder cannot be made.
    """
    assert background_work.ID.fullmatch(work_id), work_id
    with system_faults(background_work.root()):
        atomic_io.make_folder(background_work.root())
        with FileLock(background_work.root() / "begin.lock"):
            if known := background_work.find(work_id):  # a form that was sent twice
                return known
            if others := background_work.running():
                under_way = others[0].record()
                if do == under_way.do == "fetch" and what == under_way.what and not others[0].is_asked_to_stop():
                    return others[0]
                raise error("E542", what=Phrase(NAMES[under_way.do]))
            background_work.forget_old()
            record = WorkRecord(
                do=do, what=what, run=str(run or ""), target=str(target or ""), options=dict(options), lang=language(),
                created=time.time(),
            )  # fmt: skip
            return _started(BackgroundWork(background_work.root() / work_id), record)


def _started(work: BackgroundWork, record: WorkRecord) -> BackgroundWork:
    atomic_io.make_folder(work.folder)
    lock = run_lock.take(work.folder)
    assert lock is not None, work.folder  # nobody else begins it
    try:
        atomic_io.write_json(work.folder / RECORD, record.to_stored())
        with atomic_io.open_log(work.log) as log:
            spawn(command(MODULE, str(work.folder)), stdin=lock, stdout=log, stderr=log, detached=True)
    finally:
        os.close(lock)
    return work
