"""Runs on disk: create, open, list, tell their state, remove. Faces only read; the parent writes run.json."""

import os
import secrets
import shlex
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tunewright.data.tokenized.tokenized_preview import PreviewRow
from tunewright.errors import TrainingError, TunewrightError, error, errors_of
from tunewright.i18n import N_, Phrase
from tunewright.metrics.evaluated_rows import ExampleLoss, Sample
from tunewright.planning.run_plan import Plan
from tunewright.rundir import atomic_io, file_names, run_lock
from tunewright.rundir.adapter_hint import adapter_in, adapter_problem
from tunewright.rundir.checkpoints import seal
from tunewright.rundir.event_log import EventLog, Tail, each_event, last_event, read_events
from tunewright.rundir.events import DoneEvent, Event, FailedEvent
from tunewright.rundir.record_reader import read_object, read_optional, read_rows
from tunewright.rundir.records import (
    BenchmarkRecord,
    DataRecord,
    FewShotRecord,
    ProcessRecord,
    ProofsRecord,
    RunInfo,
    RunResult,
    TagsRecord,
)
from tunewright.rundir.staging_folder import making
from tunewright.security import as_private_as

LIVE = ("queued", "preparing", "running", "stopping")
STARTING_SECONDS = 30  # from a folder that is whole to the start of its parent, which owns it from then on
WAITING = "waiting"  # in the queue (rundir/run_queue.py); nobody owns it
DAMAGED = "damaged"  # run.json cannot be read
RESUMABLE = ("stopped", "failed", "lost")  # ended early: such a run can go on from its last checkpoint
ENDED = ("finished", *RESUMABLE, DAMAGED)
# A folder with any of them is a run, whole or not; it may have lost the others.
MARKS = (file_names.RUN_JSON, file_names.PLAN, file_names.EVENTS)
NO_FILES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class RunDir:
    """One run's folder; every file of it is reached and read from here. Whatever reads raises TrainingError E525 for a file
    that is damaged, or somebody else's.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def handle(self) -> str:
        """How a command names it from this folder: by its name below `runs/`, else by its path."""
        is_below = self.path.parent.resolve() == runs_root().resolve() and not self.name.startswith("-")
        return self.name if is_below else str(self.path)

    def file(self, name: str) -> Path:
        return self.path / name

    @property
    def adapter_dir(self) -> Path:
        """Where the adapter is, or will be; the older one if the process died while it was replaced."""
        final, before = self.path / file_names.ADAPTER, self.path / file_names.ADAPTER_BEFORE
        return before if before.is_dir() and not final.is_dir() else final

    @property
    def checkpoints_dir(self) -> Path:
        return self.path / file_names.CHECKPOINTS

    @property
    def events(self) -> EventLog:
        return EventLog(self.file(file_names.EVENTS))

    def private(self) -> AbstractContextManager[None]:
        """What is written meanwhile, here or elsewhere, is as private as the run, which is as private as its rows."""
        return as_private_as([self.file(file_names.RUN_JSON)])

    def tail(self) -> Tail:
        return Tail(self.file(file_names.EVENTS))

    def read_events(self) -> list[Event]:
        return read_events(self.file(file_names.EVENTS))

    def each_event(self) -> Iterator[Event]:
        """The events one by one, for runs of any length."""
        return each_event(self.file(file_names.EVENTS))

    def last_event(self) -> Event | None:
        """The last event that is whole; None if there is none."""
        return last_event(self.file(file_names.EVENTS))

    def info(self) -> RunInfo:
        """run.json."""
        return read_object(self.file(file_names.RUN_JSON), RunInfo)

    def day(self) -> datetime:
        """The day of its creation, which its rows are written with for as long as it lives."""
        return datetime.fromtimestamp(self.info().created).replace(hour=0, minute=0, second=0, microsecond=0)

    def update_info(self, **changes: Any) -> None:
        """Write some fields of run.json; for the process that owns the run: the parent, or the run itself when it is inline.

        Raises: pydantic.ValidationError for values that are not those of the fields.
        """
        assert changes.keys() <= RunInfo.model_fields.keys(), changes
        stored = self.info().model_dump(by_alias=True, exclude_unset=True)
        info = RunInfo.model_validate({**stored, **changes})
        atomic_io.write_json(self.file(file_names.RUN_JSON), info.to_stored())

    def log(self, line: str) -> None:
        """A line for people in log.txt; left out where the disk refuses it."""
        with suppress(OSError):
            atomic_io.append_line(self.file(file_names.LOG), line)

    def publish_adapter(self, staged: Path, identity: Mapping[str, object]) -> None:
        """Seal a staged adapter and put it in its place; at every moment `adapter_dir` is the older or the newer one."""
        seal(staged, run_id=self.info().id, step=0, identity=identity)
        atomic_io.replace_folder(staged, self.path / file_names.ADAPTER, aside=self.path / file_names.ADAPTER_BEFORE)

    def sweep(self) -> None:
        """Remove what dead processes left half done; for the process that owns the run."""
        atomic_io.sweep(self.path)
        atomic_io.sweep(self.checkpoints_dir)

    def seconds(self) -> float | None:
        """From the worker's start to its end, all sessions together; None while it runs, or if it never started.

        The last session's length is `seconds`, of a clock that does not jump; earlier versions wrote its two ends alone.
        """
        info = self.info()
        if not info.started or not info.ended:
            return None
        return info.seconds_before + (info.ended - info.started if info.seconds is None else info.seconds)

    def plan(self) -> Plan:
        """plan.json."""
        return read_object(self.file(file_names.PLAN), Plan)

    def tags(self) -> tuple[str, ...]:
        """tags.json: words by which somebody finds the run again (`run_tags.change`)."""
        record = read_optional(self.file(file_names.TAGS), TagsRecord)
        return tuple(record.tags) if record else ()

    def data_summary(self) -> DataRecord | None:
        """prepared.json: what became of every row; None before the data were prepared."""
        return read_optional(self.file(file_names.PREPARED), DataRecord)

    def preview_rows(self) -> list[PreviewRow]:
        """A few rows as the model reads them, with the tokens in the loss; none before the data were prepared."""
        return read_rows(self.file(file_names.SEEN_ROWS), PreviewRow)

    def samples(self, which: str) -> list[Sample]:
        """Written answers of `before`, `after` or `prompted`: row, prompt, reference, answer."""
        return read_rows(self.path / file_names.EVAL / f"{which}.jsonl", Sample)

    def losses(self, which: str) -> list[ExampleLoss]:
        """Held-out rows of such a test: number, sum of losses, and the units that these are of."""
        return read_rows(self.path / file_names.EVAL / f"{which}.losses.jsonl", ExampleLoss)

    def write_test(self, which: str, samples: Sequence[Sample], losses: Sequence[ExampleLoss]) -> None:
        """Keep the rows of a test."""
        atomic_io.make_folder(self.path / file_names.EVAL)
        atomic_io.write_jsonl(
            self.path / file_names.EVAL / f"{which}.jsonl", [sample.to_stored() for sample in samples]
        )
        atomic_io.write_jsonl(
            self.path / file_names.EVAL / f"{which}.losses.jsonl", [loss.to_stored() for loss in losses]
        )

    def few_shot(self) -> FewShotRecord | None:
        """Scores of the base model with examples in its prompt; None if they were not measured."""
        return read_optional(self.path / file_names.EVAL / f"{file_names.PROMPTED}.json", FewShotRecord)

    def benchmark(self) -> BenchmarkRecord | None:
        """Base and tuned model under lm-evaluation-harness; None if it was not run."""
        return read_optional(self.benchmark_path, BenchmarkRecord)

    @property
    def benchmark_path(self) -> Path:
        return self.path / file_names.EVAL / file_names.BENCHMARK

    def proofs(self) -> ProofsRecord | None:
        """What was deployed of it and checked; None if nothing was."""
        return read_optional(self.proofs_path, ProofsRecord)

    @property
    def proofs_path(self) -> Path:
        return self.path / file_names.EVAL / file_names.PROOF

    def result(self) -> RunResult:
        """What the run measured: as the parent wrote it, or, if the parent was gone by then, as the worker wrote it.

        Every field is missing for a run that did not finish.
        """
        stored = self.info().result
        last = None if stored else self.last_event()
        return stored or (last.result if isinstance(last, DoneEvent) else RunResult())

    def check(self) -> None:
        """Read what a run cannot continue without: run.json, plan.json, events. Raises: TrainingError E525."""
        self.info(), self.plan()
        deque(self.each_event(), maxlen=0)

    def state(self) -> str:
        """State as a reader sees it, `damaged` where run.json cannot be read.

        Live is what is owned (rundir/run_lock.py): of processes that are gone, how they ended.
        """
        try:
            info = self.info()
            while info.state in LIVE and not run_lock.is_held(self.path):
                before, info = info, self.info()
                if info == before:  # else its owner wrote its end, or a new one its beginning, between the two looks
                    return self.left_as()
        except TrainingError:
            return DAMAGED
        return info.state

    def left_as(self) -> str:
        """State of a run that nobody owns, or its reader alone: `queued` if it is about to be started, or how it ended.

        Raises: TrainingError E525.
        """
        info = self.info()
        if info.state not in LIVE:
            return info.state
        age = time.time() - (info.created if info.queued is None else info.queued)
        return "queued" if info.state == "queued" and 0 <= age < STARTING_SECONDS else self._state_by_events()

    def request(self, *, now: bool) -> None:
        """Ask the run's processes, wherever they are, to save and end, or to end at once. Its owners look for it."""
        atomic_io.mark(self.file(file_names.STOP_NOW if now else file_names.STOP))

    def is_asked_to_stop(self, *, now: bool = False) -> bool:
        return self.file(file_names.STOP_NOW).exists() or (not now and self.file(file_names.STOP).exists())

    def forget_requests(self) -> None:
        """For who is about to start a run again."""
        for name in (file_names.STOP, file_names.STOP_NOW):
            if self.file(name).exists():
                atomic_io.drop(self.file(name))

    def _state_by_events(self) -> str:
        """How a worker whose parent is gone ended; `lost` if it did not finish and was not asked to end at once."""
        last = self.last_event()
        if isinstance(last, FailedEvent):
            return "stopped" if last.was_stopped else "failed"
        if isinstance(last, DoneEvent):
            return "finished"
        return "stopped" if self.is_asked_to_stop(now=True) else "lost"


