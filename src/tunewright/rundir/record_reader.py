"""The one place where a file of a run is read: it has its shape, or it is an error with place, reason and a fix.

Whoever reads a run gets the models of rundir/records.py and rundir/events.py, and checks nothing again. What a kill or a power
cut leaves at the end of a line of events is no damage: see `event_of`.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from tunewright.errors import TunewrightError, Where, error
from tunewright.i18n import N_, Phrase
from tunewright.rundir import file_names
from tunewright.rundir.events import Event, parse_event, parse_known

M = TypeVar("M", bound=BaseModel)

TORN = "EOF while parsing"  # how pydantic's reader begins what it says of the beginning of a JSON text
HEAD = b'{"schema": '  # how all lines of events begin; inside a string of JSON its quotes would be escaped
BLOCK_BYTES = 2**15
NEEDED = (file_names.RUN_JSON, file_names.PLAN)  # without any other file a run is still one


def unreadable(path: Path, reason: str, line: int = 0) -> TunewrightError:
    """E525 for a file of a run, with a fix that keeps what there is."""
    values: dict[str, object] = {"file": path.name, "reason": reason}
    if path.name in NEEDED:
        config = path.parent / file_names.CONFIG
        values |= {"run": shlex.quote(str(path.parent))}
        values |= {"config": shlex.quote(str(config))} if config.is_file() else {}
    elif line:
        values |= {"line": line, "lines": shlex.quote(str(path))}
    else:
        values |= {"whole": shlex.quote(str(path)), "aside": shlex.quote(str(path.with_name(f"{path.name}.damaged")))}
    return error("E525", Where(str(path), line), **values)


def read_bytes(path: Path) -> bytes:
    """Everything in a file. Raises: TrainingError E525 for a folder, a pipe, or what the system does not give."""
    try:
        if not path.is_file():
            raise unreadable(path, N_("not a file") if path.exists() else N_("it is missing"))
        return path.read_bytes()
    except OSError as fault:
        raise unreadable(path, fault.strerror or str(fault)) from fault


def read_object(path: Path, model: type[M]) -> M:
    """The record in a file. Raises: TrainingError E525."""
    return _validated(path, _parsed(path, read_bytes(path)), model)


def read_optional(path: Path, model: type[M]) -> M | None:
    """The record in a file; None if there is no such file. Raises: TrainingError E525."""
    return read_object(path, model) if path.exists() else None


def read_rows(path: Path, model: type[M]) -> list[M]:
    """The records of a file with one a line; none if there is no such file. Raises: TrainingError E525."""
    if not path.exists():
        return []
    # Not splitlines(): it also breaks at U+2028 and other characters that JSON leaves as they are.
    lines = read_bytes(path).split(b"\n")
    return [
        _validated(path, _parsed(path, line, number), model, number)
        for number, line in enumerate(lines, start=1)
        if line
    ]


def events_of(path: Path, start: int = 0) -> Iterator[tuple[list[Event], int]]:
    """The whole events of a file from byte `start` on, some at once, with the offset after them; nothing if there is no such file.

    A last line without an end is left for later. Raises: TrainingError E525, after the events before it were given.
    """
    if not path.exists():
        return
    if not path.is_file():  # a pipe would be waited for
        raise unreadable(path, N_("not a file"))
    place, line = start, b""
    try:
        with path.open("rb") as file:
            file.seek(start)
            while block := file.read(BLOCK_BYTES) + file.readline():
                *lines, rest = block.split(b"\n")
                if events := _known_events(block, lines):
                    place += len(block) - len(rest)
                    yield events, place
                    lines = []
                for line in lines:
                    event = event_of(line)
                    place += len(line) + 1
                    if event is not None:
                        yield [event], place
                if line := rest:
                    event_of(line)
                    return
    except OSError as fault:
        raise unreadable(path, fault.strerror or str(fault)) from fault
    except ValueError as fault:
        raise unreadable(path, _reason(fault, line), _line_at(path, place)) from fault


def _known_events(block: bytes, lines: list[bytes]) -> list[Event] | None:
    """The events of all lines of a block, if each is a whole one of a kind that is known; else they are to be read one by one."""
    if b"N" in block or b"I" in block:  # there might be a NaN or Infinity among them
        return None
    try:
        return parse_known(lines)
    except ValidationError:
        return None


def event_of(line: bytes) -> Event | None:
    """The event of a line; None for the beginning of one.

    A process that was killed leaves the beginning of a line, two of them may share one, and a power cut leaves NUL bytes
    after it or instead of it. Raises: ValueError, of which ValidationError is a kind, for a line that no kill explains.
    """
    line = line.rstrip(b"\n\x00")
    try:
        record = from_json(line, allow_inf_nan=False)
    except ValueError as fault:
        if str(fault).startswith(TORN):
            return None
        first, *others = line.split(HEAD)
        if first or len(others) < 2:
            raise
        return [event_of(HEAD + piece) for piece in others][-1]
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    return parse_event(record)


def _line_at(path: Path, place: int) -> int:
    """The number of the line that begins at this byte."""
    with path.open("rb") as file:
        return 1 + sum(1 for _line in iter(file.readline, b"") if file.tell() <= place)


def _parsed(path: Path, content: bytes, line: int = 0) -> object:
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError as fault:
        raise unreadable(path, _reason(fault, content), line) from fault


def _validated(path: Path, value: object, model: type[M], line: int = 0) -> M:
    if not isinstance(value, dict):
        raise unreadable(path, N_("not a JSON object"), line)
    try:
        return model.model_validate(value)
    except ValidationError as fault:
        raise unreadable(path, _first(fault), line) from fault


def _reason(fault: ValueError, content: bytes) -> str:
    """Why a text is not a record of ours, in words where there are some."""
    if isinstance(fault, ValidationError):
        return _first(fault)
    if not content.strip():
        return N_("it is empty")
    if b"\x00" in content:
        return N_("it holds NUL bytes, as a power cut leaves them")
    if str(fault).startswith(TORN):
        return N_("it is cut off")
    return str(fault)


def _first(fault: ValidationError) -> str:
    """The first thing that is not as it should be."""
    detail = fault.errors(include_url=False, include_context=False, include_input=False)[0]
    key = ".".join(map(str, detail["loc"])) or "?"
    if detail["type"] == "missing":
        return Phrase(N_("{key} is missing"), key=key)
    return Phrase(N_("{key} is not what belongs there ({what})"), key=key, what=detail["msg"])
