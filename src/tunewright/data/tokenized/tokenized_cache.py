"""Encoded rows on disk, by content: the same data, tokenizer and settings are encoded once.

One file: a JSON line that describes the arrays, then 32-bit integers in this machine's byte order; labels that are
numbers to predict follow as 64-bit floats. No pickle.
"""

import hashlib
import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tunewright.data.tokenized.tokenized_example import TokenizedExample

FORMAT = 7  # one more whenever the same rows become other tokens
_FIELDS = 6  # integers in front of all ids, for each row


class Store(Protocol):
    """Where encoded rows are kept, by the digest of what they were made of."""

    def read(self, key: str) -> bytes | None:
        """What was kept; None if nothing was."""

    def write(self, key: str, content: bytes) -> None:
        """Keep it, where that is possible."""


def key_of(facts: Mapping[str, object]) -> str:
    """Digest of everything that shapes the encoded rows."""
    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def dump(rows: Sequence[TokenizedExample], key: str = "") -> bytes:
    """The rows as one block of bytes; `key` says what they were made of."""
    has_floats = any(isinstance(label, float) for row in rows for label in row.labels)
    numbers = array("i")
    labels: array[Any] = array("d" if has_floats else "i")
    for row in rows:
        sizes = (len(row.input_ids), len(row.labels))
        numbers.extend((row.number, *sizes, row.prompt_length, row.full_length, row.is_truncated))
    for row in rows:
        numbers.extend(row.input_ids)
        labels.extend(row.labels)
    body = numbers.tobytes() + labels.tobytes()
    head = {
        "format": FORMAT,
        "rows": len(rows),
        "integers": len(numbers),
        "labels": labels.typecode,
        "byteorder": sys.byteorder,
        "key": key,
        "notes": {str(i): sorted(row.notes) for i, row in enumerate(rows) if row.notes},
    }
    return json.dumps({**head, "sha256": _digest(head, body)}).encode() + b"\n" + body


def _digest(head: Mapping[str, object], body: bytes) -> str:
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode() + body).hexdigest()


def load(path: Path) -> list[TokenizedExample] | None:
    """The rows of a cache file; None if there is none, or it is not whole."""
    return parse(path.read_bytes()) if path.is_file() else None


def parse(content: bytes, key: str = "") -> list[TokenizedExample] | None:
    """The rows of what `dump` wrote with this key; None if it is not whole."""
    head_line, _, body = content.partition(b"\n")
    try:
        head = json.loads(head_line)
        is_intact = head.pop("sha256") == _digest(head, body)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    if not is_intact or (head["format"], head["byteorder"], head.get("key", "")) != (FORMAT, sys.byteorder, key):
        return None
    numbers, labels = array("i"), array(head["labels"])
    end = head["integers"] * numbers.itemsize
    numbers.frombytes(body[:end])
    labels.frombytes(body[end:])
    rows: list[TokenizedExample] = []
    noted = head.get("notes", {})  # earlier versions kept none
    place, label_place = _FIELDS * head["rows"], 0
    for i in range(head["rows"]):
        number, num_ids, num_labels, prompt_length, full_length, is_cut = numbers[_FIELDS * i : _FIELDS * (i + 1)]
        ids = numbers[place : place + num_ids].tolist()
        row_labels = labels[label_place : label_place + num_labels].tolist()
        notes = frozenset(noted.get(str(i), ()))
        rows.append(TokenizedExample(number, ids, row_labels, prompt_length, full_length, bool(is_cut), notes))
        place, label_place = place + num_ids, label_place + num_labels
    return rows
