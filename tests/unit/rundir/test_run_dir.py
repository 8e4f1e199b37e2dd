"""Runs on disk: names, states, events; nothing here needs a model."""

import json
import os
import shlex
import time
from pathlib import Path

import pytest

from tunewright.errors import ConfigError, TrainingError
from tunewright.rundir import atomic_io, file_names, run_dir, run_lock
from tunewright.rundir.event_log import EventLog, Tail, read_events
from tunewright.rundir.records import RunResult

LOG = {"loss": 1.0, "learning_rate": 1e-4, "tokens_per_second": 9.0, "eta_seconds": 1.0, "rss_bytes": 2**20}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> run_dir.RunDir:
    monkeypatch.chdir(tmp_path)
    return run_dir.create(run_dir.new_folder("shop", run_dir.runs_root()), "shop")


def test_a_run_is_found_by_path_name_beginning_and_last(run: run_dir.RunDir) -> None:
    for word in (str(run.path), run.name, run.name[:-2], "shop", "last"):
        assert run_dir.open_run(word).path == run.path


def test_a_listed_run_is_the_one_that_is_opened_from_wherever(run: run_dir.RunDir) -> None:
    assert run_dir.list_runs() == [run_dir.open_run(str(run.path))] == [run]


def test_unknown_and_ambiguous_names_are_errors(run: run_dir.RunDir) -> None:
    with pytest.raises(ConfigError, match="E113"):
        run_dir.open_run("nothing")
    run_dir.create(run_dir.new_folder("shop", run_dir.runs_root()), "shop")
    with pytest.raises(ConfigError, match="E114"):
        run_dir.open_run("shop")


@pytest.mark.parametrize(
    ("state", "ways"),
    [("finished", []), ("stopped", ["resume"]), ("failed", ["resume"]), ("waiting", ["watch", "resume"])],
)
def test_a_run_in_the_wrong_state_is_told_the_ways_that_are_open(
    run: run_dir.RunDir, state: str, ways: list[str]
) -> None:
    run.update_info(state=state)
    (problem,) = run_dir.unfit(run, "export").problems
    assert problem.message() == f"this run is {state}; export needs a run that is finished"
    assert problem.fixes() == [f"tunewright runs {way} {run.name}" for way in ways]


def test_a_command_names_a_run_as_it_is_found_from_here(run: run_dir.RunDir, tmp_path: Path) -> None:
    elsewhere = run_dir.create(tmp_path / "my run", "shop")
    elsewhere.update_info(state="stopped")
    (problem,) = run_dir.unfit(elsewhere, "export").problems
    (fix,) = problem.fixes()
    assert run.handle == run.name
    assert [run_dir.open_run(word).path for word in shlex.split(fix)[3:]] == [elsewhere.path]


def test_a_folder_in_use_is_never_taken(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="E115"):
        run_dir.create(tmp_path, "x")
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("pid", [os.getpid(), 1, 2**22 + 1, None], ids=["mine", "init", "nobody", "none"])
def test_live_means_that_somebody_holds_the_lock_whatever_the_record_says(run: run_dir.RunDir, pid: int | None) -> None:
    run.update_info(state="running", parent={"pid": pid, "started": 1.0} if pid else None)
    assert run.state() == "lost"
    with run_dir.owning(run):
        assert run.state() == "running"
        with pytest.raises(TrainingError, match="E505"):
            run_dir.remove(run)
    assert run.state() == "lost"
    run_dir.remove(run)
    assert not run.path.exists()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("state", ["failed", "finished", "stopped"])
def test_a_run_that_has_ended_is_not_removed_under_its_owner(run: run_dir.RunDir, state: str) -> None:
    run.update_info(state=state)
    with run_dir.owning(run), pytest.raises(TrainingError, match="E505"):
        run_dir.remove(run)
    assert run.state() == state
    run_dir.remove(run)
    assert not run.path.exists()


@pytest.mark.parametrize(("age", "state"), [(0, "queued"), (29, "queued"), (31, "lost"), (-5, "lost"), (1e6, "lost")])
def test_who_waits_for_a_start_is_live_for_half_a_minute(run: run_dir.RunDir, age: float, state: str) -> None:
    run.update_info(queued=time.time() - age)
    assert run.state() == state
    with run_dir.owning(run):
        assert run.state() == "queued"


def test_a_clock_that_went_back_while_a_run_went_on_does_not_shorten_it(run: run_dir.RunDir) -> None:
    run.update_info(started=5000.0, ended=1400.0, seconds=7.5, seconds_before=2.0)
    assert run.seconds() == 9.5
    run.update_info(ended=5003.0, seconds=None)
    assert run.seconds() == 5.0, "of an earlier version"


