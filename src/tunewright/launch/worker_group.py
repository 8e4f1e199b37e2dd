"""The processes of one session of a run: one worker, or one for each rank, started, watched and ended together.

What torchrun does on a machine is done by the run's parent, which is there anyway, starts workers anew and must know by which
signal each of them died; torchrun answers 1 for all of that (docs/decisions/0014-ranks.md).
"""

import os
import signal
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any, BinaryIO

import psutil

from tunewright.config.resolved_config import ResolvedLaunchConfig
from tunewright.i18n import N_, Phrase
from tunewright.inspection import machine_info
from tunewright.inspection.memory_monitor import Cgroup, MemoryMonitor
from tunewright.inspection.visible_device import visible_device
from tunewright.inspection.watchdog import PAUSE_SECONDS, PAUSED, Watchdog
from tunewright.launch.worker_environment import worker_environment
from tunewright.rundir import atomic_io, rank_files
from tunewright.rundir.rank_files import FIRST, PEER_LOST, RankState
from tunewright.rundir.run_dir import RunDir
from tunewright.security import spawn

# After the first of several has ended: the others find that they are alone, say so, and end.
GRACE_SECONDS = 5.0
# How many times as long as usual, the median of the last ones, a step may take before its process counts as hanging.
SLOW_STEPS, USUAL_STEPS = 10, 100
MEETING = "meeting"
# Who waits so many times as long as their parent lets them has no parent that looks, or waits for another machine.
CONNECTION_TIMES = 10
# While a process prepares rows or loads a model, the others wait as long as it takes; one that does nothing is found by Watchdog.
PATIENT_PHASES = ("start", "prepare", "load", "save")
WORDS_SECONDS = 0.5  # in which a process writes down where it is


@dataclass(frozen=True)
class Hung:
    """A process that others wait for in vain."""

    state: RankState
    waiting: RankState

    def how(self, world: int) -> Phrase:
        """In a phrase, for `how` of W503 and E506."""
        return Phrase(
            N_(
                "signal 9 from its parent, as process {rank} of {world} on {host} had been in {phase} at step {step} for "
                "{seconds} s while others waited for it in {call}"
            ),
            rank=self.state.rank, world=world, host=self.state.host, phase=self.state.phase, step=self.state.step,
            seconds=round(time.time() - self.state.since), call=self.waiting.call,
        )  # fmt: skip


@dataclass
class WorkerGroup:
    """The processes of one session on this machine, numbers from `first` on of `world`. `culprit` is the place of the one whose
    end tells what became of them all: the first, unless another one ended the session.
    """

    run: RunDir
    processes: list[Any]
    monitors: list[MemoryMonitor]
    watchdogs: list[Watchdog]
    patience: float
    world: int = 1
    first: int = FIRST
    culprit: int = 0
    hung: Hung | None = None
    is_still: bool = False
    _ended: float | None = None
    _codes: dict[int, int] = field(default_factory=dict)
    _step_seconds: dict[int, deque[float]] = field(default_factory=dict)
    _steps: dict[int, tuple[int, float]] = field(default_factory=dict)
    _looked: float = 0.0
    _awake_since: float = 0.0

    @property
    def rank(self) -> int:
        """The number of the process that ended the session, among those of all machines."""
        return self.first + self.culprit

    @property
    def pressure(self) -> MemoryMonitor:
        """What is known of the memory of the process that ended the session."""
        return self.monitors[self.culprit]

    def send_signal(self, number: int) -> None:
        """To those that live."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def heard(self) -> None:
        """The first process gave a sign of life."""
        self.watchdogs[0].heard()

    def poll(self) -> int | None:
        """The exit code of the session once all have ended: that of the culprit. The rest are killed soon after one has ended."""
        for rank, process in enumerate(self.processes):
            code = process.poll()
            if code is not None and rank not in self._codes:
                self._codes[rank] = int(code)
                if (code or rank == 0) and self._ended is None:
                    self._ended = time.monotonic()
        if len(self._codes) == len(self.processes):
            self.culprit = _culprit(self._codes)
            return self._codes[self.culprit]
        if self._ended is not None and time.monotonic() - self._ended >= GRACE_SECONDS:
            self.culprit = _culprit(self._codes)
            self._kill_rest()
            return self._codes[self.culprit]
        return None

    def _kill_rest(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait()

    def look(self) -> None:
        """Watch memory and progress; what hangs is asked where it is, and all are ended."""
        for monitor in self.monitors:
            monitor.look()
        states = self.states() if self.world > 1 else {}
        for rank, watchdog in enumerate(self.watchdogs):
            state = states.get(rank)
            if (state is None or not state.call) and watchdog.look():
                self.is_still = True
        self.hung = self._hung(states)
        if self.hung:
            for state in states.values():
                with suppress(ProcessLookupError):
                    os.kill(state.pid, signal.SIGUSR1)  # each writes where it is into the log
            time.sleep(WORDS_SECONDS)
        if self.is_still or self.hung:
            self.send_signal(signal.SIGKILL)

    def states(self) -> dict[int, RankState]:
        """Where each process of this session is."""
        states = {state.rank - self.first: state for state in rank_files.read_states(self.run.path)}
        return {place: state for place, state in states.items() if 0 <= place < len(self.processes)}

    def _hung(self, states: Mapping[int, RankState]) -> Hung | None:
        """A process that is where it was for longer than the others' patience, while one of them waits for it."""
        now = time.time()
        if now - self._looked > PAUSE_SECONDS:  # the machine slept: nothing went on, and the clock did
            self._awake_since = now
        self._looked = now
        waiting = [state for state in states.values() if state.call and not _is_paused(state.pid)]
        for rank, state in states.items():
            self._note_step(rank, state)
            limit = max(self.patience, SLOW_STEPS * median(self._step_seconds.get(rank) or [0.0]))
            is_late = not state.call and state.phase not in PATIENT_PHASES and self._seconds_in(state) > limit
            patient = [other for other in waiting if self._seconds_in(other) > limit]
            if is_late and patient:
                return Hung(state, patient[0])
        return None

    def _seconds_in(self, state: RankState) -> float:
        """How long a process has been where it was at the last look, without a pause of the whole machine."""
        return self._looked - max(state.since, self._awake_since)

    def _note_step(self, rank: int, state: RankState) -> None:
        step, since = self._steps.get(rank, (0, 0.0))
        if state.phase == "train" and state.step > step:
            if step and since:
                seconds = self._step_seconds.setdefault(rank, deque(maxlen=USUAL_STEPS))
                seconds.append((state.since - since) / (state.step - step))
            self._steps[rank] = (state.step, state.since)

    def how(self, code: int) -> Phrase:
        """How one of several processes ended, in a phrase."""
        values = {"rank": self.rank, "world": self.world, "host": socket.gethostname(), "number": abs(code)}
        if code == PEER_LOST:
            return Phrase(N_("the loss of the connection between its {world} processes"), **values)
        if code < 0:
            return Phrase(N_("signal {number} to process {rank} of {world} on {host}"), **values)
        return Phrase(N_("exit code {number} of process {rank} of {world} on {host}"), **values)


