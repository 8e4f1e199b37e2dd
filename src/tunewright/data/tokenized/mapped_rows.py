"""Encoded rows that lie in files; many are mapped into memory, where all processes of a machine share one copy.

Files are written under another name and renamed, and never changed in place: whoever has mapped one keeps the rows that it had,
also if another takes its name. Each has a digest over all it holds. All digests are computed at the start where that costs a
second or two; of more, those of the first and the last file and some between, and the sizes of all columns of every file.
"""

import mmap
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import overload

from tunewright.data.tokenized.tokenized_cache import BlockBuilder, StoredRows, parse
from tunewright.data.tokenized.tokenized_example import TokenizedExample

MOST_ROWS = 2**16  # of a file
MOST_TOKENS = 2**23
MAPPED_FROM_BYTES = 2**26  # fewer are read, so that nothing that becomes of the files matters
CHECKED_BYTES = 2**30  # whose digests are computed at each start


class MappedRows(Sequence[TokenizedExample]):
    """The rows of several blocks, one after another; each row is made when it is asked for."""

    def __init__(self, blocks: Sequence[StoredRows]) -> None:
        self.blocks = blocks
        self._starts = [0, *accumulate(map(len, blocks))]

    def __len__(self) -> int:
        return self._starts[-1]

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
        number = bisect_right(self._starts, i) - 1
        return self.blocks[number][i - self._starts[number]]

    def full_lengths(self) -> "array[int]":
        """How long each row was before it was cut."""
        lengths = array("Q")
        for block in self.blocks:
            lengths.extend(block.columns["full"])
        return lengths

    def digests(self) -> list[str]:
        """One of each file, over all it holds."""
        return [block.digest for block in self.blocks]


class DamagedRows(Exception):
    """A file of encoded rows is missing, cut or changed; its argument is the file's name."""


def open_rows(paths: Sequence[Path], *, checks_all: bool = False) -> MappedRows:
    """The rows of files that `RowWriter` wrote. Raises: DamagedRows with the name of the first that does not hold; OSError."""
    sizes = [path.stat().st_size if path.is_file() else 0 for path in paths]
    checked = set(range(len(paths))) if checks_all else _checked(sizes)
    is_mapped = sum(sizes) >= MAPPED_FROM_BYTES
    return MappedRows([_opened(path, is_mapped, is_checked=place in checked) for place, path in enumerate(paths)])


def _opened(path: Path, is_mapped: bool, *, is_checked: bool) -> StoredRows:
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if is_mapped else file.read()
    except (FileNotFoundError, IsADirectoryError, ValueError) as fault:  # nothing can be mapped of an empty file
        raise DamagedRows(path.name) from fault
    rows = parse(content, is_checked=is_checked)
    if rows is None:
        raise DamagedRows(path.name)
    return rows


def _checked(sizes: Sequence[int]) -> set[int]:
    """Places of the files whose digests are computed: all of few bytes; else the first, the last, and evenly between."""
    if not sizes or sum(sizes) <= CHECKED_BYTES:
        return set(range(len(sizes)))
    count = max(2, len(sizes) * CHECKED_BYTES // sum(sizes))
    return {place * (len(sizes) - 1) // (count - 1) for place in range(count)}


class RowWriter:
    """Rows into files of a folder, as many in each as are well read at once; at most one such part is in memory.

    `digests` has the name of each file and what `StoredRows.digest` says of it.
    """

    def __init__(self, folder: Path, name: str, write: Callable[[Path, bytes], None]) -> None:
        self._folder, self._name, self._write = folder, name, write
        self._part = BlockBuilder()
        self.digests: dict[str, str] = {}

    def extend(self, rows: Iterable[TokenizedExample]) -> None:
        """Raises: OSError where the disk refuses."""
        for row in rows:
            self._part.append(row)
            if len(self._part) >= MOST_ROWS or self._part.num_tokens >= MOST_TOKENS:
                self._flush()

    def rows(self) -> MappedRows:
        """What was written, and the last part with it. Raises: OSError."""
        self.close()
        return open_rows([self._folder / name for name in self.digests])

    def close(self) -> None:
        """The last part; a file of no rows where there are none. Raises: OSError."""
        if len(self._part) or not self.digests:
            self._flush()

    def _flush(self) -> None:
        name = f"{self._name}-{len(self.digests):05}.rows"
        content = self._part.block()
        self._write(self._folder / name, content)
        rows = parse(content, is_checked=False)
        assert rows is not None
        self.digests[name] = rows.digest
        self._part = BlockBuilder()


def file_digests(rows: Sequence[TokenizedExample]) -> list[str]:
    """A digest of each file that holds the rows, or that would: the same rows have the same ones, wherever they come from."""
    if isinstance(rows, MappedRows):
        return rows.digests()
    writer = RowWriter(Path(), "rows", lambda _path, _content: None)
    writer.extend(rows)
    writer.close()
    return list(writer.digests.values())
