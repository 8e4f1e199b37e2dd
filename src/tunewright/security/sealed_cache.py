"""What is kept in the cache carries one digest over all it holds and over its name: a changed, cut or renamed file is none.

A cache never ends a command and is never trusted when damaged: whoever reads None computes it again.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DIGEST = "sha256"


def seal_object(path: Path, value: Mapping[str, object]) -> bytes:
    """A JSON object with its digest in it, to be written to `path`."""
    sealed = {**value, DIGEST: _digest(path, _canonical(value))}
    return json.dumps(sealed, indent=1, allow_nan=False).encode() + b"\n"


def unseal_object(path: Path, *, by_hand: bool = False) -> dict[str, Any] | None:
    """The object of a sealed file; None if there is none that holds. `by_hand` takes one without a digest, too."""
    try:
        value = json.loads(path.read_bytes())
        digest = value.pop(DIGEST, None)
        holds = digest == _digest(path, _canonical(value)) or (by_hand and digest is None)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return value if holds else None


def _canonical(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _digest(path: Path, content: bytes) -> str:
    return hashlib.sha256(path.name.encode("utf-8", "surrogateescape") + b"\x00" + content).hexdigest()
