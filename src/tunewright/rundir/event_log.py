"""events.jsonl: one strict JSON object a line, appended by the worker, tailed by readers.

| kind | fields besides schema, seq, t, step |
|---|---|
| phase | phase (prepare, load, rehearse, evaluate_before, train, save, evaluate_after), state (begin, end), seconds |
| progress | phase, done, total: inside a phase that takes longer than two seconds |
| log | loss, learning_rate, grad_norm, epoch, tokens, tokens_per_second, eta_seconds, rss_bytes, padding/row_wait/core_wait_share |
| eval | held_out_loss, seconds, is_best |
| score | which (before, after), scores, rows, seconds |
| checkpoint | path, bytes, reason |
| note | text: something decided or measured that a person wants to know |
| alert | problem |
| done | result |
| failed | problems, exit_code |
"""

import json
import math
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tunewright.errors import Problem
from tunewright.rundir import atomic_io
from tunewright.rundir.file_names import SCHEMA
from tunewright.rundir.record_reader import event_of, events_of
from tunewright.rundir.records import KINDS

BLOCK_BYTES = 2**16


def finite(value: Any) -> Any:
    """Numbers that JSON can hold; NaN and infinities become None, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


@dataclass
class EventLog:
    """The writer of one run's events. One process writes at a time: the worker, or the parent when it is gone.

    Events that the disk refuses are written as soon as it takes them again; they do not end the run.
    """

    path: Path
    step: int = 0
    _seq: int = field(default=-1, init=False)
    _waiting: deque[str] = field(default_factory=deque, init=False)  # lines that the disk refused

    def write(self, kind: str, **fields: Any) -> None:
        assert kind in KINDS, kind
        if self._seq < 0:
            self._seq = (last_event(self.path) or {"seq": -1})["seq"]
        self._seq += 1
        head: dict[str, Any] = {
            "schema": SCHEMA,
            "seq": self._seq,
            "t": round(time.time(), 3),
            "step": self.step,
            "kind": kind,
        }
        self._waiting.append(json.dumps(finite({**head, **fields}), ensure_ascii=False, allow_nan=False))
        self.flush()

    def flush(self) -> bool:
        """Write what waits; False if the disk still refuses it."""
        try:
            while self._waiting:
                atomic_io.append_line(self.path, self._waiting[0])
                self._waiting.popleft()
        except OSError as fault:
            if fault.errno not in atomic_io.REFUSALS:
                raise
        return not self._waiting

    def alert(self, problem: Problem) -> None:
        self.write("alert", problem=problem.to_record())


def each_event(path: Path) -> Iterator[dict[str, Any]]:
    """All events that are whole, read one by one; torn lines are left out. Raises: TrainingError E525."""
    return (event for event, _place in events_of(path))


def read_events(path: Path) -> list[dict[str, Any]]:
    """All events that are whole; torn lines are left out. Raises: TrainingError E525."""
    return list(each_event(path))


def last_event(path: Path) -> dict[str, Any] | None:
    """The last whole event, found from the end; None if there is none. Lines that are not events are left out."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        lines = _from_the_end(file)
        next(lines)  # what follows the last end of a line
        for line in lines:
            with suppress(ValueError):
                if event := event_of(line):
                    return event
    return None


def _from_the_end(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, the last first."""
    place, rest = file.seek(0, os.SEEK_END), b""
    while place:
        size = min(BLOCK_BYTES, place)
        place = file.seek(place - size)
        rest, *lines = (file.read(size) + rest).split(b"\n")
        yield from reversed(lines)
    yield rest


@dataclass
class Tail:
    """Reads on from where it stopped."""

    path: Path
    position: int = 0

    def each(self) -> Iterator[dict[str, Any]]:
        """Events written since the last call, one by one. Raises: TrainingError E525."""
        for event, place in events_of(self.path, self.position):
            self.position = place
            yield event

    def read(self) -> list[dict[str, Any]]:
        """All of them. Raises: TrainingError E525."""
        return list(self.each())
