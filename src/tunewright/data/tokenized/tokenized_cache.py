"""Encoded rows as bytes, by content: the same data, tokenizer and settings are encoded once.

A block is a JSON line that describes it, padded to eight bytes, and then its columns as integers in this machine's byte
order, each padded to eight bytes: so a block may be read, or mapped into memory. Labels that repeat ids are kept as the spans
in which they do; others as the smallest integers that hold them, numbers to predict as 64-bit floats. No pickle.
"""

import hashlib
import json
import mmap
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypedDict, get_args, overload

from tunewright.data.tokenized.loss_mask import RenderNote
from tunewright.data.tokenized.tokenized_example import IGNORED, TokenizedExample
from tunewright.errors import Problem

FORMAT = 10  # one more whenever the same rows become other tokens, or other bytes
ALIGNED = 8  # bytes
SMALL_IDS = 2**16
NOTES: tuple[RenderNote, ...] = get_args(RenderNote)  # each a bit of a row's flags, above that of a cut
SPANS = "spans"  # labels that equal the ids in some spans, and are IGNORED elsewhere
_INTEGERS = "bhiq"


class Store(Protocol):
    """Where encoded rows are kept, by the digest of what they were made of."""

    def read(self, key: str) -> bytes | None:
        """What was kept; None if nothing was."""

    def write(self, key: str, content: bytes) -> None:
        """Keep it, where that is possible."""


def key_of(facts: Mapping[str, object]) -> str:
    """Digest of everything that shapes the encoded rows."""
    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def dump(rows: Iterable[TokenizedExample], key: str = "", problems: Sequence[Problem] = ()) -> bytes:
    """The rows as one block; `key` says what they were made of, `problems` what became of those that are not among them."""
    builder = BlockBuilder()
    builder.extend(rows)
    return builder.block(key, problems)


class BlockHead(TypedDict):
    """The line that describes a block; in the file the digest of the rest, `sha256`, stands in it too."""

    format: int
    rows: int
    columns: Mapping[str, tuple[Any, int]]
    """Type as in `array`, and length."""
    labels: str
    byteorder: str
    key: str
    problems: Sequence[Mapping[str, object]]
    """Stored problems of rows that became none."""


class BlockBuilder:
    """Rows on their way into a block: some forty bytes a row and four a token, eight where labels are no spans."""

    def __init__(self) -> None:
        self.num_tokens = 0
        self._columns = {"number": array("Q"), "prompt": array("Q"), "full": array("Q"), "flags": array("H")}
        self._ids_end, self._labels_end = array("Q"), array("Q")
        self._ids = array("I")
        self._labels: array[Any] = array("I")
        self._are_spans = True

    def __len__(self) -> int:
        return len(self._ids_end)

    def extend(self, rows: Iterable[TokenizedExample]) -> None:
        for row in rows:
            self.append(row)

    def append(self, row: TokenizedExample) -> None:
        spans = _spans(row) if self._are_spans else None
        if self._are_spans and spans is None:
            self._write_labels_out()
        for name, value in (("number", row.number), ("prompt", row.prompt_length), ("full", row.full_length)):
            self._columns[name].append(value)
        self._columns["flags"].append(_flags(row))
        self._ids.extend(row.input_ids)
        if spans is not None:
            self._labels.extend(spans)
        elif self._labels.typecode == "q" and any(isinstance(label, float) for label in row.labels):
            self._labels = array("d", [*self._labels, *row.labels])
        else:
            self._labels.extend(row.labels)
        self._ids_end.append(len(self._ids))
        self._labels_end.append(len(self._labels))
        self.num_tokens += len(row.input_ids)

    def _write_labels_out(self) -> None:
        """The labels so far, which were spans, one by one."""
        labels, ends, start, first = array("q"), array("Q"), 0, 0
        for ids_end, labels_end in zip(self._ids_end, self._labels_end, strict=True):
            labels.extend(_labels_of(self._ids[start:ids_end].tolist(), self._labels[first:labels_end].tolist()))
            ends.append(len(labels))
            start, first = ids_end, labels_end
        self._labels, self._labels_end, self._are_spans = labels, ends, False

    def block(self, key: str = "", problems: Sequence[Problem] = ()) -> bytes:
        """What was added, as bytes."""
        columns = {
            **{name: _smallest(column, "HIQ") for name, column in self._columns.items()},
            "ids_end": self._ids_end,
            "labels_end": self._labels_end,
            "ids": _smallest(self._ids, "HI"),
            "labels": self._labels if self._labels.typecode == "d" else _smallest(self._labels, _letters(self._labels)),
        }
        body = b"".join(_padded(column.tobytes()) for column in columns.values())
        head: BlockHead = {
            "format": FORMAT,
            "rows": len(self),
            "columns": {name: (column.typecode, len(column)) for name, column in columns.items()},
            "labels": SPANS if self._are_spans else "one by one",
            "byteorder": sys.byteorder,
            "key": key,
            "problems": [problem.to_record() for problem in problems],
        }
        line = json.dumps({**head, "sha256": _digest(head, body)}).encode()
        return line + b" " * (-(len(line) + 1) % ALIGNED) + b"\n" + body


