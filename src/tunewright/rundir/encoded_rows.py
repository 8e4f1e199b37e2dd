"""Encoded rows in the cache, by content: `data check`, `plan`, `train` and `compare` encode the same examples once.

Each file is some hundred rows, before any is cut; data/tokenized/tokenized_cache.py says what is in it, and checks it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tunewright.rundir import atomic_io
from tunewright.security import as_private_as, home, narrow


@dataclass(frozen=True)
class EncodedRows:
    """The cache of encoded rows; what is read or written is as private as `originals`, which the rows come from."""

    originals: Sequence[Path]

    def read(self, key: str) -> bytes | None:
        """What was kept under this key; None if nothing was, or it cannot be read."""
        path = _path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):  # the same rows may have been public when they were encoded
            narrow([path], self.originals)
        return content

    def write(self, key: str, content: bytes) -> None:
        """Keep it for the next one who encodes these examples; left out where the disk refuses it."""
        with suppress(OSError), as_private_as(self.originals):
            atomic_io.write_checked(_path(key), content)

    def drop(self, key: str) -> None:
        """Remove what is not needed any more."""
        atomic_io.drop(_path(key))


def _path(key: str) -> Path:
    return home() / "encoded_rows" / f"{key}.rows"
