"""A run that was killed, wherever that was, comes to the bits of the run that nobody disturbed."""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import STEPS, Toys
from tests.faults.fingerprint import fingerprint
from tunewright.rundir.run_dir import RunDir

KILLED = -9
MOMENTS = [("applied", 6), ("step_end", 8), ("evaluate", 8), ("save", 16), ("evaluate", STEPS), ("train_end", STEPS)]
MORE_MOMENTS = ("step_begin", "gradients", "applied", "step_end", "log", "evaluate", "save")
# Of the changes that a run makes in its folder, the last are the adapter's and those of the end.
FILES, LAST_FILES = 3, 2


def changes(toys: Toys) -> int:
    """Files made, renamed and removed by a run that nobody disturbs."""
    return int(Path(f"{toys.finished().path}.changes").read_text())


def assert_ends_as_unbroken(toys: Toys, run: RunDir) -> None:
    assert toys.work(run) == 0, run.file("log.txt").read_text()[-3000:]
    assert fingerprint(run) == toys.unbroken()


@pytest.mark.parametrize(("moment", "step"), MOMENTS, ids=lambda value: str(value).replace("_", " "))
def test_killed_at_a_moment_of_a_step(moment: str, step: int, toys: Toys, tmp_path: Path) -> None:
    run = toys.new(tmp_path / "run")
    assert toys.work(run, at=moment, step=step, do="kill") == KILLED
    assert_ends_as_unbroken(toys, run)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MORE_MOMENTS)
def test_killed_at_every_step(moment: str, toys: Toys, tmp_path: Path) -> None:
    """Each run is killed at every second of its steps, one after the other, and ends as if nothing had been."""
    run = toys.new(tmp_path / "run")
    first, apart = (4, 4) if moment in ("evaluate", "save") else (1, 2)
    for step in range(first, STEPS, apart):
        assert toys.work(run, at=moment, step=step, do="kill") == KILLED, f"step {step}"
    assert_ends_as_unbroken(toys, run)


def killed_at_changes(toys: Toys, folder: Path, chosen: list[int]) -> None:
    for number in chosen:
        run = toys.new(folder / f"run-{number}")
        assert toys.work(run, file=number) == KILLED, f"change {number}"
        assert_ends_as_unbroken(toys, run)


def test_killed_between_two_changes_of_files(toys: Toys, tmp_path: Path) -> None:
    total = changes(toys)
    drawn = random.Random(6).sample(range(1, total - LAST_FILES), FILES)
    killed_at_changes(toys, tmp_path, sorted(drawn) + random.Random(7).sample(range(total - 40, total + 1), LAST_FILES))


@pytest.mark.slow
def test_killed_at_hundred_changes_of_files(toys: Toys, tmp_path: Path) -> None:
    killed_at_changes(toys, tmp_path, random.Random(8).sample(range(1, changes(toys) + 1), 100))


def kill_at_random(toys: Toys, folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Real signals from outside until so many workers died of them; each run is then seen to its end. Kills by phase."""
    chance, phases = random.Random(seed), dict[str, int]()
    number = longest = 0
    while sum(phases.values()) < kills:
        number += 1
        run = toys.new(folder / f"run-{number}")
        for _ in range(chance.randint(1, 4)):
            started, worker = time.monotonic(), toys.begin(run)
            time.sleep(chance.uniform(0, longest or 1))
            worker.kill()
            if worker.wait() != KILLED:
                longest = max(longest, time.monotonic() - started)
                break
            begun: list[Any] = [event for event in run.read_events() if event.kind == "phase"]
            phase = begun[-1].phase if begun else "start"
            phases[phase] = phases.get(phase, 0) + 1
        if not (run.read_events() and run.read_events()[-1].kind == "done"):
            assert_ends_as_unbroken(toys, run)
        assert fingerprint(run) == toys.unbroken()
    return phases


def test_five_real_kills_at_random(toys: Toys, tmp_path: Path) -> None:
    """Five more are in test_supervised.py, where the parent goes on."""
    print("killed in", kill_at_random(toys, tmp_path, 5, seed=int(time.time())))


@pytest.mark.slow
def test_two_hundred_real_kills_at_random(toys: Toys, tmp_path: Path) -> None:
    print("killed in", kill_at_random(toys, tmp_path, 200, seed=int(time.time())))
