"""The queue: its order, what takes a run out of it, and that runs of it never overlap."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run, conclude, story, tell
from tunewright import api
from tunewright.cli import live_display
from tunewright.errors import error
from tunewright.launch import queue_runner
from tunewright.launch.start_run import launch
from tunewright.rundir import run_lock, run_queue
from tunewright.rundir.run_dir import RunDir

Enqueue = Callable[[str], RunDir]
WAKE = queue_runner.wake


@pytest.fixture
def enqueue(tw: Run, model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> Enqueue:
    """`train --queue` under a name; nobody starts what waits."""
    monkeypatch.setattr(queue_runner, "wake", lambda: None)

    def put(name: str) -> RunDir:
        ended = tw("train", str(model), str(rows), "--queue", "--json", "--set", f"run.name={name}")
        assert ended.code == 0, ended.err
        assert ended.json["state"] == "waiting"
        return api.open_run(ended.json["name"]).dir

    return put


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Instead of a parent a process that lives for a moment with the run's lock; each run that began, and how many others
    were on the machine by then.
    """
    begun: list[tuple[str, int]] = []

    def start_parent(run: RunDir, lock: int) -> None:
        begun.append((run.info().name, sum(run_lock.is_held(other.dir.path) for other in api.runs("runs")) - 1))
        tell(run, story())
        conclude(run)
        subprocess.Popen(["sleep", "0.3"], stdin=lock)

    monkeypatch.setattr(queue_runner, "start_parent", start_parent)
    return begun


def names(tw: Run) -> list[str]:
    return [api.open_run(run["name"]).dir.info().name for run in tw("queue", "list", "--json").json["waiting"]]


def test_runs_wait_in_their_order_until_it_is_changed(tw: Run, enqueue: Enqueue) -> None:
    runs = {name: enqueue(name) for name in ("a", "b", "c")}
    assert names(tw) == ["a", "b", "c"]
    assert tw("queue", "move", runs["c"].name, "1").code == 0
    assert names(tw) == ["c", "a", "b"]
    assert tw("queue", "move", runs["c"].name, "99").out.strip().endswith("number 3 in the queue")
    assert tw("queue", "cancel", runs["a"].name).code == 0
    assert names(tw) == ["b", "c"]
    assert runs["a"].state() == "stopped"
    assert tw("queue", "move", runs["b"].name, "9" * 20).out.strip().endswith("number 2 in the queue")
    assert tw("queue", "move", runs["c"].name, "2").code == 0
    assert api.open_run(runs["b"].name).stop()
    assert names(tw) == ["c"]


def test_the_list_shows_places_and_planned_times(tw: Run, enqueue: Enqueue) -> None:
    enqueue("shop")
    shown = tw("queue", "list").out
    assert "in the queue" in shown
    assert "~" in shown
    assert "Nobody starts the runs that wait." in shown
    assert "tunewright queue go" in tw("queue", "list").err
    assert "in the queue" in tw("runs", "list").out


def test_a_run_is_not_both_queued_here_and_handed_to_others(tw: Run, model: Path, rows: Path) -> None:
    ended = tw("train", str(model), str(rows), "--queue", "--on", "slurm")
    assert ended.code == 2 and "--on" in ended.err
    assert not api.runs(rows.parent)


def test_an_empty_queue_says_so(tw: Run) -> None:
    ended = tw("queue", "list")
    assert ended.code == 0
    assert "nothing waits" in ended.err


def test_one_run_after_another(tw: Run, enqueue: Enqueue, started: list[tuple[str, int]]) -> None:
    for name in ("a", "b", "c"):
        enqueue(name)
    queue_runner.serve()
    assert started == [("a", 0), ("b", 0), ("c", 0)]
    assert names(tw) == []
    assert not run_queue.has_runner()


def test_a_run_from_elsewhere_is_waited_for(tw: Run, enqueue: Enqueue, started: list[tuple[str, int]]) -> None:
    run, other = enqueue("a"), enqueue("other")
    api.open_run(other.name).stop()
    with run_queue.registered(other):
        lock = run_lock.take(other.path)
        assert lock is not None
        holder = subprocess.Popen(["sleep", "0.6"], stdin=lock)
        os.close(lock)
        begun = time.monotonic()
        queue_runner.serve()
        assert time.monotonic() - begun > 0.5
    holder.wait()
    assert [name for name, _others in started] == ["a"]
    assert run.state() == "finished"


def test_a_paused_queue_starts_nothing_until_it_goes_on(
    tw: Run, enqueue: Enqueue, started: list[tuple[str, int]]
) -> None:
    enqueue("a")
    assert tw("queue", "pause", "--json").json["paused"]
    queue_runner.serve()
    assert not started
    assert not tw("queue", "go", "--json").json["paused"]
    queue_runner.serve()
    assert len(started) == 1


