"""The secret of this user, from which cookies and codes are made."""

import os
import secrets

from tunewright.security import home

SECRET_BYTES = 32


def secret() -> bytes:
    """The secret of this user, made when it is first needed and readable by nobody else."""
    path = home() / "studio" / "secret"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
    except FileExistsError:
        pass
    known = path.read_bytes()
    if len(known) != SECRET_BYTES:  # cut off by a full disk
        path.unlink()
        return secret()
    return known
