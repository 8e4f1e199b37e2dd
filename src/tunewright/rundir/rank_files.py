"""What the processes of one run are told when they start, and what each of them says where it is: `ranks/K.json`.

The first writes the run's own files. Every other one has `ranks/K.jsonl` for its events, so that each file has one writer.
"""

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from tunewright.config.stored_record import Count, Number, Stamp, StoredRecord
from tunewright.rundir import file_names

FIRST = 0
RANK, WORLD_SIZE, LOCAL_RANK = "RANK", "WORLD_SIZE", "LOCAL_RANK"  # torchrun's names, as its kin read them
FIRST_HERE = "TUNEWRIGHT_FIRST_HERE"  # the first rank of this machine
PLACE = "TUNEWRIGHT_MEETING_PLACE"  # a file on this machine, or host:port of the first process
TIMEOUT = "TUNEWRIGHT_RANK_TIMEOUT"  # seconds that a process waits for the others
PARENT = "TUNEWRIGHT_RANK_PARENT"  # the process that started it, and watches it
STATE = "TUNEWRIGHT_RANK_STATE"  # the file that says where this process is
STATE_BYTES = 512
PEER_LOST = 75  # exit code of a process that ended because another one was gone (EX_TEMPFAIL)


class RankState(StoredRecord):
    """Where a process of a run is."""

    rank: Count
    """its number, from 0; 0 writes the run's files"""
    pid: Count
    """its process id"""
    host: str
    """the name of its machine"""
    phase: str
    """the phase it is in"""
    step: Count
    """the step it is in"""
    call: str = ""
    """what it waits for the others in, such as `all_reduce`; empty while it computes"""
    since: Stamp
    """since when it is there"""
    computed: Number = 0.0
    """seconds that it computed of the last step, without waiting for others"""
    share: Number | None = None
    """what it computed of its steps until their sums were there, as a share of 1; of the rest it waited. A session's first step is
    left out"""


def states_folder(run: Path) -> Path:
    return run / file_names.RANKS


def state_path(run: Path, rank: int) -> Path:
    return states_folder(run) / f"{rank}.json"


def events_path(run: Path, rank: int) -> Path:
    """Where a process writes its events."""
    return run / file_names.EVENTS if rank == FIRST else states_folder(run) / f"{rank}.jsonl"


def read_state(path: Path) -> RankState | None:
    """Where a process is; None before it has said so, or while it does."""
    try:
        return RankState.model_validate_json(path.read_bytes().strip())
    except (OSError, ValidationError):
        return None


def read_states(run: Path) -> list[RankState]:
    """Where all processes of a run are, or were when it ended."""
    paths = sorted(states_folder(run).glob("*.json"), key=lambda path: int(path.stem) if path.stem.isdigit() else 0)
    return [state for path in paths if (state := read_state(path))]


@dataclass
class Heartbeat:
    """The writer of one state. The file has its full size from the start, so a full disk does not silence it."""

    path: Path
    rank: int
    computed: float = 0.0
    share: float | None = None
    _place: tuple[str, int, str] = field(default=("start", 0, ""), init=False)
    _file: int = field(default=-1, init=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Heartbeat":
        """As the environment of a process names it."""
        return cls(Path(environment[STATE]), int(environment[RANK]))

    def __post_init__(self) -> None:
        with suppress(OSError):
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._say()

    def write(self, phase: str, step: int = 0) -> None:
        """It begins a phase, or a step of one."""
        self._place = (phase, step, "")
        self._say()

    def enter(self, call: str) -> None:
        """It waits for the others."""
        phase, step, _call = self._place
        self._place = (phase, step, call)
        self._say()

    def leave(self) -> None:
        """It waits no more."""
        self.enter("")

    def _say(self) -> None:
        phase, step, call = self._place
        state = RankState(
            rank=self.rank, pid=os.getpid(), host=socket.gethostname(), phase=phase, step=step, call=call,
            since=round(time.time(), 3), computed=round(self.computed, 4),
            share=None if self.share is None else round(self.share, 4),
        )  # fmt: skip
        text = json.dumps(state.model_dump(mode="json")).ljust(STATE_BYTES - 1)[: STATE_BYTES - 1] + "\n"
        if self._file >= 0:
            with suppress(OSError):
                os.pwrite(self._file, text.encode(), 0)