def process_record(pid: int) -> ProcessRecord:
    """A process of this machine."""
    return ProcessRecord(pid=pid, host=socket.gethostname())


def owned(run: RunDir, code: str = "E505") -> TunewrightError:
    """E505, or another error about the run's owner, with that as run.json names it."""
    process = None
    with suppress(TrainingError):  # damaged, but owned all the same
        info = run.info()
        process = info.parent or info.worker
    return error(code, pid=process.pid if process else "?", host=process.host if process else "?", name=run.handle)


def unfit(run: RunDir, verb: str, needed: str = N_("finished")) -> TunewrightError:
    """E116 for a run that is in no state for a verb, with the way on from the state that it is in."""
    state, name = run.state(), shlex.quote(run.handle)
    can_be_watched, can_go_on = state in (*LIVE, WAITING), state in (*RESUMABLE, WAITING)
    ways = ({"live": name} if can_be_watched else {}) | ({"ended": name} if can_go_on else {})
    return error("E116", state=Phrase(state), verb=verb, needed=needed, **ways)


def own(run: RunDir) -> int:
    """The open file that holds the run's lock. Raises: TrainingError E505 if another process owns the run, E518."""
    descriptor = run_lock.take(run.path)
    if descriptor is None:
        raise owned(run)
    return descriptor


