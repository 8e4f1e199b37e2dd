"""Encoded rows on disk, by content: the same data, tokenizer and settings are encoded once.

One file: a JSON line that describes the arrays, then 32-bit integers in this machine's byte order. No pickle.
"""

import hashlib
import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.data.encode import Encoded

FORMAT = 1


def key_of(facts: Mapping[str, Any]) -> str:
    """Digest of everything that shapes the encoded rows."""
    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def dump(rows: Sequence[Encoded]) -> bytes:
    """The rows as one block of bytes."""
    numbers = array("i")
    for row in rows:
        numbers.extend((row.number, len(row.ids), row.prompt_length, row.full_length))
    for row in rows:
        numbers.extend(row.ids)
        numbers.extend(row.labels)
    body = numbers.tobytes()
    head = {"format": FORMAT, "rows": len(rows), "byteorder": sys.byteorder, "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(head).encode() + b"\n" + body


def load(path: Path) -> list[Encoded] | None:
    """The rows of a cache file; None if there is none, or it is not whole."""
    if not path.is_file():
        return None
    head_line, _, body = path.read_bytes().partition(b"\n")
    try:
        head = json.loads(head_line)
    except ValueError:
        return None
    whole = head.get("format") == FORMAT and head.get("byteorder") == sys.byteorder
    if not whole or head.get("sha256") != hashlib.sha256(body).hexdigest():
        return None
    numbers = array("i")
    numbers.frombytes(body)
    rows: list[Encoded] = []
    position = 4 * head["rows"]
    for i in range(head["rows"]):
        number, length, prompt_length, full_length = numbers[4 * i : 4 * i + 4]
        ids = numbers[position : position + length].tolist()
        labels = numbers[position + length : position + 2 * length].tolist()
        rows.append(Encoded(number, ids, labels, prompt_length, full_length))
        position += 2 * length
    return rows
