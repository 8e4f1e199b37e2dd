"""The parent of a run: `python -m tunewright.launch.supervisor RUN`. Torch-free, one for each live run.

Only a parent sees the signal its child died of, so only it can say that memory ran out, and start another worker that
needs less (launch/oom_recovery.py), or one that does the same again if it was killed or hung; and it goes on when
the terminal is closed. It alone writes run.json. If it is killed itself, the worker goes on to its end, and owns the run until
then: it holds the same lock (rundir/run_lock.py).
"""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tunewright.diagnose.rules import diagnose
from tunewright.errors import Problem
from tunewright.errors.exit_codes import EXIT_MEMORY
from tunewright.i18n import N_, Phrase
from tunewright.inspection.memory_monitor import Cgroup, own_groups
from tunewright.inspection.watchdog import STILL_SECONDS
from tunewright.launch import worker_group
from tunewright.launch.devices import occupied
from tunewright.launch.oom_recovery import (
    MemoryShortage,
    last_sealed,
    load_rows_itself,
    nothing_left,
    save,
    shortage,
    tell,
)
from tunewright.launch.worker_group import WorkerGroup
from tunewright.report.run_report import write_report
from tunewright.rundir import atomic_io, file_names, rank_files, run_lock
from tunewright.rundir.event_log import read_events
from tunewright.rundir.events import AlertEvent, DoneEvent, Event, FailedEvent, PhaseBeginEvent
from tunewright.rundir.full_disk import EndingWriter, keep_talking, last_words
from tunewright.rundir.records import RunResult
from tunewright.rundir.run_dir import RunDir, owned, process_record
from tunewright.rundir.run_queue import registered
from tunewright.security import command

NOW = 2  # requests to stop that mean: at once
MOST_TRIES = 3  # of workers that die by a signal without a new step in between
ASKED_TO_END = (signal.SIGTERM, signal.SIGINT)
LAST_WORDS_BYTES = 4096
POLL_SECONDS = 0.1
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class RunEnd:
    """The fields of run.json that tell how a session ended."""

    state: str
    exit_code: int
    problems: list[Problem] = field(default_factory=list)
    result: RunResult | None = None


