"""Parent, worker or both killed at random moments, while somebody behind a moved clock and in another pid namespace tries to
take the run: nothing is lost, no run ever has two workers, and every run ends as the one that nobody disturbed.

TUNEWRIGHT_TEST_KILLS and TUNEWRIGHT_TEST_SEED set the number and the draw of the slow one.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import CLIENT, ROOT, Toys
from tests.faults.elsewhere import elsewhere
from tests.faults.fingerprint import fingerprint
from tests.faults.test_supervised import wait_for, worker_pid
from tunewright.engine.training.callbacks import StopFlag
from tunewright.launch import start_run
from tunewright.rundir import run_dir, run_lock
from tunewright.rundir.run_dir import RunDir

KINDS = ("parent", "worker", "both")
MOST_KILLS_OF_A_RUN = 4
LONGEST_SECONDS = 3.0  # about what a run takes from the start of its parent
FEW, MANY = 8, 200
SEED = 17
PROGRAMS = ("tests.faults.parent", "tests.faults.server", str(CLIENT))
AT_REST = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
Ask = Callable[[RunDir], dict[str, str]]


@pytest.fixture(scope="module")
def intruder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    command = [*elsewhere(tmp_path_factory.mktemp("elsewhere")), sys.executable, "-m", "tests.faults.intruder"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        reader, writer = process.stdout, process.stdin

        def ask(run: RunDir) -> dict[str, str]:
            writer.write(f"{run.path}\n")
            writer.flush()
            return dict(json.loads(reader.readline()))

        yield ask
        writer.close()


def status(process: psutil.Process) -> str:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_DEAD


def client_pid(run: RunDir) -> int:
    path = Path(f"{run.path}.client")
    return int(path.read_text() or 0) if path.is_file() else 0


@dataclass
class Victim:
    """A run whose processes are killed; `counts` says which, and in what state of the run."""

    toys: Toys
    run: RunDir
    intrude: Ask
    counts: Counter[str] = field(default_factory=Counter)
    parent: "subprocess.Popen[bytes] | None" = None

    def go_on(self) -> None:
        """Start a parent, which gets the lock, if nobody owns the run and it has not finished."""
        if run_lock.is_held(self.run.path) or self.run.state() == "finished":
            return
        with run_dir.owning(self.run) as descriptor:
            if self.run.left_as() != "queued":
                start_run.requeue(self.run, {})
            argv = [sys.executable, "-m", "tests.faults.parent", str(self.run.path), *self.toys.argv(self.run)]
            self.parent = subprocess.Popen(argv, cwd=ROOT, stdin=descriptor)

    def processes(self) -> dict[str, psutil.Process]:
        """Those of the run that live, each of which holds its lock: parent, worker, and the client between the two."""
        pids = {"worker": worker_pid(self.run), "client": client_pid(self.run)}
        if self.parent and self.parent.poll() is None:
            pids["parent"] = self.parent.pid
        living = {}
        for name, pid in pids.items():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid or os.getpid())
                if any(
                    program in word for program in PROGRAMS for word in process.cmdline()
                ):  # no later one of that number
                    living[name] = process
        return living

    def stand_still(self) -> dict[str, psutil.Process]:
        """Stop all of them; those that stand, and so own the run until they are killed or go on."""
        living = self.processes()
        for process in living.values():
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        wait_for(lambda: all(status(process) in AT_REST for process in living.values()))
        return {name: process for name, process in living.items() if status(process) == psutil.STATUS_STOPPED}

    def kill(self, kind: str) -> None:
        """Stand the run's processes still, be refused its run, kill some of them, be refused again by those that are left."""
        standing = self.stand_still()
        if standing:
            self.be_refused()
        hit = [standing.pop(name) for name in ("parent", "worker") if kind in (name, "both") and name in standing]
        for process in hit:
            process.kill()
        if hit:
            self.counts[f"{kind}, {self.run.info().state}"] += 1
        if self.parent and kind != "worker":
            self.parent.wait()
        if standing:
            self.be_refused()
        for process in standing.values():
            process.resume()

    def be_refused(self) -> None:
        answers = self.intrude(self.run)
        assert (answers["rm"], answers["own"]) == ("E505", "E505"), answers
        assert answers["resume"] == ("E116" if answers["state"] == "finished" else "E505"), answers
        assert answers["state"] != "lost", answers

    def end(self) -> None:
        """See the run through, and compare it with the one that nobody disturbed."""
        while self.run.state() != "finished":
            self.go_on()
            wait_for(lambda: not run_lock.is_held(self.run.path))
        wait_for(lambda: not run_lock.is_held(self.run.path))
        if self.parent:
            self.parent.wait()
        events = self.run.read_events()
        assert [event.seq for event in events] == list(range(len(events)))
        assert sum(event.kind == "done" for event in events) == 1
        assert not Path(f"{self.run.path}.two").exists(), "two workers in one run"
        assert fingerprint(self.run) == self.toys.unbroken()


