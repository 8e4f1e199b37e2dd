"""Which of several processes is taken for hung: one that others wait for in vain, and not while the machine sleeps."""

import os
from pathlib import Path

import pytest

from tunewright.launch import worker_group
from tunewright.launch.worker_group import USUAL_STEPS, WorkerGroup
from tunewright.rundir.rank_files import RankState
from tunewright.rundir.run_dir import RunDir

PATIENCE = 60.0


class Clock:
    """Stands in for the module `time`: it goes on when it is told to."""

    now = 1e9

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(worker_group, "time", clock)
    return clock


@pytest.fixture
def group(tmp_path: Path) -> WorkerGroup:
    return WorkerGroup(RunDir(tmp_path), [], [], [], PATIENCE, world=2)


def state(rank: int, since: float, step: int = 3, call: str = "") -> RankState:
    return RankState(rank=rank, pid=os.getpid(), host="a", phase="train", step=step, call=call, since=since)


def is_hung(group: WorkerGroup, clock: Clock, states: dict[int, RankState], seconds: float) -> bool:
    """What the last look says, of one every ten seconds."""
    end, found = clock.now + seconds, None
    while clock.now < end:
        clock.now += 10
        found = group._hung(states)
    return found is not None


def test_a_process_is_hung_after_the_patience_of_who_waits_and_a_sleep_of_the_machine_is_none_of_it(
    group: WorkerGroup, clock: Clock
) -> None:
    states = {0: state(0, clock.now), 1: state(1, clock.now, call="all_gather")}
    assert not is_hung(group, clock, states, PATIENCE)
    clock.now += 3600
    assert not is_hung(group, clock, states, PATIENCE)
    assert is_hung(group, clock, states, 20)


def test_of_the_steps_the_last_ones_are_kept(group: WorkerGroup, clock: Clock) -> None:
    for step in range(1, 3 * USUAL_STEPS):
        clock.now += 1
        group._hung({0: state(0, clock.now, step)})
    assert len(group._step_seconds[0]) == USUAL_STEPS
