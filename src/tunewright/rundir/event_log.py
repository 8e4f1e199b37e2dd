"""events.jsonl: one strict JSON object a line (rundir/events.py), appended by the worker, tailed by whoever watches."""

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tunewright.config.stored_record import finite
from tunewright.errors import Problem
from tunewright.i18n import Phrase
from tunewright.rundir import atomic_io
from tunewright.rundir.events import KINDS, Event, parse_event
from tunewright.rundir.file_names import SCHEMA
from tunewright.rundir.record_reader import event_of, events_of

BLOCK_BYTES = 2**16


@dataclass
class EventLog:
    """The writer of one run's events. One process writes at a time: the worker, or the parent when it is gone.

    Events that the disk refuses are written as soon as it takes them again; they do not end the run.
    """

    path: Path
    step: int = 0
    _seq: int = field(default=-1, init=False)
    _waiting: deque[str] = field(default_factory=deque, init=False)  # lines that the disk refused

    def write(self, kind: str, **fields: object) -> None:
        """Append an event of this kind; a number that is NaN or infinite is written as null.

        Raises: pydantic.ValidationError for fields that are not those of the kind.
        """
        assert kind in KINDS, kind
        if self._seq < 0:
            last = last_event(self.path)
            self._seq = last.seq if last else -1
        self._seq += 1
        head = {"seq": self._seq, "t": round(time.time(), 3), "step": self.step, "kind": kind}
        event = parse_event({**head, **{name: finite(value) for name, value in fields.items()}})
        assert fields.keys() <= type(event).model_fields.keys(), fields
        record = {"schema": SCHEMA, **event.to_stored()}
        self._waiting.append(json.dumps(record, ensure_ascii=False, allow_nan=False))
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

    def note(self, text: str) -> None:
        """A sentence for people; a phrase is kept as one, so that it is read in any language."""
        self.write("note", text=str(text), **({"phrase": text} if isinstance(text, Phrase) else {}))

    def alert(self, problem: Problem) -> None:
        self.write("alert", problem=problem)


def each_event(path: Path) -> Iterator[Event]:
    """All events that are whole, read one by one; torn lines are left out. Raises: TrainingError E525."""
    return (event for events, _place in events_of(path) for event in events)


def read_events(path: Path) -> list[Event]:
    """All events that are whole; torn lines are left out. Raises: TrainingError E525."""
    return list(each_event(path))


def last_event(path: Path) -> Event | None:
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

    def blocks(self) -> Iterator[list[Event]]:
        """Events written since the last call, some at once. Raises: TrainingError E525."""
        for events, place in events_of(self.path, self.position):
            self.position = place
            yield events

    def each(self) -> Iterator[Event]:
        """The same one by one, to be read to the end. Raises: TrainingError E525."""
        return (event for events in self.blocks() for event in events)

    def read(self) -> list[Event]:
        """All of them. Raises: TrainingError E525."""
        return list(self.each())
