"""Rows that are passed in Python, stored as a file: a run and its resume read them from there."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.errors import error
from tunewright.rundir import atomic_io
from tunewright.security import cache_faults, home

# How the tables of other libraries become rows, by the name of the library.
AS_ROWS: Mapping[str, str] = {
    "pandas": 'data.to_dict("records")',
    "polars": "data.to_dicts()",
    "datasets": "data.to_list()",
    "pyarrow": "data.to_pylist()",
}


def path_of(data: str | Path | Sequence[str | Path] | Sequence[Mapping[str, object]]) -> str | list[str]:
    """A path or Hub id unchanged, and several of them; for a list of rows, the private file that holds them, named by their
    content.

    Raises: ConfigError E138 for a row that is not an object or that JSON in UTF-8 cannot hold, E139 for anything else.
    """
    if isinstance(data, (str, Path)):
        return str(data)
    if not isinstance(data, (list, tuple)):
        library = type(data).__module__.partition(".")[0]
        fix = "[data]" if isinstance(data, Mapping) else AS_ROWS.get(library, "list(data)")
        raise error("E139", kind=type(data).__name__, fix=fix)
    if data and all(isinstance(item, (str, Path)) for item in data):
        return list(map(str, data))
    content = b"".join(_line(number, row) for number, row in enumerate(data, 1))
    return str(_stored(content))


def _line(number: int, row: Any) -> bytes:
    if not isinstance(row, Mapping):
        raise error("E138", number=number, reason=type(row).__name__)
    try:
        return f"{json.dumps(dict(row), ensure_ascii=False)}\n".encode()
    except (TypeError, ValueError) as fault:  # also UnicodeEncodeError, of half a character
        raise error("E138", number=number, reason=str(fault)) from fault


def _stored(content: bytes) -> Path:
    """The file of this content; only its owner may read it, from its first byte on."""
    folder = home() / "rows"
    path = folder / f"rows-{hashlib.sha256(content).hexdigest()[:12]}.jsonl"
    with cache_faults():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != content:
            descriptor, name = tempfile.mkstemp(dir=folder)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            if path.is_dir():
                atomic_io.drop(path)
            Path(name).replace(path)
    return path
