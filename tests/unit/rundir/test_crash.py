"""A crash, an error and a power cut at every operation of a save, a rotation, a resume and a publishing.

After each: exactly the old or the new state is readable, what was sealed is still there unless rotation may remove it,
foreign folders are untouched, and the same act done again comes to its end. A case ends with the first operation that no
longer exists, so a new operation is covered by itself. Nothing here needs torch.
"""

import errno
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rundir.disk import ERRORS, Cache, Died, Disk, on, snapshot
from tunewright.rundir import atomic_io, file_names, run_dir
from tunewright.rundir.checkpoints import MANIFEST, TOTALS, CheckpointStore, damage, seal
from tunewright.rundir.event_log import EventLog
from tunewright.rundir.run_dir import RunDir

pytestmark = pytest.mark.processes

RUN = "run-1"
WEIGHTS = "adapter_model.safetensors"
FOREIGN = ("checkpoint-7", "checkpoint-best-do-not-delete", "checkpoint-9", "mine")
RANDOM_CUTS = 8


def checkpoints(root: Path, run_id: str = RUN) -> CheckpointStore:
    return CheckpointStore(root / file_names.CHECKPOINTS, run_id)


def save(root: Path, step: int, keep: int = 9, run_id: str = RUN, text: str = "") -> None:
    """A checkpoint whose files others write, one of them in a folder of its own; they leave it to us to sync them."""

    def fill(content: Path) -> None:
        atomic_io.perform(atomic_io._write, content / WEIGHTS, f"{text} weights of {step}".encode() * 9)
        atomic_io.perform(atomic_io._make, content / "more")
        atomic_io.perform(atomic_io._write, content / "more" / "optimizer.pt", b"moments" * 5)
        atomic_io.write_json(content / TOTALS, {"tokens": step})

    checkpoints(root, run_id).save(step, fill, {"model": "m"}, keep=keep)


def some(root: Path, *steps: int) -> None:
    """Checkpoints of ours, beside folders that are not."""
    for step in steps:
        save(root, step)
    save(root, 9, run_id="another run")
    for name in FOREIGN:
        folder = root / file_names.CHECKPOINTS / name
        folder.mkdir(exist_ok=True)
        (folder / "notes.txt").write_text("of somebody else") if name != "checkpoint-9" else None


def valid(root: Path) -> set[int]:
    return {step for step, path in checkpoints(root).own() if not damage(path)}


def newest(root: Path) -> int | None:
    """The step that a resume would take, found without changing the folder."""
    return max(valid(root), default=None)


def broken(root: Path) -> set[str]:
    """Folders with a checkpoint's name and a file that only we write, which are none."""
    folders = (root / file_names.CHECKPOINTS).glob("checkpoint-*")
    return {path.name for path in folders if {MANIFEST, TOTALS} & snapshot(path).keys() and damage(path)}


def write_adapter(root: Path, text: str) -> None:
    with atomic_io.staging(root) as staged:
        atomic_io.perform(atomic_io._write, staged / WEIGHTS, text.encode() * 9)
        atomic_io.perform(atomic_io._write, staged / "adapter_config.json", b"{}")
        RunDir(root).publish_adapter(staged, {})


def adapter(root: Path) -> str | None:
    folder = RunDir(root).adapter_dir
    if not folder.is_dir():
        return None
    assert damage(folder) == ""
    return (folder / WEIGHTS).read_text()[:3]


def new_run(root: Path) -> None:
    shutil.rmtree(root)
    run_dir.create(root, "shop")
    RunDir(root).update_info(id=RUN)


def with_adapter(root: Path) -> None:
    new_run(root)
    write_adapter(root, "old")


def half_replaced(root: Path) -> None:
    """As a death between the two renames leaves it."""
    with_adapter(root)
    (root / file_names.ADAPTER).rename(root / file_names.ADAPTER_BEFORE)


def broken_in_the_way(root: Path) -> None:
    some(root, 5, 10, 15)
    (root / file_names.CHECKPOINTS / "checkpoint-15" / WEIGHTS).write_text("broken")


def left_behind(root: Path) -> None:
    some(root, 5)
    for name in (".staging-1", ".trash-2"):
        shutil.copytree(root / file_names.CHECKPOINTS / "checkpoint-5", root / file_names.CHECKPOINTS / name)


def best_and_newest(root: Path) -> Any:
    return valid(root) >= {5, 15, 20}


@dataclass(frozen=True)
class Case:
    """Something done in a folder: what is there before, what is done, what a reader sees, which steps may go for it."""

    prepare: Callable[[Path], None]
    act: Callable[[Path], Any]
    read: Callable[[Path], Any]
    removable: Collection[int] = ()
    for_room: Collection[int] = ()


