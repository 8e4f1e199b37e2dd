"""JSON of strangers: an object, not too large, not too deep."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunewright.errors import Where, error
from tunewright.i18n import N_, Phrase

MAX_JSON_BYTES = 64 * 2**20
MAX_DEPTH = 20


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """A JSON object of a model folder. Raises: ModelError E309 if it is none, too large, or nested too deeply."""
    try:
        if not path.is_file():
            raise error("E309", Where(str(path)), file=str(path), reason=N_("not a file"))
        if path.stat().st_size > max_bytes:
            raise error(
                "E309",
                Where(str(path)),
                file=str(path),
                reason=Phrase(N_("larger than {count} bytes"), count=max_bytes),
            )
        return parse_object(path.read_bytes(), path)
    except OSError as fault:
        raise error("E309", Where(str(path)), file=str(path), reason=fault.strerror or str(fault)) from fault


def parse_object(content: bytes, path: Path, *, unique: bool = False) -> dict[str, Any]:
    """The JSON object of these bytes of `path`; `unique` refuses duplicate keys. Raises: ModelError E309."""
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_unique if unique else None)
    except (ValueError, RecursionError) as fault:
        raise error("E309", Where(str(path)), file=str(path), reason=str(fault)) from fault
    if not isinstance(value, dict):
        raise error("E309", Where(str(path)), file=str(path), reason=N_("not a JSON object"))
    for _key, _value, depth in walk(value):
        if depth > MAX_DEPTH:
            raise error(
                "E309",
                Where(str(path)),
                file=str(path),
                reason=Phrase(N_("nested more than {count} deep"), count=MAX_DEPTH),
            )
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    # Readers in other languages take another one of two equal keys, and would see another file than the one checked here.
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return value


def walk(value: Any) -> Iterator[tuple[str, Any, int]]:
    """Key, value and depth of every member at any depth; items of a list have its key."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        key, part, depth = waiting.pop()
        yield key, part, depth
        if isinstance(part, dict):
            waiting.extend((name, inner, depth + 1) for name, inner in part.items())
        elif isinstance(part, list):
            waiting.extend((key, inner, depth + 1) for inner in part)
