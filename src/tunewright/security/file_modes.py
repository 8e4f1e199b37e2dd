"""Copies of private files are private: a copy gives nobody a right that they lack on what it was made of."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def as_private_as(originals: Iterable[Path]) -> Iterator[None]:
    """What this process and its children write meanwhile is closed to all who may not read one of these files or folders.

    By the umask, which libraries and temporary files follow, too; it is one for all threads of the process.
    """
    mask = _withheld(originals)
    before = os.umask(0o077)
    os.umask(before | mask)
    try:
        yield
    finally:
        os.umask(before)


def narrow(paths: Iterable[Path], originals: Iterable[Path]) -> None:
    """Take from files and folders that are there what the originals do not give."""
    mask = _withheld(originals)
    for path in paths:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & mask:
            path.chmod(mode & ~mask)


def _withheld(originals: Iterable[Path]) -> int:
    """The bits of a mode that these paths do not give; those that are not there withhold nothing."""
    mask = 0
    for path in originals:
        try:
            status = path.stat()
        except OSError:
            continue
        # A copy belongs to our group; where that is not the group of the original, its people are others there.
        right = stat.S_IRGRP if status.st_gid == os.getegid() else stat.S_IROTH
        mask |= 0 if status.st_mode & right else stat.S_IRWXG
        mask |= 0 if status.st_mode & stat.S_IROTH else stat.S_IRWXO
    return mask