CASES = {
    "save": Case(lambda root: some(root, 5, 10), lambda root: save(root, 15), newest, for_room={5}),
    "first save": Case(lambda root: None, lambda root: save(root, 5), newest),
    "save and rotate": Case(lambda root: some(root, 5, 10), lambda root: save(root, 15, keep=2), newest, {5}),
    "save where a broken one stands": Case(broken_in_the_way, lambda root: save(root, 15), newest, for_room={5}),
    "save again": Case(lambda root: some(root, 5, 10), lambda root: save(root, 10), newest),
    "rotate": Case(
        lambda root: some(root, 5, 10, 12, 15, 20), lambda root: checkpoints(root).rotate(2, (5,)), newest, {10, 12}
    ),
    "best stays": Case(
        lambda root: some(root, 5, 10, 15, 20), lambda root: checkpoints(root).rotate(2, (5,)), best_and_newest, {10}
    ),
    "set aside": Case(broken_in_the_way, lambda root: checkpoints(root).newest_valid(), newest),
    "sweep": Case(left_behind, lambda root: RunDir(root).sweep(), newest),
    "first adapter": Case(new_run, lambda root: write_adapter(root, "new"), adapter),
    "adapter over an older one": Case(with_adapter, lambda root: write_adapter(root, "new"), adapter),
    "adapter over a half replaced one": Case(half_replaced, lambda root: write_adapter(root, "new"), adapter),
    "run.json": Case(
        new_run, lambda root: RunDir(root).update_info(state="running"), lambda root: RunDir(root).info().state
    ),
}


@dataclass
class Trial:
    """One case, tried on disks that fail in every way at every place."""

    case: Case
    folder: Path
    rng: random.Random

    def __post_init__(self) -> None:
        self.before, after = self.folder / "before", self.folder / "after"
        self.before.mkdir()
        on(Disk(), lambda: self.case.prepare(self.before))
        shutil.copytree(self.before, after)
        on(Disk(), lambda: self.case.act(after))
        self.old, self.new = self.case.read(self.before), self.case.read(after)
        self.foreign = self._foreign(self.before)
        self.kept = valid(self.before) - set(self.case.removable)
        self.counts: Counter[str] = Counter()

    def _foreign(self, root: Path) -> list[dict[str, bytes]]:
        return [snapshot(root / file_names.CHECKPOINTS / name) for name in FOREIGN]

    def root(self) -> Path:
        """The folder as it is before the act, fresh."""
        root = self.folder / "now"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.before, root)
        return root

    def check(self, root: Path, what: str, *, is_done: bool = False) -> None:
        self.counts[what.split(" at ")[0]] += 1
        value = self.case.read(root)
        assert value == self.new if is_done else value in (self.old, self.new), what
        going = self.case.for_room if "space" in what else ()
        assert valid(root) >= self.kept - set(going), what
        assert broken(root) <= broken(self.before), what
        assert self._foreign(root) == self.foreign, what

    def go_on(self, root: Path, what: str) -> None:
        """A later process sweeps and does the same again: it must come to the end, with nothing hidden left."""
        assert on(Disk(), lambda: (RunDir(root).sweep(), self.case.act(root))) is None, what
        assert self.case.read(root) == self.new, what
        assert not [path for path in root.rglob(".*") if path.name.startswith((".staging-", ".trash-"))], what

    def everywhere(self, how: str | int, *, is_lasting: bool = False) -> None:
        for place in range(10_000):
            root = self.root()
            disk = Disk(place, how, is_lasting, Cache(root) if how == errno.EIO else None)
            ended = on(disk, lambda root=root: self.case.act(root))
            if not disk.has_struck:
                assert ended is None
                return
            word = os.strerror(how) if isinstance(how, int) else how
            what = f"{word}{' from there on' if is_lasting else ''} at operation {place}"
            self.check(root, what, is_done=ended is None)
            if disk.cache and ended is None:  # it says that it is done in spite of the error, so it must be on the disk
                self.cut_power(disk.cache, f"power cut after {what}", is_done=True, most=3)
            self.go_on(root, what)

    def cut_power(self, cache: Cache, what: str, *, is_done: bool, most: int | None = None) -> None:
        cut = self.folder / "cut"
        for number, write in enumerate(islice(cache.after_power_cuts(self.rng, RANDOM_CUTS), most)):
            shutil.rmtree(cut, ignore_errors=True)
            write(cut)
            self.check(cut, f"{what}, variant {number}", is_done=is_done)
            if number % 4 == 0:
                self.go_on(cut, what)

    def power_cuts(self) -> None:
        """At every operation, and at the end: what an act has done when it returns is on the disk."""
        for place in range(10_000):
            root = self.root()
            disk = Disk(place, "exit", cache=Cache(root))
            ended = on(disk, lambda root=root: self.case.act(root))
            assert disk.cache
            self.cut_power(disk.cache, f"power cut at operation {place}", is_done=ended is None)
            if not disk.has_struck:
                return


