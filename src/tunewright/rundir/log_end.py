"""log.txt: what the libraries printed. It may be of any length, so that it is never in memory as a whole."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from tunewright.i18n import N_
from tunewright.rundir.record_reader import unreadable

MOST_LINES = 400
SHOWN_BYTES = 2**20  # of the end, for its last lines
SEARCHED_BYTES = 2**26
LINE_BYTES = 4096  # a bar of progress without line ends, or what a power cut left, may be as long as the file
BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class LogEnd:
    """The last lines of a log, or the last of those that hold a word. Sizes in bytes."""

    lines: tuple[str, ...] = ()
    num_older: int = 0
    """Lines before them, with the word, in what was read."""
    read_bytes: int = 0
    """How much of the end of the file was read."""
    num_bytes: int = 0
    """The whole file."""

    @property
    def is_whole(self) -> bool:
        return self.read_bytes == self.num_bytes


def read_end(path: Path, word: str = "") -> LogEnd:
    """The last lines that hold the word, whatever its case; nothing of a file that is not there. Lines of more than 4,096
    bytes come in pieces.

    Cost: memory for a mebibyte, or with a word for a few, and the time to read 64. Raises: TrainingError E525.
    """
    if not path.exists():
        return LogEnd()
    wanted, lines, count = word.lower(), deque[str](maxlen=MOST_LINES), 0
    with _opened(path) as file:
        start = file.seek(max(0, file.seek(0, os.SEEK_END) - (SEARCHED_BYTES if word else SHOWN_BYTES)))
        if start:
            start += len(file.readline(LINE_BYTES))  # the end of a line
        # Forwards, and not in blocks from the end as events are: a line without an end would be held to its beginning.
        for piece in iter(partial(file.readline, LINE_BYTES), b""):
            for line in piece.decode("utf-8", "replace").splitlines():
                if wanted in line.lower():
                    lines.append(line)
                    count += 1
        return LogEnd(tuple(lines), count - len(lines), file.tell() - start, file.tell())


def blocks(path: Path) -> Iterator[bytes]:
    """The whole file in blocks, empty if there is no file. Raises: TrainingError E525, at the call if it cannot be opened."""
    read = _blocks(path)
    return chain((next(read, b""),), read)


def _blocks(path: Path) -> Iterator[bytes]:
    if path.exists():
        with _opened(path) as file:
            yield from iter(partial(file.read, BLOCK_BYTES), b"")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if not path.is_file():  # a pipe would be waited for
        raise unreadable(path, N_("not a file"))
    try:
        with path.open("rb") as file:
            yield file
    except OSError as fault:
        raise unreadable(path, fault.strerror or str(fault)) from fault