def kill_owners(toys: Toys, folder: Path, intruder: Ask, kills: int, seed: int) -> Counter[str]:
    """Real signals until so many of them hit a process; each run is then seen to its end. Returns: kills by kind and state."""
    chance, counts, number = random.Random(seed), Counter[str](), 0
    while sum(counts.values()) < kills:
        number += 1
        victim = Victim(toys, toys.new(folder / f"run-{number}"), intruder, counts)
        for _ in range(chance.randint(1, MOST_KILLS_OF_A_RUN)):
            victim.go_on()
            time.sleep(chance.uniform(0, LONGEST_SECONDS))
            victim.kill(chance.choice(KINDS))
        victim.end()
    return counts


def test_a_few_kills_of_parent_worker_and_both(toys: Toys, tmp_path: Path, intruder: Ask) -> None:
    print("killed", kill_owners(toys, tmp_path, intruder, FEW, SEED))


@pytest.mark.slow
def test_two_hundred_kills_of_parent_worker_and_both(toys: Toys, tmp_path: Path, intruder: Ask) -> None:
    kills, seed = (
        int(os.environ.get(f"TUNEWRIGHT_TEST_{name}", value)) for name, value in (("KILLS", MANY), ("SEED", SEED))
    )
    print("seed", seed, "killed", kill_owners(toys, tmp_path, intruder, kills, seed))


def test_a_worker_that_run_json_never_named_owns_its_run(toys: Toys, tmp_path: Path, intruder: Ask) -> None:
    """The parent was killed between starting it and writing it down, more than half a minute ago."""
    victim = Victim(toys, toys.new(tmp_path / "run"), intruder)
    victim.go_on()
    wait_for(lambda: any(event.kind == "log" for event in victim.run.read_events()))
    victim.kill("parent")
    victim.run.update_info(state="queued", queued=time.time() - 40, parent=None, worker=None)
    standing = victim.stand_still()
    assert "worker" in standing
    victim.be_refused()
    for process in standing.values():
        process.resume()
    victim.end()


@pytest.mark.parametrize("now", [False, True])
def test_a_worker_without_parent_is_stopped_by_request(toys: Toys, tmp_path: Path, intruder: Ask, now: bool) -> None:
    victim = Victim(toys, toys.new(tmp_path / "run"), intruder)
    victim.go_on()
    wait_for(lambda: any(event.kind == "log" for event in victim.run.read_events()))
    victim.kill("parent")
    assert start_run.stop(victim.run, now=now)
    start_run.wait_for_stop(victim.run)
    wait_for(lambda: not run_lock.is_held(victim.run.path))
    assert victim.run.state() == "stopped"
    assert not start_run.stop(victim.run)
    victim.end()


def test_a_worker_listens_until_it_is_over(tmp_path: Path) -> None:
    run, stop, ended = run_dir.create(tmp_path / "run", "run"), StopFlag(), threading.Event()
    stop.listen(run, at_once=ended.set)
    run.request(now=False)
    wait_for(lambda: stop.signal == signal.SIGTERM)
    assert not ended.is_set()
    run.request(now=True)
    assert ended.wait(LONGEST_SECONDS * 10)
    second, over = StopFlag(), threading.Event()
    second.is_over.set()
    second.listen(run, at_once=over.set)
    assert not over.wait(1) and not second.signal