@contextmanager
def owning(run: RunDir) -> Iterator[int]:
    """Own a run for as long as the block lasts, and whoever is given the lock on for longer. Raises: as `own`."""
    descriptor = own(run)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def owning_ended(run: RunDir) -> Iterator[None]:
    """Own a run that nothing is to become of meanwhile. Raises: TrainingError E505 while it is owned or about to be started."""
    with owning(run):
        is_live = False
        with suppress(TrainingError):  # of a damaged run only the lock says whether it is alive
            is_live = run.left_as() in LIVE
        if is_live:
            raise owned(run)
        yield


def create(folder: Path, name: str, files: Mapping[str, str] = NO_FILES, **record: Any) -> RunDir:
    """A new run's folder with these texts by file name and what run.json is to hold; it appears whole or not at all.

    Raises: ConfigError E115 if the folder holds something already.
    """
    run = RunDir(folder.resolve())
    head = {
        "schema": file_names.SCHEMA,
        "id": secrets.token_hex(8),
        "name": name,
        "state": "queued",
        "created": time.time(),
    }
    info = RunInfo.model_validate({**head, **record})
    with making(run.path) as staged:
        for file, text in files.items():
            atomic_io.write_text(staged / file, text)
        atomic_io.write_json(staged / file_names.RUN_JSON, info.to_stored())
    return run


