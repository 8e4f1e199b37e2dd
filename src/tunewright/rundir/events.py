"""events.jsonl: one strict JSON object a line, appended by the worker, tailed by whoever watches.

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
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.errors import Problem
from tunewright.rundir import durable
from tunewright.rundir.layout import SCHEMA

KINDS = ("phase", "progress", "log", "eval", "score", "checkpoint", "note", "alert", "done", "failed")


def finite(value: Any) -> Any:
    """Numbers that JSON can hold; NaN and infinities become None, wherever they stand."""
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
            self._seq = max((event["seq"] for event in read_events(self.path)), default=-1)
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
                durable.append_line(self.path, self._waiting[0])
                self._waiting.popleft()
        except OSError as fault:
            if fault.errno not in durable.REFUSALS:
                raise
        return not self._waiting

    def alert(self, problem: Problem) -> None:
        self.write("alert", problem=problem.to_record())


def read_events(path: Path) -> list[dict[str, Any]]:
    """All events that are whole; a torn last line is left out."""
    return list(_parse(path.read_bytes())) if path.is_file() else []


def _parse(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.split(b"\n")[:-1]:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "kind" in event:
            yield event


@dataclass
class Tail:
    """Reads on from where it stopped."""

    path: Path
    position: int = 0

    def read(self) -> list[dict[str, Any]]:
        """Events written since the last call."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as file:
            file.seek(self.position)
            content = file.read()
        whole, _, _torn = content.rpartition(b"\n")
        if not whole:
            return []
        self.position += len(whole) + 1
        return list(_parse(whole + b"\n"))