def test_a_run_that_cannot_start_says_why_and_holds_up_nobody(
    tw: Run, enqueue: Enqueue, started: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, _good = enqueue("bad"), enqueue("good")

    def check_base(run: RunDir) -> None:
        if run == bad:
            raise error("E324", folder="/gone", name="gone")

    monkeypatch.setattr(queue_runner, "check_base", check_base)
    queue_runner.serve()
    assert bad.state() == "failed"
    assert [problem.code for problem in api.problems(bad)] == ["E324"]
    assert [name for name, _others in started] == ["good"]


def test_runs_that_were_removed_or_started_by_hand_are_no_longer_in_the_queue(tw: Run, enqueue: Enqueue) -> None:
    removed, by_hand, left = enqueue("removed"), enqueue("by-hand"), enqueue("left")
    assert tw("runs", "rm", removed.name, "--yes").code == 0
    by_hand.update_info(state="queued")
    assert names(tw) == ["left"]
    assert left.state() == "waiting"


def test_a_run_that_does_not_wait_has_no_place(tw: Run, make_run: Callable[..., api.TrainedRun]) -> None:
    run = make_run()
    for words in (("move", run.name, "1"), ("cancel", run.name)):
        ended = tw("queue", *words)
        assert ended.code == 2, ended
        assert "E116" in ended.err


def test_a_damaged_queue_is_an_error_with_a_fix(tw: Run, enqueue: Enqueue, home: Path) -> None:
    enqueue("a")
    (home / "queue" / "queue.json").write_text("{")
    ended = tw("queue", "list")
    assert ended.code != 0
    assert "E525" in ended.err
    assert "queue.json" in ended.err


def test_where_there_can_be_no_queue_no_run_is_left_to_wait(
    tw: Run, enqueue: Enqueue, model: Path, rows: Path, home: Path
) -> None:
    waits = enqueue("a")
    (home / "queue" / "queue.json").write_text("{")
    ended = tw("train", str(model), str(rows), "--queue", "-o", "kept")
    assert ended.code != 0 and "E525" in ended.err
    assert not Path("kept").exists()
    (home / "queue" / "queue.json").unlink()  # as its message says
    ended = tw("queue", "cancel", waits.name)
    assert "this run is waiting; cancel needs a run that is in the queue" in ended.err


def test_after_go_somebody_is_seen_to_start_what_waits(
    tw: Run, enqueue: Enqueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = enqueue("a")
    lock = run_lock.take(run.path)
    assert lock is not None
    monkeypatch.setattr(queue_runner, "wake", WAKE)
    with run_queue.registered(run):  # as if it were on this machine: the process that starts the others waits for it
        shown = tw("queue", "go", "--json").json
        api.pause_queue()
    os.close(lock)
    assert shown["started"] and len(shown["waiting"]) == 1


def test_who_watches_a_run_that_waits_is_told_so(tw: Run, enqueue: Enqueue, monkeypatch: pytest.MonkeyPatch) -> None:
    run = enqueue("a")
    monkeypatch.setattr(live_display, "_follow", lambda _run: iter(()))
    ended = tw("runs", "watch", run.name)
    assert "It waits in the queue" in ended.err and "tunewright queue list" in ended.err


def test_two_that_start_runs_at_once_are_one(tw: Run, enqueue: Enqueue, started: list[tuple[str, int]]) -> None:
    enqueue("a")
    with run_queue.taking_turns():
        queue_runner.serve()
    assert not started


def test_what_a_killed_parent_left_does_not_count(tw: Run, enqueue: Enqueue, home: Path) -> None:
    run = enqueue("a")
    (home / "running").mkdir()
    (home / "running" / "0123").write_text(str(run.path))
    assert run_queue.running() == []
    assert list((home / "running").iterdir()) == []
    assert json.loads((home / "queue" / "queue.json").read_text())["schema"] == 1


def test_a_run_that_somebody_owns_is_not_failed_by_the_queue(
    tw: Run, enqueue: Enqueue, started: list[tuple[str, int]]
) -> None:
    run = enqueue("a")
    lock = run_lock.take(run.path)
    assert lock is not None
    holder = subprocess.Popen(["sleep", "2"], stdin=lock)
    os.close(lock)
    queue_runner.serve()
    holder.wait()
    assert run.state() == "finished", "it was tried again when it was free"
    assert [name for name, _others in started] == ["a"]


def test_who_changes_nothing_writes_nothing(enqueue: Enqueue) -> None:
    enqueue("one")
    before = run_queue._file().stat()
    with run_queue.changing() as queue:
        assert len(queue.runs) == 1
    assert (
        run_queue._file().stat().st_mtime_ns == before.st_mtime_ns and run_queue._file().stat().st_ino == before.st_ino
    )


def test_a_run_is_on_the_machine_before_its_parent_says_so(enqueue: Enqueue, monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = enqueue("one"), []
    monkeypatch.setattr("tunewright.launch.start_run.spawn", lambda *_argv, **_how: seen.extend(run_queue.running()))
    launch(run)
    assert seen == [run] and run_queue.running() == []
