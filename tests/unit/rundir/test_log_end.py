"""The log of a run, whatever its length: its last lines, a search of its end, and all of it, in little memory."""

import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tunewright.errors import TrainingError
from tunewright.rundir import log_end

LITTLE = 8 * 2**20  # bytes
GIBIBYTE = 2**30


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < LITTLE
    finally:
        tracemalloc.stop()


def sparse(path: Path, end: str, num_bytes: int = GIBIBYTE) -> Path:
    """So many NUL bytes, which take no room, and this text after them."""
    with path.open("wb") as file:
        file.truncate(num_bytes)
        file.seek(0, os.SEEK_END)
        file.write(end.encode())
    return path


def test_a_short_log_is_whole(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"one\rtwo\r\nthree \xff\n")
    shown = log_end.read_end(tmp_path / "log.txt")
    assert shown.lines == ("one", "two", "three \ufffd") and shown.is_whole and shown.num_older == 0
    assert log_end.read_end(tmp_path / "log.txt", "T").lines == ("two", "three \ufffd")
    assert log_end.read_end(tmp_path / "none") == log_end.LogEnd()
    assert b"".join(log_end.blocks(tmp_path / "none")) == b""


def test_of_many_lines_the_last_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("".join(f"line {number}\n" for number in range(1000)))
    shown = log_end.read_end(tmp_path / "log.txt")
    assert shown.lines[0] == f"line {1000 - log_end.MOST_LINES}" and shown.lines[-1] == "line 999"
    assert shown.num_older == 1000 - log_end.MOST_LINES and shown.is_whole


def test_a_long_log_begins_with_a_whole_line(tmp_path: Path) -> None:
    line = "x" * 2999 + "\n"
    (tmp_path / "log.txt").write_text(line * 1000)
    shown = log_end.read_end(tmp_path / "log.txt")
    assert set(shown.lines) == {"x" * 2999} and not shown.is_whole
    assert shown.read_bytes == len(line) * len(shown.lines) and shown.num_bytes == 3_000_000


def test_a_long_log_is_searched_in_little_memory_and_said_to_what_bound(tmp_path: Path) -> None:
    path = sparse(tmp_path / "log.txt", "a needle\nhay\n")
    with little_memory():
        found = log_end.read_end(path, "needle")
        shown = log_end.read_end(path)
    assert [line.strip("\0") for line in found.lines] == ["a needle"]
    assert found.num_bytes == GIBIBYTE + 13
    assert log_end.SEARCHED_BYTES - log_end.LINE_BYTES <= found.read_bytes <= log_end.SEARCHED_BYTES
    assert shown.lines[-1] == "hay" and shown.read_bytes <= log_end.SHOWN_BYTES


def test_a_long_log_is_given_whole_in_little_memory(tmp_path: Path) -> None:
    path = sparse(tmp_path / "log.txt", "the end\n", 8 * LITTLE)
    with little_memory():
        assert sum(map(len, log_end.blocks(path))) == path.stat().st_size


@pytest.mark.parametrize("read", [log_end.read_end, log_end.blocks])
def test_what_is_no_file_is_an_error_at_once(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "log.txt").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("log.txt", "pipe"):
        with pytest.raises(TrainingError, match="E525"):
            read(tmp_path / name)
