"""Who owns a run: whoever holds the lock of its folder, whatever else the files say.

The lock is flock's, so it belongs to an open file and not to a process. Who starts a process of the run hands that file on as
standard input: one lock goes from the command to the parent and from the parent to its worker without a gap, and is free
when the last of them has ended, however that was. No clock, process number or host name is compared, so from another pid
namespace or container, and from another machine where the file system locks for all of them, the answer is the same.
"""

import errno
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from tunewright.errors import error
from tunewright.rundir import file_names

BUSY = (errno.EAGAIN, errno.EACCES)
PATIENCE_SECONDS = 1.0  # who only looks whether a run is owned holds its lock for some microseconds
RETRY_SECONDS = 0.02
STDIN = 0


def take(folder: Path) -> int | None:
    """The open file that holds the run's lock, until its last copy is closed; None if another process holds it.

    Raises: TrainingError E518 where the file system has no locks; OSError where no file can be made.
    """
    path, deadline = folder / file_names.LOCK, time.monotonic() + PATIENCE_SECONDS
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            if _lock(descriptor, fcntl.LOCK_EX) and _is_at(path, descriptor):
                return descriptor
        except OSError as fault:
            os.close(descriptor)
            raise error("E518", path=str(folder), reason=os.strerror(fault.errno or 0)) from fault
        os.close(descriptor)
        if time.monotonic() >= deadline:
            return None
        time.sleep(RETRY_SECONDS)


def own(folder: Path) -> int | None:
    """For a process that lives as long as its part of the run: the lock that its starter handed on, else `take`."""
    with suppress(OSError):
        if _is_at(folder / file_names.LOCK, STDIN) and _lock(STDIN, fcntl.LOCK_EX):
            return STDIN
    return take(folder)


def release(descriptor: int) -> None:
    """Free a run, whatever forked processes still have of its lock; for an owner who did not hand it on."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Whether any process, inside or outside a container, owns the run; also if that cannot be looked up."""
    try:
        descriptor = os.open(folder / file_names.LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    except OSError:  # no locks on this file system, so that `take` let nobody begin here
        return False
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    """Lock an open file without waiting; False if it is locked through another one."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as fault:
        if fault.errno in BUSY:
            return False
        raise
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one of that name: its run may have been removed, and another be in the place."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False
