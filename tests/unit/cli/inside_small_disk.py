"""Run by test_small_disk.py in a namespace of its own: every disk here is a file system that the kernel itself refuses."""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collecting_reporter import CollectingReporter
from tests.signals import signals_given_back
from tests.small_disk import ROOT, SmallDisk, small_disk
from tests.unit.planning.conftest import facts
from tunewright import api
from tunewright.config.load_config import to_yaml
from tunewright.config.run_config import RunConfig
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.training.dataset import prepare
from tunewright.errors import ConfigError
from tunewright.extras.sweep.optuna_search import open_search
from tunewright.inspection import machine_info
from tunewright.inspection.memory_monitor import Cgroup
from tunewright.launch import start_run
from tunewright.launch.supervisor import Supervisor
from tunewright.planning.make_plan import make_plan
from tunewright.planning.run_plan import InspectedFacts
from tunewright.rundir import atomic_io, file_names, run_dir
from tunewright.rundir.full_disk import EndingWriter, last_words, reserve_of
from tunewright.rundir.run_dir import RunDir

__all__ = ["facts", "signals_given_back"]
FAKE = ROOT / "tests/unit/launch/fake_worker.py"
NO_ROOM = os.strerror(errno.ENOSPC)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "1m") as small:
        yield small


@pytest.fixture
def run(disk: SmallDisk) -> RunDir:
    return run_dir.create(disk.path / "shop", "shop")


# Changes of run.json, and events


def test_a_change_without_room_waits_and_is_written_with_the_next(run: RunDir, disk: SmallDisk) -> None:
    disk.fill()
    ledger = EndingWriter(run)
    assert not ledger.update(state="running", model="x" * 5000)
    assert run.info().state == "queued"
    disk.free()
    assert ledger.update(started=1.0)
    info = run.info()
    assert (info.state, info.started, len(info.model or "")) == ("running", 1.0, 5000)


def test_the_room_that_was_put_aside_is_enough_for_the_end_of_a_run(run: RunDir, disk: SmallDisk) -> None:
    ledger, events, reserve = EndingWriter(run), run.events, reserve_of(run, "worker")
    ledger.update(state="running")
    reserve.hold()
    events.write("note", text="before")
    disk.fill()
    for number in range(40):
        events.write("note", text=f"{number} " + "x" * 200)
    assert len(run.read_events()) < 41
    assert last_words(events, reserve)
    assert [event.seq for event in run.read_events()] == list(range(41))
    assert ledger.close(state="failed", result={"text": "y" * 3000}, exit_code=7)
    assert (run.info().state, run.info().exit_code) == ("failed", 7)
    assert not list(run.path.glob(".*")), "nothing is left of the reserves"


def test_a_disk_that_became_read_only_does_not_end_a_writer_of_events(run: RunDir, disk: SmallDisk) -> None:
    events = run.events
    disk.make_read_only()
    events.write("note", text="waits")
    assert not EndingWriter(run).update(state="running")
    disk.make_writable()
    events.write("note", text="is written behind it")
    assert [event.text for event in run.read_events()] == ["waits", "is written behind it"]


@pytest.mark.parametrize("inodes", ["nr_inodes=12"])
def test_a_disk_without_room_for_another_name_is_full_too(tmp_path: Path, inodes: str) -> None:
    with small_disk(tmp_path / "names", f"1m,{inodes}") as names:
        run = run_dir.create(names.path / "shop", "shop")
        ledger = EndingWriter(run)
        ledger.update(state="running")
        run.events.write("note", text="here")
        with pytest.raises(OSError) as refused:
            for number in range(20):
                (names.path / f"{number}").touch()
        assert refused.value.errno == errno.ENOSPC
        assert ledger.close(state="failed", exit_code=7)
        assert run.info().exit_code == 7


# A parent