def _spans(row: TokenizedExample) -> list[int] | None:
    """Starts and ends of the spans in which labels repeat ids; None where labels are anything else."""
    ids, labels = row.input_ids, row.labels
    if len(labels) != len(ids) or IGNORED in ids or any(isinstance(label, float) for label in labels[:1]):
        return None
    num_ignored = labels.count(IGNORED)
    if labels[num_ignored:] == ids[num_ignored:]:  # the usual row: a prompt, then an answer
        return [num_ignored, len(ids)] if num_ignored < len(ids) else []
    in_loss = [label != IGNORED for label in labels]
    if any(label != own for label, own, counts in zip(labels, ids, in_loss, strict=True) if counts):
        return None
    return [i for i, (before, after) in enumerate(pairwise([False, *in_loss, False])) if before != after]


def _labels_of(ids: list[int], spans: Sequence[int]) -> list[int]:
    """The labels that `_spans` describes."""
    labels = [IGNORED] * len(ids)
    for start, end in zip(spans[::2], spans[1::2], strict=True):
        labels[start:end] = ids[start:end]
    return labels


def _flags(row: TokenizedExample) -> int:
    return int(row.is_truncated) | sum(2 << place for place, note in enumerate(NOTES) if note in row.notes)


def _letters(labels: "array[Any]") -> str:
    return "HI" if labels.typecode == "I" or (labels and min(labels) >= 0) else _INTEGERS


def _smallest(column: "array[Any]", letters: str) -> "array[Any]":
    """The column in the first of these types that holds it."""
    least, most = (min(column), max(column)) if column else (0, 0)
    for letter in letters:
        bits = 8 * array(letter).itemsize
        low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if letter in _INTEGERS else (0, 1 << bits)
        if low <= least and most < high:
            return column if column.typecode == letter else array(letter, column)
    raise OverflowError(f"{least} to {most} in {letters}")


def _padded(content: bytes) -> bytes:
    return content + b"\x00" * (-len(content) % ALIGNED)


def _digest(head: Mapping[str, object], body: bytes | memoryview) -> str:
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    digest.update(body)
    return digest.hexdigest()


class StoredRows(Sequence[TokenizedExample]):
    """The rows of a block where it lies, in memory or in a mapped file: each is made when it is asked for.

    `problems` are those of rows that became none, `digest` is over all of the block.
    """

    def __init__(self, head: BlockHead, columns: Mapping[str, memoryview], digest: str) -> None:
        self.num_rows = head["rows"]
        self.digest = digest
        self.columns = columns
        self.problems = [Problem.from_record(record) for record in head["problems"]]
        self._are_spans = head["labels"] == SPANS

    def __len__(self) -> int:
        return self.num_rows

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
        columns = self.columns
        ids_end, labels_end = columns["ids_end"], columns["labels_end"]
        ids = columns["ids"][ids_end[i - 1] if i else 0 : ids_end[i]].tolist()
        labels = columns["labels"][labels_end[i - 1] if i else 0 : labels_end[i]].tolist()
        flags = columns["flags"][i]
        notes = frozenset(note for place, note in enumerate(NOTES) if flags & (2 << place)) if flags > 1 else _NO_NOTES
        return TokenizedExample(
            columns["number"][i],
            ids,
            _labels_of(ids, labels) if self._are_spans else labels,
            columns["prompt"][i],
            columns["full"][i],
            bool(flags & 1),
            notes,
        )


_NO_NOTES: frozenset[RenderNote] = frozenset()


def load(path: Path) -> StoredRows | None:
    """The rows of a file that holds a block; None if there is none, or it is not whole."""
    return parse(path.read_bytes()) if path.is_file() else None


def parse(content: bytes | mmap.mmap, key: str = "", *, is_checked: bool = True) -> StoredRows | None:
    """The rows of what `dump` wrote with this key; None if it is not whole.

    Without `is_checked` the sizes of all columns have to be right, and the digest is not computed.
    """
    end_of_head = content.find(b"\n")
    body = memoryview(content)[end_of_head + 1 :]
    try:
        head = json.loads(content[: max(0, end_of_head)])
        digest = head.pop("sha256")
        if is_checked and digest != _digest(head, body):
            return None
        is_ours = (head["format"], head["byteorder"], head["key"]) == (FORMAT, sys.byteorder, key)
        return StoredRows(head, _columns(head, body), digest) if is_ours else None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        return None


def _columns(head: BlockHead, body: memoryview) -> dict[str, memoryview]:
    """The columns of a body. Raises: ValueError where it is shorter or longer than its head says."""
    columns: dict[str, memoryview] = {}
    place = 0
    for name, (letter, count) in head["columns"].items():
        size = count * array(letter).itemsize
        columns[name] = body[place : place + size].cast(letter)
        if len(columns[name]) != count:
            raise ValueError(name)
        place += size + -size % ALIGNED
    if place != len(body) or any(len(columns[name]) != head["rows"] for name in _BY_ROW):
        raise ValueError("the sizes differ")
    return columns


_BY_ROW = ("number", "prompt", "full", "flags", "ids_end", "labels_end")
