"""Faults by the kernel itself: a kill and an error inside a system call, a full file system, a limit on a file's size.

Where a tool is missing or forbidden, as in many containers, the same fault is made inside the process; which one ran is
printed.
"""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.saving import KEEP, RUN
from tests.unit.rundir.disk import Disk, on
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import CheckpointStore

ROOT = Path(__file__).parents[2]
BYTES = 300_000
SECONDS = 60
CALLS = "?rename,?renameat,?renameat2,fsync"  # the first is not there on every machine


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # which would rename files too
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS)


def saving(folder: Path, first: int, last: int) -> list[str]:
    return [sys.executable, "-m", "tests.faults.saving", str(folder), str(first), str(last), str(BYTES)]


def can(*command: str) -> bool:
    return shutil.which(command[0]) is not None and run(command).returncode == 0


def tell(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(f"\n{text}")


def steps(folder: Path) -> list[int]:
    return [step for step, _path in CheckpointStore(folder, RUN).own()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's checkpoints of steps 1 and 2."""
    store = CheckpointStore(tmp_path / "checkpoints", RUN)
    for step in (1, 2):
        store.save(step, lambda content: (content / "trainer_state.json").write_text("{}") and None, {}, keep=KEEP)
    return store.folder


@pytest.mark.parametrize("fault", ["signal=KILL", "error=EIO"])
def test_a_save_is_whole_or_not_there_after_a_fault_in_any_system_call(
    fault: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    is_real, cases = can("strace", "-f", "-e", "trace=fsync", "true"), 0
    for call in ("fsync", "rename"):
        for place in range(1, 100):
            now = folder.parent / "now"
            shutil.rmtree(now, ignore_errors=True)
            shutil.copytree(folder, now)
            has_struck = _by_strace(now, call, fault, place) if is_real else _inside(now, call, fault, place)
            path, faults = CheckpointStore(now, RUN).newest_valid()
            assert path in (now / "checkpoint-2", now / "checkpoint-3")
            assert not faults
            assert {1, 2} <= set(steps(now))
            if not has_struck:
                assert steps(now) == [1, 2, 3]
                break
            cases += 1
    assert cases >= 6
    tell(capsys, f"{fault} in {cases} calls of fsync and rename, {'by strace' if is_real else 'inside the process'}")


def _by_strace(folder: Path, call: str, fault: str, place: int) -> bool:
    calls = "fsync" if call == "fsync" else CALLS.removesuffix(",fsync")
    log = folder.parent / "strace.txt"
    strace = ["strace", "-f", "-o", str(log), "-e", f"trace={CALLS}", "-e", f"inject={calls}:{fault}:when={place}"]
    ended = run([*strace, *saving(folder, 3, 3)])
    text = log.read_text()
    has_struck = "(INJECTED)" in text or "killed by SIGKILL" in text
    assert has_struck or ended.stdout == "saved 3\n", ended.stderr
    return has_struck


def _inside(folder: Path, call: str, fault: str, place: int) -> bool:
    refused_call = atomic_io._fsync if call == "fsync" else atomic_io._rename
    disk, num_calls = Disk(), 0
    plain = disk.perform

    def perform(operation: object, *arguments: object) -> None:
        nonlocal num_calls
        num_calls += operation is refused_call
        if operation is refused_call and num_calls == place:
            disk.at, disk.how = disk.count, "exit" if "KILL" in fault else errno.EIO
        plain(operation, *arguments)  # type: ignore[arg-type]

    disk.perform = perform  # type: ignore[method-assign]
    store = CheckpointStore(folder, RUN)
    on(disk, lambda: store.save(3, lambda content: (content / "x").write_text("x") and None, {}, keep=KEEP))
    return disk.has_struck


def test_a_full_file_system_costs_old_checkpoints_but_never_the_newest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Room for three checkpoints where four are kept: each save removes the oldest, and succeeds."""
    disk, manifests = tmp_path / "disk", "checkpoints/checkpoint-*/manifest.json"
    disk.mkdir()
    if not can("unshare", "-rm", "true"):
        _full_inside(tmp_path)
        tell(capsys, "a full disk, inside the process")
        return
    script = 'mount -t tmpfs -o size=1000k tmpfs "$0" && "$@"; cd "$0" && ls ' + manifests
    ended = run(["unshare", "-rm", "sh", "-c", script, str(disk), *saving(disk / "checkpoints", 1, 7)])
    lines = ended.stdout.splitlines()
    assert lines[:7] == [f"saved {step}" for step in range(1, 8)], ended.stdout + ended.stderr
    assert lines[7:] == [manifests.replace("*", str(step)) for step in (5, 6, 7)]
    tell(capsys, "a full disk, a file system of 1000 kB in a name space of its own")


def _full_inside(folder: Path) -> None:
    store = CheckpointStore(folder / "checkpoints", RUN)
    for step in range(1, 8):
        disk = Disk(8 if step > 3 else -1, errno.ENOSPC)
        assert on(disk, lambda step=step: store.save(step, lambda content: None, {}, keep=KEEP)) is None, step
    assert steps(store.folder) == [5, 6, 7]


def test_a_file_system_without_room_for_a_third_keeps_two_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not can("unshare", "-rm", "true"):
        store = CheckpointStore(disk, RUN)
        for step in (1, 2, 3):
            disk_now = Disk(2 if step == 3 else -1, errno.ENOSPC, is_lasting=True)
            ended = on(disk_now, lambda step=step: store.save(step, lambda content: None, {}, keep=KEEP))
        assert isinstance(ended, OSError)
        assert steps(disk) == [1, 2]
        tell(capsys, "a disk without room, inside the process")
        return
    script = 'mount -t tmpfs -o size=700k tmpfs "$0" && "$@"; cd "$0" && ls -A checkpoints'
    ended_run = run(["unshare", "-rm", "sh", "-c", script, str(disk), *saving(disk / "checkpoints", 1, 4)])
    assert ended_run.stdout.split("\n")[:4] == [
        "saved 1", "saved 2", f"unsaved 3 {errno.ENOSPC}", f"unsaved 4 {errno.ENOSPC}",
    ], ended_run.stdout + ended_run.stderr  # fmt: skip
    assert ended_run.stdout.split("\n")[4:] == ["checkpoint-1", "checkpoint-2", ""]
    tell(capsys, "a disk without room, a file system of 700 kB in a name space of its own")


def test_a_limit_on_the_size_of_files_leaves_no_half_checkpoint(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if can("prlimit", "--fsize=100000", "true"):
        ended = run(["prlimit", f"--fsize={BYTES // 3}", *saving(folder, 3, 3)])
        assert ended.stdout == f"unsaved 3 {errno.EFBIG}\n", ended.stderr
        tell(capsys, "a limit on the size of files, by prlimit")
    else:
        store = CheckpointStore(folder, RUN)
        ended_here = on(Disk(2, errno.EFBIG, is_lasting=True), lambda: store.save(3, lambda content: None, {}, keep=2))
        assert isinstance(ended_here, OSError)
        tell(capsys, "a limit on the size of files, inside the process")
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-1", "checkpoint-2"]