@pytest.fixture
def supervise(
    run: RunDir, facts: Callable[..., InspectedFacts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The run seen through with a worker that ends as told; the parent's exit code."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    config = RunConfig.model_validate({"model": "smollm2", "data": "rows.jsonl", "task": "causal_lm"})
    atomic_io.write_text(run.file(file_names.CONFIG), to_yaml(config))
    atomic_io.write_text(run.file(file_names.PLAN), make_plan(config, facts(), {}).model_dump_json())
    group = tmp_path / "group"
    group.mkdir()
    for name, content in (("memory.max", 2**31), ("memory.current", 2**30), ("memory.events", "oom_kill 0\n")):
        (group / name).write_text(str(content))

    def see_through(*ends: tuple[str, int, str]) -> int:
        argv = [sys.executable, str(FAKE), str(run.path), str(group), json.dumps(ends)]
        return Supervisor(run, argv, (Cgroup(group),), 60).supervise()

    return see_through


@pytest.mark.parametrize("how", ["full", "full and silent"])
def test_the_parent_outlives_a_full_disk_and_says_so(supervise: Any, run: RunDir, disk: SmallDisk, how: str) -> None:
    assert supervise(("train", 7, how)) == 7
    info = run.info()
    assert (info.state, info.exit_code, info.worker) == ("failed", 7, None)
    assert [problem.code for problem in info.problems or ()] == ["E510"]
    assert info.problems[0].values["reason"] == NO_ROOM
    assert run.state() == "failed"
    last = run.read_events()[-1]
    assert (last.kind, last.problems[0].code, last.step) == ("failed", "E510", 7)
    numbers = [event.seq for event in run.read_events()]
    assert numbers == sorted(set(numbers))
    assert "Traceback" not in run.file(file_names.LOG).read_text()
    disk.free()
    assert supervise(("train", 7, how), ("train", 9, "done")) == 0, "it goes on when there is room"
    assert run.state() == "finished"


# Verbs


def refused(shown: Any, *codes: str) -> str:
    """The code of a command that was refused, which is no fault of ours and comes without a traceback."""
    error = json.loads(shown.err.splitlines()[-1])["error"]
    assert error["code"] in codes, error
    assert error["fixes"]
    assert "Traceback" not in shown.err
    return str(error["message"])


@pytest.fixture
def on_disk(disk: SmallDisk, make_run: Any, monkeypatch: pytest.MonkeyPatch) -> api.TrainedRun:
    """A finished run on the disk, from whose folder commands are given."""
    monkeypatch.chdir(disk.path)
    return make_run()  # type: ignore[no-any-return]


def test_verbs_on_a_disk_that_is_only_read(
    tw: Any, on_disk: api.TrainedRun, disk: SmallDisk, session: Any, rows: Path, model: Path, tmp_path: Path
) -> None:
    disk.make_read_only()
    for words in (
        ("report", "last"), ("runs", "rm", on_disk.name, "--yes"), ("train", str(model), str(rows), "-o", "new"),
        ("train", str(model), str(rows)), ("merge", "last"), ("merge", "last", "deep/merged"), ("export", "last", "-o", "out"),
        ("init", str(model), str(rows)), ("generate", "last", str(rows), "-o", "a.jsonl"),
        ("report", "last", "-o", "r.html"), ("compare", on_disk.name, "-o", "cmp"), ("runs", "resume", "last"),
    ):  # fmt: skip
        shown = tw(*words, "--json")
        assert shown.code == 2, words
        if words[1] != "resume":
            assert os.strerror(errno.EROFS) in refused(shown, "E521", "E524"), words
    assert session.prompts == [], "no model was asked"
    assert on_disk.path.is_dir()
    assert tw("eval", "last", "--json").code == 0
    assert tw("generate", "last", str(rows), "--json").json["num_rows"] == 40
    assert tw("report", "last", "-o", str(tmp_path / "r.html")).code == 0
    assert tw("runs", "list", "--json").code == 0
    assert tw("plan", str(model), str(rows), "--json").code == 0


def test_verbs_on_a_disk_that_is_full(
    tw: Any, on_disk: api.TrainedRun, disk: SmallDisk, session: Any, rows: Path, model: Path
) -> None:
    (disk.path / "earlier.yaml").write_text("x")
    disk.fill()
    for words in (
        ("report", "last"), ("train", str(model), str(rows)), ("merge", "last"), ("init", str(model), str(rows)),
        ("generate", "last", str(rows), "-o", "a.jsonl"), ("export", "last"), ("report", "last", "-o", "r.html"),
    ):  # fmt: skip
        shown = tw(*words, "--json")
        assert shown.code == 7, words
        assert NO_ROOM in refused(shown, "E520"), words
    assert session.prompts == []
    assert not list(disk.path.rglob(".staging-*")), "what was half written is gone"
    assert tw("runs", "rm", on_disk.name, "--yes").code == 0, "room can be made"


def test_a_merge_that_has_no_room_is_refused_before_the_model_is_loaded(
    tw: Any, make_run: Any, session: Any, disk: SmallDisk
) -> None:
    make_run()
    with disk.ballast.open("wb") as file:
        file.write(bytes(disk.path.stat().st_blksize * 200))
    shown = tw("merge", "last", str(disk.path / "merged"), "--json")
    assert shown.code == 3
    refused(shown, "E403")


def test_answers_that_find_no_more_room_are_not_lost(
    tw: Any, make_run: Any, session: Any, disk: SmallDisk, tmp_path: Path
) -> None:
    make_run()
    lines = [json.dumps({"prompt": f"{number} " + "x" * 4000}) for number in range(200)]
    (tmp_path / "p.jsonl").write_text("\n".join(lines) + "\n")
    shown = tw("generate", "last", "p.jsonl", "-o", str(disk.path / "a.jsonl"), "--json")
    assert shown.code == 7
    assert NO_ROOM in refused(shown, "E520")
    (part,) = disk.path.glob("a.jsonl.*.part")
    assert part.read_bytes().count(b"\n") >= 56
    before = len(session.prompts)
    with small_disk(tmp_path / "larger", "4m") as larger:
        (larger.path / part.name).write_bytes(part.read_bytes())
        assert tw("generate", "last", str(tmp_path / "p.jsonl"), "-o", str(larger.path / "a.jsonl")).code == 0
        rows = [json.loads(line) for line in (larger.path / "a.jsonl").read_text().splitlines()]
        assert not list(larger.path.glob("*.part"))
    assert [row["prompt"][:4].split()[0] for row in rows] == [str(number) for number in range(200)]
    assert len(session.prompts) - before < 200


@pytest.mark.parametrize("how", ["full", "read only"])
def test_a_cache_that_cannot_be_written_is_noted_and_done_without(
    tw: Any, model: Path, rows: Path, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    measured = machine_info.probe_path()
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(disk.path))
    machine_info.probe_path().write_bytes(measured.read_bytes())
    if how == "full":
        disk.fill()
    else:
        disk.make_read_only()
    assert tw("plan", str(model), str(rows), "--json").code == 0
    assert tw("data", "check", str(rows), "-m", str(model), "--json").code == 0
    loaded = api.load(named={"model.name": str(model), "data.train": str(rows)})
    plan, reporter = api.plan(loaded), CollectingReporter()
    run = start_run.create(loaded, plan, force=True, reporter=reporter)
    prepared = prepare(plan, run, load_tokenizer(model, None), reporter=reporter)
    assert len(prepared.train) + len(prepared.held_out) == 40
    (note,) = reporter.notes
    assert note.startswith("the tokenized rows are not cached for the next run: ") and str(disk.path) in note
    assert run.data_summary().from_cache is False


@pytest.mark.parametrize(("how", "words"), [("full", "full"), ("read only", "unable to open")])
def test_the_storage_of_a_sweep_that_cannot_be_written_is_told(disk: SmallDisk, how: str, words: str) -> None:
    pytest.importorskip("optuna", reason="a sweep needs the optional part")
    url = f"sqlite:///{disk.path / 'sweep.db'}"

    def ask_again_and_again() -> None:
        search = open_search(url, "name", is_higher_better=False)
        disk.fill()
        for _number in range(200):
            search.add("me")

    if how == "read only":
        disk.make_read_only()
    with pytest.raises(ConfigError) as refusal:
        ask_again_and_again()
    (problem,) = refusal.value.problems
    assert problem.code == "E128" and "sweep.db" in problem.message() and words in problem.message()
