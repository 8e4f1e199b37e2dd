"""The key that requests bring: in a file that only its owner reads, never in argv, logs or a run."""

import os
import secrets
import shlex
import stat
from pathlib import Path

from tunewright.errors import TunewrightError, error
from tunewright.i18n import N_

OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
MIN_LENGTH = 16
MAX_BYTES = 4096
"""More than any server takes in a header."""


def read_key(path: Path) -> str:
    """The key in a file; one that is not there is made, with a new key. Raises: ExportError E644; OSError."""
    if not path.exists():
        return _with_new_key(path)
    if path.stat().st_mode & OPEN_TO_OTHERS:
        raise error("E644", path=str(path), quoted=shlex.quote(str(path)), reason=N_("others may read it"))
    key = key_of_server(path)
    if len(key) < MIN_LENGTH:
        raise _unusable(path, N_("it must hold one word of at least 16 characters"))
    return key


def key_of_server(path: Path) -> str:
    """The key in a file that somebody else's server asks for, whatever its length. Raises: ExportError E644; OSError."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe is waited for without end
        raise _unusable(path, N_("it is a device, a pipe or a socket, and a file is expected"))
    with path.open("rb") as file:
        key = file.read(MAX_BYTES + 1).strip()
    if not key or len(key) > MAX_BYTES or not all(0x21 <= byte <= 0x7E for byte in key):
        raise _unusable(path, N_("it must hold one word in ASCII, of at most 4,096 characters"))
    return key.decode("ascii")


def _with_new_key(path: Path) -> str:
    key = secrets.token_urlsafe(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key + "\n")
    return key


def _unusable(path: Path, reason: str) -> TunewrightError:
    return error("E644", path=str(path), reason=reason)
