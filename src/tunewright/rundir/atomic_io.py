"""The only code that writes, renames or removes inside a run folder: whole or not at all, and on the disk when done.

Whatever changes the disk is one of seven operations and is called through `perform`. That is where a test counts them and
lets any one of them fail, stop half way, or never reach the disk (tests/unit/rundir/disk.py).
"""

import errno
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tunewright.security import as_private_as

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# Errors of a disk, not of a path: the same write may succeed later.
REFUSALS = (*NO_ROOM, errno.EFBIG, errno.EROFS, errno.EIO)
TRIAL_BYTES = 4096
BATCH_BYTES = 2**20


def perform(operation: Callable[..., None], *arguments: Any) -> None:
    """The seam: looked up at each call, so that another disk can be used here. Raises: OSError, always with its path."""
    try:
        operation(*arguments)
    except OSError as fault:
        if fault.filename is None:
            fault.filename = str(arguments[0])
        raise


def refusal(folder: Path) -> OSError | None:
    """Why nothing can be written in a folder now, by trying it with a file without a name; None where it can be."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(os.urandom(TRIAL_BYTES))
    except OSError as fault:
        return OSError(fault.errno, fault.strerror, str(folder))
    return None


def stamp(path: Path) -> tuple[int, int]:
    """When a file was last changed, in nanoseconds, and its bytes, to see later whether it is the same; zeros for none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _make(folder: Path) -> None:
    folder.mkdir(exist_ok=True)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _create(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666))


def _append(path: Path, line: bytes) -> None:
    mode = 0o644 & path.parent.stat().st_mode  # a file that is new is as private as its folder
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, mode)
    try:
        size = os.fstat(descriptor).st_size
        is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        left = (b"\n" if is_torn else b"") + line
        try:
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError:
            os.ftruncate(descriptor, size)  # a line without its end would be one more when it is tried again
            raise
    finally:
        os.close(descriptor)


def _cut(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(source: Path, target: Path) -> None:
    source.replace(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Content of a file, or names of a folder, on the disk."""
    perform(_fsync, path)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file by new content in one step: a reader sees the old or the new one, never a part."""
    staged = _hidden(path.parent, "staging")
    try:
        with as_private_as([path]):  # a file that is rewritten stays as private as it was
            perform(_write, staged, content)
        fsync(staged)
        perform(_rename, staged, path)
    except OSError:
        drop(staged)
        raise
    fsync(path.parent)


def write_random(path: Path, size: int) -> None:
    """A file that takes this many bytes on every file system, also on one that compresses."""
    write_bytes(path, os.urandom(size))


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Strict JSON: NaN is a bug of the caller."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def write_cached(path: Path, content: bytes) -> None:
    """Put a file into the cache, in the place of whatever is there, be it a folder."""
    make_folder(path.parent)
    if path.is_dir():
        drop(path)
    write_bytes(path, content)


def write_checked(path: Path, content: bytes) -> None:
    """Put a file into the cache that carries its own digest: whole or not at all, but after a power cut it may be empty.

    A preparation writes a thousand of them; waiting for the disk each time took half of its time.
    """
    make_folder(path.parent)
    if path.is_dir():
        drop(path)
    staged = _hidden(path.parent, "staging")
    try:
        perform(_write, staged, content)
        perform(_rename, staged, path)
    except OSError:
        drop(staged)
        raise


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def mark(path: Path) -> None:
    """An empty file, whose name is its content; a full disk mostly has room for it.

    Raises: OSError for a link of that name, which may lead to a file of somebody else.
    """
    perform(_create, path)
    fsync(path.parent)


def append_line(path: Path, line: str) -> None:
    """One line in one write, so that lines of one writer never mix. A line torn before it does not take it along.

    Raises: OSError for a link of that name, which may lead to a file of somebody else.
    """
    perform(_append, path, line.encode("utf-8") + b"\n")


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """A new file of a folder that is staged, of lines with their ends; some of them are in memory at a time."""
    perform(_create, path)
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size >= BATCH_BYTES:
            perform(_append, path, b"".join(batch))
            batch, size = [], 0
    if batch:
        perform(_append, path, b"".join(batch))


def open_log(path: Path) -> BinaryIO:
    """A file that output of processes is appended to. Raises: OSError for a link, and for a pipe that nobody reads."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.fdopen(os.open(path, flags, 0o666), "ab")


def cut(path: Path, size: int) -> None:
    """Leave the first bytes of a file; it stays the same file, so that who has locked it still has."""
    perform(_cut, path, size)


def make_folder(folder: Path) -> None:
    """A folder and those above it, with their names on the disk."""
    if not folder.is_dir():
        make_folder(folder.parent)
        perform(_make, folder)
        fsync(folder.parent)


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A hidden folder beside the final place of its content; what has not moved there at the end is dropped."""
    make_folder(parent)
    folder = _hidden(parent, "staging")
    perform(_make, folder)
    try:
        yield folder
    finally:
        if folder.exists():
            drop(folder)


def sync_folder(folder: Path) -> None:
    """Everything in a folder, files first; others may have written it."""
    below = sorted(folder.rglob("*"))
    for path in (*filter(Path.is_file, below), *filter(Path.is_dir, below), folder):
        fsync(path)


def move_folder(source: Path, target: Path) -> None:
    """Give a folder another name, for good. What is in it must be on the disk already."""
    perform(_rename, source, target)
    fsync(target.parent)


def move_file(source: Path, target: Path) -> None:
    """Give a file its name, for good, in the place of an older one."""
    fsync(source)
    perform(_rename, source, target)
    fsync(target.parent)


def publish_folder(staged: Path, target: Path) -> None:
    """Move a finished folder to its place; an older one there is moved aside first and removed last."""
    sync_folder(staged)
    replace_folder(staged, target, aside=_hidden(target.parent, "trash"))


def replace_folder(staged: Path, target: Path, *, aside: Path) -> None:
    """Put a folder that is on the disk in the place of an older one.

    Between two renames the older one has the name `aside`, and nothing at `target`: who cannot do without looks
    there. An exchange in one call (RENAME_EXCHANGE) would need the same on every file system that lacks it.
    """
    if target.exists():
        if aside.exists():
            remove_folder(aside)
        move_folder(target, aside)
    move_folder(staged, target)
    if aside.exists():
        with suppress(OSError):
            remove_folder(aside)


def remove_folder(folder: Path) -> None:
    """Rename first, for good, so that a half removed folder never looks like a whole one."""
    trash = _hidden(folder.parent, "trash")
    move_folder(folder, trash)
    drop(trash)


def drop(path: Path) -> None:
    """Remove what has no place any more; what cannot be removed now is swept at the next start."""
    with suppress(OSError):
        perform(_remove, path)


def sweep(parent: Path) -> None:
    """Remove what dead processes left behind: what we had hidden ourselves, nothing else."""
    for pattern in (".staging-*", ".trash-*"):
        for path in parent.glob(pattern):
            drop(path)


def is_staged(path: Path) -> bool:
    """Whether something is not yet under its own name, or no longer."""
    return path.name.startswith((".staging-", ".trash-"))


def _hidden(parent: Path, kind: str) -> Path:
    return parent / f".{kind}-{uuid.uuid4().hex[:12]}"
