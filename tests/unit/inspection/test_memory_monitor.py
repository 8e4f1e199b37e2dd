"""Memory as the kernel counts it, from files of control groups written by hand."""

import os
from pathlib import Path

import psutil
import pytest

from tunewright.inspection import memory_monitor
from tunewright.inspection.memory_monitor import COUNTED, FULL, Cgroup, MemoryMonitor, own_groups

GIB = 2**30


def group(folder: Path, *, limit: int = 2 * GIB, used: int = GIB, cache: int = 0, kills: int = 0) -> Cgroup:
    """A group of cgroup version 2."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 7\ninactive_file {cache}\nactive_file 0\n")
    (folder / "memory.events").write_text(f"low 0\nhigh 0\nmax 3\noom 1\noom_kill {kills}\noom_group_kill 0\n")
    return Cgroup(folder)


def test_version_2_is_read(tmp_path: Path) -> None:
    read = group(tmp_path, used=GIB, cache=GIB // 4, kills=5)
    assert (read.limit_bytes(), read.left_bytes(), read.kills()) == (2 * GIB, GIB + GIB // 4, 5)


def test_version_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "memory.limit_in_bytes").write_text(f"{4 * GIB}\n")
    (tmp_path / "memory.usage_in_bytes").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {GIB // 2}\ntotal_active_file 0\n")
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    read = Cgroup(tmp_path)
    assert (read.limit_bytes(), read.left_bytes(), read.kills()) == (4 * GIB, GIB + GIB // 2, 2)


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_no_limit_is_none(tmp_path: Path, limit: str) -> None:
    (tmp_path / ("memory.max" if limit == "max" else "memory.limit_in_bytes")).write_text(limit)
    assert Cgroup(tmp_path).limit_bytes() is None
    assert Cgroup(tmp_path).left_bytes() is None
    assert Cgroup(tmp_path).kills() is None


def test_the_own_group_comes_first_and_those_around_it_follow(tmp_path: Path) -> None:
    mount, listed = tmp_path / "fs", tmp_path / "cgroup"
    group(mount / "user.slice" / "run.scope")
    group(mount / "user.slice")
    listed.write_text("1:cpu:/\n0::/user.slice/run.scope\n")
    assert [cgroup.folder.name for cgroup in own_groups(listed, mount)] == ["run.scope", "user.slice"]


def test_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    mount, listed = tmp_path / "fs", tmp_path / "cgroup"
    group(mount / "memory")
    listed.write_text("4:cpu,memory:/docker/0123\n")
    assert [cgroup.folder for cgroup in own_groups(listed, mount)] == [mount / "memory"]
    assert own_groups(tmp_path / "nothing", mount) == ()


def test_a_kill_that_the_kernel_counted_is_evidence(tmp_path: Path) -> None:
    watched = MemoryMonitor(os.getpid(), (group(tmp_path, kills=5),))
    watched.look()
    assert watched.evidence() is None
    group(tmp_path, kills=6)
    assert watched.evidence() == COUNTED


def test_an_older_kill_is_no_evidence(tmp_path: Path) -> None:
    watched = MemoryMonitor(os.getpid(), (group(tmp_path, kills=0),))
    group(tmp_path, kills=1)
    for _ in range(memory_monitor.LOOKS_KEPT):
        watched.look()
    assert watched.evidence() is None


def test_a_full_group_is_evidence_and_one_full_of_file_cache_is_not(tmp_path: Path) -> None:
    full = MemoryMonitor(os.getpid(), (group(tmp_path / "full", used=2 * GIB - 1),))
    assert full.evidence() == FULL
    assert full.total_bytes == 2 * GIB
    cached = MemoryMonitor(os.getpid(), (group(tmp_path / "cached", used=2 * GIB - 1, cache=GIB),))
    assert cached.evidence() is None


def test_the_most_that_was_held_is_kept_and_a_dead_process_holds_nothing() -> None:
    watched = MemoryMonitor(os.getpid(), ())
    assert watched.peak_bytes > 2**20
    assert watched.total_bytes == psutil.virtual_memory().total
    watched.pid = 2**22 + 1  # above the largest number of a process
    watched.look()
    assert watched.looks[-1].held_bytes == 0
    assert watched.peak_bytes > 2**20
