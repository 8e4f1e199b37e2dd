"""A folder of a run while it is made: hidden, and locked by its maker, so that what a dead one left behind can be recognised.

The lock is the system's own (flock) on the folder itself. It leaves no file, ends with its process however that ends, and is
seen by every process that sees the folder, in other containers too. A file system without such locks (some NFS) makes runs all
the same; nothing is swept there.
"""

import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunewright.errors import exists_already
from tunewright.rundir import atomic_io, file_names

PREFIX = ".making-"
FULL = (errno.ENOTEMPTY, errno.EEXIST)


@contextmanager
def making(target: Path) -> Iterator[Path]:
    """A hidden folder to fill; at the end it gets the name `target` in one step, or all of it is removed.

    An empty folder that is there already may be mounted, or lie where nobody else may write: its files are moved in, run.json
    last. Raises: ConfigError E115 if there is something in `target`.
    """
    parent = target if target.is_dir() else target.parent
    atomic_io.make_folder(parent)
    sweep_abandoned(parent)
    _refuse_full(target)
    folder, lock = _locked(parent)
    try:
        yield folder
        if parent == target:
            _move_in(folder, target)
        else:
            _publish(folder, target)
    finally:
        if folder.exists():
            atomic_io.drop(folder)
        os.close(lock)


def _locked(parent: Path) -> tuple[Path, int]:
    """A new hidden folder with the descriptor that holds its lock."""
    while True:
        folder = parent / f"{PREFIX}{uuid.uuid4().hex[:12]}"
        atomic_io.make_folder(folder)
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # somebody swept it before it was locked
            continue
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)  # waits for one who sweeps it at this moment
        if folder.is_dir():
            return folder, lock
        os.close(lock)


def _refuse_full(target: Path) -> None:
    """Raises: ConfigError E115 for a file, and for a folder with more in it than what others are making there."""
    is_free = not target.exists() or (target.is_dir() and all(p.name.startswith(PREFIX) for p in target.iterdir()))
    if not is_free:
        raise exists_already(target)


def _publish(folder: Path, target: Path) -> None:
    atomic_io.sync_folder(folder)
    try:
        atomic_io.move_folder(folder, target)
    except OSError as fault:
        if fault.errno in FULL:  # another run was made here meanwhile
            raise exists_already(target) from fault
        raise


def _move_in(folder: Path, target: Path) -> None:
    """The files of a folder into the one above it; one run at a time."""
    lock = os.open(target, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        _refuse_full(target)
        for path in sorted(folder.iterdir(), key=lambda path: path.name == file_names.RUN_JSON):
            atomic_io.move_folder(path, target / path.name)
    finally:
        os.close(lock)


def sweep_abandoned(parent: Path) -> None:
    """Remove hidden folders whose makers are dead: those whose lock is free."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                atomic_io.drop(folder)
            finally:
                os.close(lock)
