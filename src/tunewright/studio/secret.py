"""The secret of this user, from which cookies and codes are made."""

import os
import secrets
from contextlib import suppress

from tunewright.security import home

SECRET_BYTES = 32


def secret() -> bytes:
    """The secret of this user, made when it is first needed and readable by nobody else."""
    path = home() / "studio" / "secret"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        staged = path.with_name(f".secret-{secrets.token_hex(8)}")
        with os.fdopen(os.open(staged, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
        with suppress(FileExistsError):  # of two that start at once the first one's counts
            path.hardlink_to(staged)
        staged.unlink()
    known = path.read_bytes()
    if len(known) != SECRET_BYTES:  # cut off by a full disk
        path.unlink()
        return secret()
    return known
