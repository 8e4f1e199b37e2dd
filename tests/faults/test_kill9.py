"""The real command and real processes, killed by a real `kill -9` at a random moment."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.conftest import BASE, Toys
from tests.faults.fingerprint import Fingerprint, fingerprint
from tests.faults.test_supervised import wait_for
from tunewright.rundir import run_dir
from tunewright.rundir.run_dir import RunDir

pytestmark = pytest.mark.slow
LONGEST_SECONDS = 900


class Command:
    """`tunewright` with the tiny model's rows and settings, on one thread, in a folder of its own."""

    def __init__(self, toys: Toys, folder: Path) -> None:
        self.toys, self.folder = toys, folder
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-m", "tunewright", *arguments]
        return subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL)

    def train(self, name: str) -> tuple[RunDir, "subprocess.Popen[bytes]"]:
        files = {"data.holdout": self.toys.folder / "held_out.jsonl"}
        settings = [word for key, value in {**BASE, **files}.items() for word in ("--set", f"{key}={value}")]
        data = str(self.toys.folder / "train.jsonl")
        face = self.start("train", str(self.toys.folder / "model"), data, *settings, "-o", name, "-q")
        run = RunDir(self.folder / name)
        wait_for(lambda: run.file("run.json").is_file() and bool(run.info().worker))
        return run, face

    def unbroken(self) -> Fingerprint:
        """Of one run that nobody disturbs, in processes of their own as well: made once."""
        unbroken = self.toys.folder / "by-command" / "whole"
        if not unbroken.exists():
            unbroken.parent.mkdir()
            run, face = Command(self.toys, unbroken.parent).train("whole")
            assert face.wait() == 0, run.info()
        return fingerprint(RunDir(unbroken))


@pytest.fixture
def command(toys: Toys, tmp_path: Path) -> Command:
    return Command(toys, tmp_path)


def lifetime(run: RunDir) -> float:
    """Seconds that an undisturbed worker lives."""
    info: Any = run.info()
    return float(info.ended - info.started)


def kill(run: RunDir, who: Sequence[str]) -> None:
    for name in who:
        try:
            psutil.Process(getattr(run.info(), name).pid).send_signal(signal.SIGKILL)
        except (psutil.NoSuchProcess, AttributeError):
            print(f"{name} had ended")


@pytest.mark.parametrize("seed", range(10))
def test_a_killed_worker_is_followed_by_another(seed: int, command: Command) -> None:
    expected = command.unbroken()
    run, face = command.train("run")
    time.sleep(random.Random(seed).uniform(0, lifetime(RunDir(command.toys.folder / "by-command" / "whole"))))
    kill(run, ["worker"])
    assert face.wait(LONGEST_SECONDS) == 0, run.info()
    assert fingerprint(run) == expected


@pytest.mark.parametrize("seed", range(10))
def test_worker_and_parent_killed_and_the_run_resumed(seed: int, command: Command) -> None:
    expected = command.unbroken()
    run, face = command.train("run")
    time.sleep(random.Random(seed).uniform(0, lifetime(RunDir(command.toys.folder / "by-command" / "whole"))))
    kill(run, ["parent", "worker"])
    face.wait(LONGEST_SECONDS)
    wait_for(lambda: run.state() not in run_dir.LIVE)
    if run.state() == "lost":
        assert command.start("runs", "resume", str(run.path), "-q").wait(LONGEST_SECONDS) == 0, run.info()
    assert run.state() == "finished"
    assert fingerprint(run) == expected