def test_a_run_that_ends_between_two_looks_is_not_lost(run: run_dir.RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    run.update_info(state="running")

    def ended_just_now(folder: Path) -> bool:
        run.update_info(state="stopped")
        return False

    monkeypatch.setattr(run_lock, "is_held", ended_just_now)
    assert run.state() == "stopped"


@pytest.mark.parametrize("place", ["runs/other", "elsewhere"])
def test_of_a_link_to_a_run_only_the_link_is_removed(run: run_dir.RunDir, tmp_path: Path, place: str) -> None:
    link = tmp_path / place
    link.symlink_to(run.path)
    linked = run_dir.open_exactly(place if place == "elsewhere" else "other")
    assert run_dir.folder_bytes(linked.path) == 0 < run_dir.folder_bytes(run.path)
    run_dir.remove(linked)
    assert not link.is_symlink()
    assert run.info().name == "shop"
    assert [path.name for path in run.path.parent.iterdir()] == [run.name]


def test_a_run_whose_parent_died_is_what_its_worker_made_of_it(run: run_dir.RunDir) -> None:
    run.update_info(state="running", worker=run_dir.process_record(os.getpid()))
    run.events.write("done", result={"after": {"exact_match": 1.0}})
    assert run.state() == "finished"
    assert run.result() == RunResult(after={"exact_match": 1.0})
    run.events.write("failed", problems=[], exit_code=143)
    assert run.state() == "stopped"


def test_events_are_strict_json_in_one_sequence_over_sessions(run: run_dir.RunDir) -> None:
    run.events.write("log", **LOG | {"loss": float("nan"), "grad_norm": float("inf")})
    EventLog(run.file(file_names.EVENTS), step=3).write("log", **LOG)
    events = run.read_events()
    assert [(e.seq, e.step, e.loss) for e in events] == [(0, 0, None), (1, 3, 1.0)]
    assert events[0].grad_norm is None
    assert "NaN" not in run.file(file_names.EVENTS).read_text()


def test_a_torn_last_line_is_left_for_later(run: run_dir.RunDir) -> None:
    path = run.file(file_names.EVENTS)
    run.events.write("note", text="whole")
    with path.open("a") as file:
        file.write('{"schema": 1, "seq": 1, "t": 1.5, "step": 0, "kind": "note", "te')
    tail = Tail(path)
    assert [e.text for e in tail.read()] == ["whole"]
    assert [e.text for e in read_events(path)] == ["whole"]
    with path.open("a") as file:
        file.write('xt": "late"}\n')
    assert [e.text for e in tail.read()] == ["late"]


def test_run_json_is_always_whole(run: run_dir.RunDir) -> None:
    run.update_info(result=RunResult(after={"exact_match": 0.5}))
    assert json.loads(run.file(file_names.RUN_JSON).read_text())["result"] == {"after": {"exact_match": 0.5}}
    assert not list(run.path.glob(".run.json*"))


def test_answers_with_any_character_are_read_as_they_were_written(run: run_dir.RunDir) -> None:
    text = "one\u2028two\x0bthree\x85four\r\nfive\u2029"
    run.file(file_names.EVAL).mkdir()
    row = {"prompt": "p", "reference": "r", "answer": ""}
    atomic_io.write_jsonl(
        run.path / file_names.EVAL / "after.jsonl", [row | {"row": 1, "answer": text}, row | {"row": 2}]
    )
    assert [sample.answer for sample in run.samples("after")] == [text, ""]
    assert run.samples("before") == run.preview_rows() == []


@pytest.mark.parametrize("word", ["x" * 300, "x" * 5000, "1" + "0" * 400, "a/" + "x" * 300])
def test_a_name_that_no_file_can_have_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.chdir(tmp_path)
    for opened in (run_dir.open_run, run_dir.open_exactly):
        with pytest.raises(ConfigError, match="E113"):
            opened(word)


@pytest.mark.parametrize("now", [False, True])
def test_a_request_to_stop_never_empties_a_file_that_is_linked_there(tmp_path: Path, now: bool) -> None:
    run = run_dir.create(tmp_path / "shop", "shop")
    other = tmp_path / "thesis.txt"
    other.write_text("ten years")
    run.file(file_names.STOP_NOW if now else file_names.STOP).symlink_to(other)
    with pytest.raises(OSError, match="Too many levels"):
        run.request(now=now)
    assert other.read_text() == "ten years"