@dataclass
class Supervisor:
    """One worker at a time, until one comes to an end of its own, or nothing is left to save or to try.

    `argv` starts a worker; `groups` are the control groups of memory that it lives in; a worker that does nothing for
    `still_seconds` is ended. `lock` is the open file that holds the run's lock; each worker gets it as standard input.
    """

    run: RunDir
    argv: Sequence[str] = ()
    groups: tuple[Cgroup, ...] = field(default_factory=own_groups)
    still_seconds: float = STILL_SECONDS
    lock: int = subprocess.DEVNULL

    def __post_init__(self) -> None:
        self.argv = self.argv or command("tunewright.engine.lean_start", str(self.run.path))
        self.ledger = EndingWriter(self.run)
        self.refusal: OSError | None = None  # by the disk, when the last worker ended
        self.stops = 0
        self.known_events = self.known_log = self.tries = 0
        self.furthest = self._furthest()
        self.workers: WorkerGroup | None = None
        self.known_words: dict[int, int] = {}

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first request passes on to the worker, which saves; the second ends it."""
        self._ask(self.stops + 1)

    def _ask(self, stops: int) -> None:
        self.stops = stops
        if self.workers:
            self.workers.send_signal(signal.SIGTERM if self.stops < NOW else signal.SIGKILL)

    def _look_for_requests(self) -> None:
        """What faces ask for lies in the run's folder."""
        requested = NOW if self.run.is_asked_to_stop(now=True) else int(self.run.is_asked_to_stop())
        if requested > self.stops:
            self._ask(requested)

    def supervise(self) -> int:
        """See the run through, with one worker or several; write what became of it. The run's exit code."""
        for number in ASKED_TO_END:
            signal.signal(number, self.on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.ledger.update(started=time.time())
        begun = time.monotonic()
        while True:
            self._start()
            code = self._wait()
            assert self.workers
            is_ours = self.stops or self.workers.is_still or self.workers.hung
            short = None if is_ours else shortage(code, self._last_said(), self._last_words(), self.workers.pressure)
            self.refusal = atomic_io.refusal(self.run.path)
            self.ledger.reserve.give_back()  # what follows is written even on a full disk
            if not self._begins_anew(code, short):
                break
        end = self._end(code, short)
        self.run.forget_requests()
        self.ledger.close(ended=time.time(), seconds=time.monotonic() - begun, worker=None, **vars(end))
        try:
            write_report(self.run, diagnose(self.run).findings)
        except OSError as fault:
            self.run.log(f"the report was not written: {fault}; tunewright report makes it")
        return end.exit_code

    def _begins_anew(self, code: int, short: MemoryShortage | None) -> bool:
        """Whether another worker should continue; not where the disk refuses what has to be changed for that."""
        try:
            return save(self.run, short) if short else self._goes_on(code)
        except OSError as fault:
            if fault.errno not in atomic_io.REFUSALS:
                raise
            self.run.log(str(fault))
            return False

    def _start(self) -> None:
        """Start a worker on what the folder holds: at the last sealed checkpoint, if there is one."""
        self.run.sweep()
        self.known_events = len(self.run.read_events())
        parent = process_record(os.getpid())
        self.ledger.update(state="preparing", parent=parent, worker=None)  # in case this process is killed next
        with atomic_io.open_log(self.run.file(file_names.LOG)) as log:
            self.known_log = log.tell()
            self.known_words = {
                rank: len(read_events(path))
                for rank in range(1, self.run.plan().run.launch.world)
                if (path := rank_files.events_path(self.run.path, rank)).is_file()
            }
            self.workers = worker_group.start(self.run, self.argv, self.lock, log, self.groups, self.still_seconds)
        if self.stops:
            self._ask(self.stops)
        self.ledger.update(worker=process_record(self.workers.processes[0].pid))

    def _wait(self) -> int:
        """Wait for the session's end; the state follows its events, memory and progress are watched."""
        assert self.workers
        state = "preparing"
        tail = self.run.tail()
        tail.read()
        last_check = time.monotonic()
        while True:
            code = self.workers.poll()
            self._look_for_requests()  # after the poll: a worker that obeyed one was not killed by somebody
            events = tail.read()
            if events:
                self.workers.heard()
            if self.stops:
                new_state = "stopping"
            elif any(isinstance(event, PhaseBeginEvent) and event.phase == "load" for event in events):
                new_state = "running"
            else:
                new_state = state
            if new_state != state and code is None:
                state = new_state
                self.ledger.update(state=state)
            if code is not None:
                return int(code)
            if time.monotonic() - last_check >= LOOK_SECONDS:
                last_check = time.monotonic()
                self.ledger.flush()
                self.workers.look()
            time.sleep(POLL_SECONDS)

    def _events(self) -> list[Event]:
        """What the last worker wrote."""
        return self.run.read_events()[self.known_events :]

    def _last_said(self) -> list[Event]:
        """What the process wrote whose end tells what became of the session."""
        if self.workers is None or self.workers.rank == rank_files.FIRST:
            return self._events()
        path = rank_files.events_path(self.run.path, self.workers.rank)
        others = read_events(path) if path.is_file() else []
        return others[self.known_words.get(self.workers.rank, 0) :]

    def _last_words(self) -> str:
        """The end of what the last worker, and the libraries in it, wrote into the log."""
        with self.run.file(file_names.LOG).open("rb") as log:
            log.seek(max(self.known_log, log.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
            return log.read().decode("utf-8", errors="replace")

    def _goes_on(self, code: int) -> bool:
        """Whether another worker should continue after an end that has nothing to do with memory."""
        events = self._last_said()
        last = events[-1] if events else None
        return not self.stops and (load_rows_itself(self.run, last) or self._tries_again(code, last))

    def _tries_again(self, code: int, last: Event | None) -> bool:
        """Whether another worker should continue where this one died by an unrequested signal; raised as an alert."""
        if (
            (code >= 0 and code != rank_files.PEER_LOST)
            or -code in ASKED_TO_END
            or isinstance(last, DoneEvent | FailedEvent)
        ):
            return False
        furthest = self._furthest()
        self.tries = 1 if furthest > self.furthest else self.tries + 1
        self.furthest = furthest
        if self.tries > MOST_TRIES:
            return False
        step = last.step if last else 0
        values = {"step": step, "how": self._how(code), "start": last_sealed(self.run)}
        problem = Problem("W503", values={**values, "count": self.tries, "most": MOST_TRIES})
        tell(self.run, problem, step)
        return True

    def _furthest(self) -> int:
        """The last step that any worker of this run has reached."""
        return max((event.step for event in self.run.each_event()), default=0)

    def _end(self, code: int, short: MemoryShortage | None) -> RunEnd:
        """State, exit code, result and problems of a run whose last worker has ended."""
        events = self._last_said()
        last = events[-1] if events else None
        step = last.step if last else 0
        if isinstance(last, DoneEvent):
            return RunEnd("finished", 0, result=last.result)
        if code == 0 and self.workers and self.workers.first != rank_files.FIRST:
            return RunEnd("finished", 0)  # the result is on the first machine
        if short:
            return self._failed(nothing_left(self.run, short), short.step)
        if isinstance(last, FailedEvent) and last.was_stopped:
            return RunEnd("stopped", last.exit_code, last.problems)
        if isinstance(last, FailedEvent) and self.workers and self.workers.rank != rank_files.FIRST:
            return self._failed(last.problems, step)
        if isinstance(last, FailedEvent):
            return RunEnd("failed", last.exit_code, last.problems)
        if code < 0 and (self.stops or -code in ASKED_TO_END):
            problem = Problem("E509", values={"step": step, "name": self.run.name})
            return RunEnd("stopped", problem.entry.exit_code, [problem])
        return self._failed([self._refused(step) if self._is_refused(code) else self._cause(code)], step)

    def _is_refused(self, code: int) -> bool:
        """Whether a worker that could not say so ended because the disk refused its files; its exit code is that of E510."""
        return code == EXIT_MEMORY and (self._unsaved() is not None or self.refusal is not None)

    def _unsaved(self) -> str | None:
        """Why the last checkpoint was not saved, as far as the events tell."""
        alerts = [event.problem for event in self._events() if isinstance(event, AlertEvent)]
        return next((str(alert.values["reason"]) for alert in reversed(alerts) if alert.code == "W502"), None)

    def _refused(self, step: int) -> Problem:
        reason = self._unsaved() or (self.refusal.strerror if self.refusal else os.strerror(errno.ENOSPC))
        values = {"what": N_("what the run produced"), "reason": reason, "step": step}
        return Problem("E510", values={**values, "path": str(self.run.path), "name": self.run.name})

    def _failed(self, problems: Sequence[Problem], step: int) -> RunEnd:
        """The end of a run whose worker could not report why it ended; the parent reports it."""
        code = problems[0].entry.exit_code
        events = self.run.events
        events.step = step
        events.write("failed", problems=list(problems), exit_code=code)
        last_words(events, self.ledger.reserve)
        for problem in problems:
            self.run.log(f"{problem.code} {problem.message()}")
        return RunEnd("failed", code, list(problems))

    def _how(self, code: int) -> str:
        assert self.workers
        if self.workers.hung:
            return self.workers.hung.how(self.workers.world)
        if self.workers.is_still:
            return N_("signal 9 from its parent, as it computed and wrote nothing for ten minutes")
        if self.workers.world > 1:
            return self.workers.how(code)
        if code == -signal.SIGKILL:
            return N_("signal 9 from another process; memory was not short")
        if code < 0:
            return Phrase(N_("signal {number}"), number=-code)
        return Phrase(N_("exit code {number}"), number=code)

    def _cause(self, code: int) -> Problem:
        values = {"how": self._how(code), "log": str(self.run.file(file_names.LOG)), "name": self.run.name}
        return Problem("E506", values=values)


def main() -> None:
    """Entry of the process: own the run, as long as it lives, and see it through."""
    keep_talking()
    run = RunDir(Path(sys.argv[1]))
    descriptor = run_lock.own(run.path)
    if descriptor is None:
        sys.exit(owned(run).exit_code)
    run.update_info(parent=process_record(os.getpid()))  # it may wait for its device for hours
    with registered(run), occupied(run.is_asked_to_stop):
        sys.exit(Supervisor(run, lock=descriptor).supervise())


if __name__ == "__main__":
    main()
