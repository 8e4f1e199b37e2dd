"""Answers to many prompts, written as they come.

Rows are answered in portions that lie always the same. Each is appended to a file beside the target, named after what was
asked of which run; whoever asks the same again goes on behind the last whole portion, and comes to the same file.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.rundir import durable
from tunewright.rundir.checkpoints import MANIFEST, sha256
from tunewright.rundir.store import RunDir

Rows = list[dict[str, Any]]
FIRST_ROWS, MOST_ROWS = 8, 128  # a batch costs little more than a row, and a portion is what a kill can cost


def portions(count: int) -> Iterator[range]:
    """All row numbers in order: few at first, so that there is soon something to see, then twice as many each time."""
    start, size = 0, FIRST_ROWS
    while start < count:
        yield range(start, min(count, start + size))
        start, size = start + size, min(MOST_ROWS, 2 * size)


def identity(run: RunDir, ask: Mapping[str, Any]) -> str:
    """A short name for what is asked of a run, adapter and rows included."""
    manifest = run.adapter_dir / MANIFEST
    adapter = sha256(manifest) if manifest.is_file() else ""
    text = json.dumps([run.info()["id"], adapter, ask], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def part_of(target: Path, name: str) -> Path:
    """Where the answers of an ask of this name are before all of them are there."""
    return target.with_name(f"{target.name}.{name}.part")


def written(part: Path, count: int) -> int:
    """How many rows of an earlier try are there already, in whole portions; what stands behind them is cut off."""
    if not part.is_file():
        return 0
    lines = part.read_bytes().split(b"\n")[:-1]
    done = max((rows.stop for rows in portions(count) if rows.stop <= len(lines)), default=0)
    durable.write_bytes(part, b"".join(line + b"\n" for line in lines[:done]))
    return done


def write(target: Path, part: Path, count: int, answer: Callable[[range], Rows]) -> None:
    """Answer the rows that are not answered yet, and give the whole its name. Raises: OSError; the part then stays."""
    done = written(part, count)
    for rows in portions(count):
        if rows.start >= done:
            durable.append_line(part, "\n".join(as_line(row) for row in answer(rows)))
            durable.fsync(part)
    durable.move_file(part, target)


def as_line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


def not_finite(rows: Sequence[Any]) -> int:
    """How many numbers in these values JSON does not have."""
    return sum(map(_not_finite, rows))


def _not_finite(value: Any) -> int:
    if isinstance(value, float):
        return not -float("inf") < value < float("inf")
    if isinstance(value, Mapping):
        return not_finite(list(value.values()))
    return not_finite(value) if isinstance(value, list | tuple) else 0