def new_folder(name: str, root: Path) -> Path:
    """`runs/<date>-<name>-<4 letters>`, free of vowels so that it never spells a word."""
    letters = "".join(secrets.choice("bcdfghjkmnpqrstvwxz") for _ in range(4))
    return root / f"{datetime.now():%Y-%m-%d}-{name}-{letters}"


def runs_root() -> Path:
    return Path(os.getcwd()) / file_names.RUNS  # noqa: PTH109 - follows the shell's folder at the time of the call


def list_runs(root: Path | None = None) -> list[RunDir]:
    """Runs of the folder `runs/` here, oldest first; also those that are damaged, which are placed by the time of their folder."""
    root = root or runs_root().resolve()  # the queue knows them by these paths, from whatever folder
    runs = [RunDir(path) for path in root.iterdir() if is_run(path)] if root.is_dir() else []
    return sorted(runs, key=lambda run: (_created(run), run.name))


def is_text(name: str) -> bool:
    """Whether the name of a file is UTF-8: those that came out of old archives may be any bytes."""
    return not any("\ud800" <= char <= "\udfff" for char in name)


def names_that_are_no_text(root: Path) -> list[bytes]:
    """The names of folders in this one that are not UTF-8: a terminal shows them escaped, an address cannot hold them."""
    listed = root.iterdir() if root.is_dir() else ()
    return sorted(os.fsencode(path.name) for path in listed if path.is_dir() and not is_text(path.name))


def is_run(folder: Path) -> bool:
    """Whether a folder is a run, or what is left of one; hidden ones are not."""
    return not folder.name.startswith(".") and any(os.path.lexists(folder / mark) for mark in MARKS)


def _created(run: RunDir) -> float:
    try:
        return run.info().created
    except TrainingError:
        with suppress(FileNotFoundError):  # removed since it was listed
            return run.path.stat().st_mtime
        return 0.0


def open_run(word: str) -> RunDir:
    """A run by path, name, beginning of its name, or `last`, the newest that is not damaged.

    Raises: ConfigError E113, E114; ModelError E323 for the folder of an adapter.
    """
    path = Path(word).expanduser()
    by_folder = [place for place in (path, runs_root() / word) if word and is_run(place)]
    if by_folder:
        return RunDir(by_folder[0].resolve())
    runs = list_runs()
    sound = [run for run in runs if run.state() != DAMAGED]
    if word == "last" and sound:
        return sound[-1]
    matches = [run for run in runs if run.name.startswith(word) or run.name[11:].startswith(word)]
    matches += [run for run in sound if run not in matches and word == run.info().name]
    if word and not matches and _exists(path) and adapter_in(path):
        raise errors_of([adapter_problem("E323", path)])
    if not matches or not word:
        raise error("E113", name=word)
    if len(matches) > 1:
        raise error("E114", name=word, matches=", ".join(run.name for run in matches))
    return matches[0]


def _exists(path: Path) -> bool:
    """Whether there is such a file or folder; a name that the system does not take, as it is too long, is none."""
    try:
        return path.exists()
    except OSError:
        return False


def open_exactly(word: str) -> RunDir:
    """A run by path or whole name, for what cannot be undone; a link stays a link. Raises: ConfigError E113, E130."""
    places = (Path(word).expanduser(), runs_root() / word)
    folder = next((place for place in places if word and is_run(place)), None)
    if folder:
        return RunDir(folder.absolute() if folder.is_symlink() else folder.resolve())
    run = open_run(word)
    raise error("E130", name=word, matches=shlex.quote(run.name))


def folder_bytes(folder: Path) -> int:
    """What a folder takes on disk; a link to one takes nothing."""
    if folder.is_symlink():
        return 0
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove(run: RunDir) -> None:
    """Delete a run's folder, of a link the link alone. Raises: TrainingError E505 while it is owned or about to be started."""
    if run.path.is_symlink():
        atomic_io.remove_folder(run.path)
        return
    with owning_ended(run):
        atomic_io.remove_folder(run.path)
