"""A real file system that is small, full or only read: a tmpfs, in a mount namespace that ends with the tests in it.

A test that needs one stands in a file that pytest does not collect by itself; `run_inside` runs that file in a namespace
in which this user may mount: as root, else as the root of a user namespace.
"""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMESPACES = (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"])
TRIAL = ["mount", "-t", "tmpfs", "tmpfs", "/tmp"]


@cache
def namespace() -> list[str] | None:
    """The words before a command that give it a namespace to mount in; None where the system allows neither."""
    for words in NAMESPACES:
        try:
            if subprocess.run([*words, *TRIAL], capture_output=True).returncode == 0:
                return words
        except FileNotFoundError:
            return None
    return None


def run_inside(file: str, *options: str) -> None:
    """Run the tests of a file of this repository in such a namespace; fails as they do."""
    words = namespace()
    if words is None:
        pytest.skip("neither root nor a user namespace may mount a tmpfs on this system")
    pytest_words = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *options, file]
    ended = subprocess.run([*words, *pytest_words], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@dataclass(frozen=True)
class SmallDisk:
    """A tmpfs of its own."""

    path: Path

    @property
    def ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """Until not a byte more has room."""
        fill(self.ballast)

    def free(self) -> None:
        self.ballast.unlink()

    def make_read_only(self) -> None:
        _mount("-o", "remount,ro", str(self.path))

    def make_writable(self) -> None:
        _mount("-o", "remount,rw", str(self.path))


def fill(ballast: Path) -> None:
    """A file of all the room that is left."""
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError as fault:
                assert fault.errno == errno.ENOSPC


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[SmallDisk]:
    """`size` as mount takes it, as in 1m."""
    path.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    try:
        yield SmallDisk(path)
    finally:
        os.chdir(ROOT)
        subprocess.run(["umount", "--lazy", str(path)], check=True, capture_output=True)
