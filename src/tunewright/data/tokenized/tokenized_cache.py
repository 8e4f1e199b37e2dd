"""Encoded rows on disk, by content: the same data, tokenizer and settings are encoded once.

One file: a JSON line that describes the arrays, then 32-bit integers in this machine's byte order; labels that are
numbers to predict follow as 64-bit floats. No pickle.
"""

import hashlib
import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol, cast, overload

from tunewright.data.tokenized.loss_mask import RenderNote
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


def _digest(head: Mapping[str, object], body: bytes | memoryview) -> str:
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    digest.update(body)
    return digest.hexdigest()


class StoredRows(Sequence[TokenizedExample]):
    """Rows as they lie in a file: each is made when it is asked for. They take eight bytes a token and forty a row; as Python's
    lists they took ten times as much.
    """

    def __init__(
        self, numbers: memoryview, labels: memoryview, num_rows: int, notes: Mapping[str, Sequence[str]]
    ) -> None:
        self._numbers, self._labels, self._notes = numbers, labels, notes
        heads = numbers[: _FIELDS * num_rows]
        self._ids_at = array("q", accumulate(heads[1::_FIELDS].tolist(), initial=_FIELDS * num_rows))
        self._labels_at = array("q", accumulate(heads[2::_FIELDS].tolist(), initial=0))

    def __len__(self) -> int:
        return len(self._ids_at) - 1

    @overload
    def __getitem__(self, index: int) -> TokenizedExample: ...

    @overload
    def __getitem__(self, index: slice) -> list[TokenizedExample]: ...

    def __getitem__(self, index: int | slice) -> TokenizedExample | list[TokenizedExample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(index)
        number, _ids, _labels, prompt_length, full_length, is_cut = self._numbers[
            _FIELDS * i : _FIELDS * (i + 1)
        ].tolist()
        ids = self._numbers[self._ids_at[i] : self._ids_at[i + 1]].tolist()
        labels = self._labels[self._labels_at[i] : self._labels_at[i + 1]].tolist()
        notes = cast("frozenset[RenderNote]", frozenset(self._notes.get(str(i), ())))
        return TokenizedExample(number, ids, labels, prompt_length, full_length, bool(is_cut), notes)


def load(path: Path) -> StoredRows | None:
    """The rows of a cache file; None if there is none, or it is not whole.

    It is read and not mapped: what was checked must not change while a run trains on it.
    """
    return parse(path.read_bytes()) if path.is_file() else None


def parse(content: bytes, key: str = "") -> StoredRows | None:
    """The rows of what `dump` wrote with this key; None if it is not whole."""
    end_of_head = content.find(b"\n")
    body = memoryview(content)[end_of_head + 1 :]
    try:
        head = json.loads(content[: max(0, end_of_head)])
        is_intact = head.pop("sha256") == _digest(head, body)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    if not is_intact or (head["format"], head["byteorder"], head.get("key", "")) != (FORMAT, sys.byteorder, key):
        return None
    end = head["integers"] * array("i").itemsize
    noted = head.get("notes", {})  # earlier versions kept none
    return StoredRows(body[:end].cast("i"), body[end:].cast(head["labels"]), head["rows"], noted)