@pytest.mark.parametrize("name", CASES)
def test_at_every_operation_the_old_or_the_new_state_is_there(
    name: str, memory_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Trial(CASES[name], memory_path, random.Random(name))
    trial.everywhere("exit")
    trial.everywhere("half")
    for number in ERRORS:
        trial.everywhere(number)
    trial.everywhere(ERRORS[0], is_lasting=True)
    trial.power_cuts()
    with capsys.disabled():
        print(f"\n{name}: " + ", ".join(f"{count} x {what}" for what, count in trial.counts.items()))


def test_a_full_disk_leaves_nothing_half_written_and_costs_only_what_rotation_may_remove(tmp_path: Path) -> None:
    on(Disk(), lambda: some(tmp_path, 5, 10, 15, 20))
    place = 0
    while True:
        shutil.rmtree(tmp_path / "now", ignore_errors=True)
        root = shutil.copytree(tmp_path / file_names.CHECKPOINTS, tmp_path / "now" / file_names.CHECKPOINTS).parent
        disk = Disk(place, ERRORS[0], is_lasting=True)
        ended = on(disk, lambda root=root: save(root, 25))
        if not disk.has_struck:
            break
        assert not list((root / file_names.CHECKPOINTS).glob(".staging-*"))
        assert isinstance(ended, OSError) or newest(root) == 25
        assert newest(root) in (20, 25)
        assert len(valid(root)) >= 2
        place += 1
    assert place > 10


def test_a_disk_that_refuses_once_is_tried_again(tmp_path: Path) -> None:
    on(Disk(), lambda: some(tmp_path, 5, 10))
    for place in range(10):
        root = shutil.copytree(tmp_path / file_names.CHECKPOINTS, tmp_path / f"{place}" / file_names.CHECKPOINTS).parent
        assert on(Disk(place, ERRORS[0]), lambda root=root: save(root, 15)) is None
        assert newest(root) == 15


def test_events_written_before_and_after_a_torn_line_are_read(tmp_path: Path) -> None:
    for how in ("exit", "half", *ERRORS):
        path = tmp_path / f"{how}.jsonl"
        EventLog(path).write("note", text="before")
        ended = on(Disk(0, how), lambda path=path: EventLog(path).write("note", text="torn"))
        assert isinstance(ended, Died) == (how in ("exit", "half")), "what the disk refuses waits"
        EventLog(path).write("note", text="after")
        assert [event.text for event in run_dir.read_events(path)] == ["before", "after"]


@pytest.mark.parametrize("number", atomic_io.REFUSALS)
def test_events_wait_while_the_disk_refuses(tmp_path: Path, number: int) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.write("note", text="0")

    def write_two() -> None:
        log.write("note", text="1")
        log.write("note", text="2")

    assert on(Disk(0, number, is_lasting=True), write_two) is None
    log.write("note", text="3")
    assert [(event.seq, event.text) for event in run_dir.read_events(log.path)] == [(n, str(n)) for n in range(4)]


def test_only_atomic_io_changes_files_in_runs() -> None:
    changing = ("write_text", "write_bytes", ".replace(path", ".rename(", ".unlink(", ".mkdir(", "rmtree", 'open("w')
    for path in Path(atomic_io.__file__).parent.glob("*.py"):
        if path.name != "atomic_io.py":
            text = (
                path.read_text(encoding="utf-8")
                .replace("atomic_io.write_text", "")
                .replace("atomic_io.write_bytes", "")
            )
            assert not [word for word in changing if word in text], path.name


def test_a_manifest_lists_the_files_of_folders_too(tmp_path: Path) -> None:
    on(Disk(), lambda: save(tmp_path, 5))
    folder = tmp_path / file_names.CHECKPOINTS / "checkpoint-5"
    (folder / "more" / "optimizer.pt").write_bytes(b"Moments" * 5)
    assert "more/optimizer.pt" in damage(folder)
    seal(folder, run_id=RUN, step=5, identity={})
    assert damage(folder) == ""


@pytest.mark.parametrize("missing", [1, 5])
def test_a_line_for_which_there_is_no_room_leaves_nothing_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    """All but its end would be read as a line of its own, and stand there twice when it is tried again."""
    path, write = tmp_path / "events.jsonl", os.write
    atomic_io.append_line(path, "first")

    def full(descriptor: int, content: bytes) -> int:
        if len(content) <= missing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content[:-missing])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            atomic_io.append_line(path, "second")
    atomic_io.append_line(path, "second")
    assert path.read_text() == "first\nsecond\n"
