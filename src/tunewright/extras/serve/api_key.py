"""The key that requests bring: in a file that only its owner reads, never in argv, logs or a run."""

import os
import secrets
import shlex
import stat
from pathlib import Path

from tunewright.errors import error
from tunewright.i18n import N_

OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
MIN_LENGTH = 16


def read_key(path: Path) -> str:
    """The key in a file; one that is not there is made, with a new key. Raises: ExportError E644."""
    if not path.exists():
        return _with_new_key(path)
    if path.stat().st_mode & OPEN_TO_OTHERS:
        raise error("E644", path=str(path), quoted=shlex.quote(str(path)), reason=N_("others may read it"))
    key = path.read_text("utf-8").strip()
    if len(key) < MIN_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        raise error("E644", path=str(path), reason=N_("it must hold one word of at least 16 characters"))
    return key


def _with_new_key(path: Path) -> str:
    key = secrets.token_urlsafe(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key + "\n")
    return key