def _is_paused(pid: int) -> bool:
    """Whether somebody has suspended a process, so that it waits for nobody."""
    try:
        return psutil.Process(pid).status() in PAUSED
    except psutil.Error:
        return False


def _culprit(codes: Mapping[int, int]) -> int:
    """Whose end explains the others': one that a signal ended, else the first if it failed by itself, else another that did."""
    killed = [rank for rank, code in codes.items() if code < 0]
    if killed:
        return killed[0]
    failed = [rank for rank, code in sorted(codes.items()) if code not in (0, PEER_LOST)]
    return failed[0] if failed else 0


def start(
    run: RunDir, argv: Sequence[str], lock: int, log: BinaryIO, groups: tuple[Cgroup, ...], still_seconds: float
) -> WorkerGroup:
    """Start a session's processes, as many as the run's plan says."""
    options = run.plan().run
    launch = options.launch
    environments = _environments(run, launch, options.run.device_index)
    processes = [
        spawn(argv, stdin=lock, stdout=log, stderr=log, environment=environment) for environment in environments
    ]
    return WorkerGroup(
        run,
        processes,
        [MemoryMonitor(process.pid, groups) for process in processes],
        [Watchdog(process.pid, still_seconds) for process in processes],
        launch.timeout_seconds,
        launch.world,
        launch.node_rank * launch.processes,
    )


def _environments(run: RunDir, launch: ResolvedLaunchConfig, device_index: int) -> list[dict[str, str]]:
    """What each process is told: which it is, where it meets the others, which device and how many threads are its own."""
    shared = worker_environment()
    if launch.world == 1:
        return [shared | visible_device()]
    folder = rank_files.states_folder(run.path)
    atomic_io.make_folder(folder)
    for old in (*folder.glob(f"{MEETING}*"), *folder.glob("*.json")):
        atomic_io.drop(old)
    file = folder / f"{MEETING}-{os.getpid()}-{time.time_ns()}"
    place = launch.main if launch.nodes > 1 and launch.main else str(file.resolve())
    first = launch.node_rank * launch.processes
    shared |= meeting(launch.world, first, place, CONNECTION_TIMES * launch.timeout_seconds)
    if "OMP_NUM_THREADS" not in os.environ:
        shared["OMP_NUM_THREADS"] = str(max(1, machine_info.num_cpus() // launch.processes))
    return [
        shared
        | visible_device(device_index + place)
        | {
            rank_files.RANK: str(first + place),
            rank_files.LOCAL_RANK: str(place),
            rank_files.STATE: str(rank_files.state_path(run.path, first + place)),
        }
        for place in range(launch.processes)
    ]


def meeting(world: int, first: int, place: str, timeout_seconds: float) -> dict[str, str]:
    """What the processes of this machine, from `first` on of `world`, are told to meet the others at a file of this machine, or at
    HOST:PORT of the first one."""
    interface = _interface_of("127.0.0.1") if place.startswith("/") else _interface_to(place.partition(":")[0])
    return {
        rank_files.WORLD_SIZE: str(world),
        rank_files.FIRST_HERE: str(first),
        rank_files.PLACE: place,
        rank_files.TIMEOUT: str(timeout_seconds),
        rank_files.PARENT: str(os.getpid()),
        "GLOO_SOCKET_IFNAME": interface,
        "NCCL_SOCKET_IFNAME": interface,
    }


def _interface_to(host: str) -> str:
    """The name of the interface by which this machine reaches another one, or itself; no packet is sent to find it."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))
            return _interface_of(str(probe.getsockname()[0]))
    except OSError:  # the worker says that it cannot reach the first machine
        return _interface_of("127.0.0.1")


def _interface_of(address: str) -> str:
    """The name of the interface with an address. That of this machine alone is the only one where all processes are here."""
    names = (name for name, places in psutil.net_if_addrs().items() if any(p.address == address for p in places))
    return next(names, "lo")
