"""A damaged, foreign or half-made run folder: a row of the list that says so, one error code for its own verbs, no other's end."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tunewright.cli.main import app
from tunewright.errors import TrainingError
from tunewright.rundir import file_names, run_dir, run_lock
from tunewright.rundir.run_dir import RunDir

FOREIGN = b'{"project": "other", "created": "yesterday"}'
# What a file may hold that is none of ours, by what it is called; None makes a folder of it.
HARMS: dict[str, bytes | None] = {
    "empty": b"",
    "other JSON": FOREIGN,
    "a list": b"[1, 2]",
    "a number": b"7",
    "text": b"hello\n",
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "NUL bytes": b"\x00" * 64,
    "deep": b"[" * 100_000,
    "long digits": b'{"schema": ' + b"9" * 5000 + b"}",
    "a folder": None,
}
# A field of a sound file, and a value that it cannot have.
WRONG: dict[str, list[tuple[str, Any]]] = {
    file_names.RUN_JSON: [
        ("created", "x"), ("created", 1e300), ("created", -1), ("state", 3), ("name", None), ("problems", [{"code": "E999"}]),
        ("problems", [{"code": "E506", "where": {}, "values": {}}]), ("result", {"after": {"exact_match": "good"}}),
        ("parent", {"pid": 10**30}), ("parent", 7), ("versions", []), ("exit_code", "0"),
    ],
    file_names.PLAN: [("run", None), ("memory", {}), ("choices", 7), ("num_steps", "many")],
}  # fmt: skip
EVENTS = [
    b'{"schema": 1, "seq": 900, "t": 1.5, "step": 3, "kind": "log"}',
    b'{"schema": 1, "seq": 900, "t": 1.5, "step": 3, "kind": "done", "result": 5}',
    b'{"schema": 1, "seq": 900, "t": 1.5, "step": 3, "kind": "alert", "problem": {"code": "W502"}}',
    b'{"schema": 1, "seq": 900, "t": 1e400, "step": 3, "kind": "note", "text": "x"}',
    b'{"schema": 1, "seq": "x", "t": 1.5, "step": 3, "kind": "note", "text": "x"}',
    b'{"schema": 1, "seq": 900, "t": 1.5, "step": -1, "kind": "note", "text": "x"}',
    b'{"schema": 1, "seq": 900, "t": 1.5, "step": 3}',
    b'{"event": "start"}',
    b"[]",
    b"2026-11-28 INFO started",
    b'{"text": "\xff"}',
]
VERBS = (
    ("report",),
    ("diagnose",),
    ("runs", "watch"),
    ("runs", "resume"),
    ("eval",),
    ("export", "-o", "out"),
)


@pytest.fixture
def run(finished: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run below runs/, with a sound one beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    shutil.copytree(finished.path, tmp_path / "runs" / "2026-11-23-sound")
    return RunDir(Path(shutil.copytree(finished.path, tmp_path / "runs" / "2026-11-24-broken")))


def tw(*words: str) -> tuple[int, Any]:
    """Exit code and answer of a command."""
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout or result.stderr.splitlines()[-1])


def rows() -> dict[str, Any]:
    code, listed = tw("runs", "list")
    assert code == 0
    return {row["name"]: row for row in listed["runs"]}


def put(path: Path, content: bytes | None) -> None:
    if path.is_file():
        path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)


def check(run: RunDir, file: str) -> None:
    """The list says it of this run alone; its own verbs say E525 with the place; verbs on the other run work."""
    listed = rows()
    assert listed["2026-11-23-sound"]["state"] == "finished" and listed["2026-11-23-sound"]["damage"] is None
    row = listed[run.name]
    assert (row["state"], row["damage"]["code"]) == ("damaged", "E525")
    assert row["damage"]["where"]["file"] == str(run.file(file)) and row["damage"]["fixes"]
    text = CliRunner().invoke(app, ["runs", "list"])
    assert text.exit_code == 0 and "damaged" in text.stdout and f"{file} cannot be read" in text.stdout
    for verb in VERBS:
        code, answer = (
            tw(*verb[:1], *verb[1:2], run.name, *verb[2:]) if verb[0] == "runs" else tw(verb[0], run.name, *verb[1:])
        )
        assert (code, [problem["code"] for problem in answer["problems"]]) == (1, ["E525"]), (verb, answer)
        assert answer["problems"][0]["where"]["file"] == str(run.file(file))
    assert tw("report", "2026-11-23-sound")[0] == 0
    if file == file_names.RUN_JSON:  # nobody knows when it was made, so it is not the last
        assert tw("diagnose", "last")[0] == 0


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("file", [file_names.RUN_JSON, file_names.PLAN])
def test_a_file_that_is_none_of_ours_is_told(run: RunDir, file: str, harm: str) -> None:
    put(run.file(file), HARMS[harm])
    check(run, file)


@pytest.mark.parametrize("file", [file_names.RUN_JSON, file_names.PLAN])
def test_a_file_that_is_missing_or_cut_is_told(run: RunDir, file: str) -> None:
    whole = run.file(file).read_bytes()
    put(run.file(file), whole[: len(whole) // 2])
    check(run, file)
    run.file(file).unlink()
    check(run, file)


@pytest.mark.parametrize(
    ("file", "field", "value"), [(file, *wrong) for file, all_of in WRONG.items() for wrong in all_of]
)
def test_a_value_of_the_wrong_kind_is_told_by_its_name(run: RunDir, file: str, field: str, value: Any) -> None:
    put(run.file(file), json.dumps(json.loads(run.file(file).read_bytes()) | {field: value}).encode())
    with pytest.raises(TrainingError, match=f"E525 .*{file}: .* {field}"):
        run.check()
    assert rows()[run.name]["state"] == "damaged"


@pytest.mark.parametrize("file", [file_names.RUN_JSON, file_names.PLAN, file_names.EVENTS])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(run: RunDir, file: str) -> None:
    run.file(file).unlink()
    os.mkfifo(run.file(file))
    row = rows()[run.name]
    assert (row["state"], row["damage"]["where"]["file"]) == ("damaged", str(run.file(file)))
    for verb in ("report", "diagnose"):
        code, answer = tw(verb, run.name)
        assert (code, answer["problems"][0]["code"]) == (1, "E525")


def test_a_pipe_in_the_place_of_the_lock_is_not_waited_for(run: RunDir) -> None:
    run.update_info(state="running")
    run.file(file_names.LOCK).unlink(missing_ok=True)
    os.mkfifo(run.file(file_names.LOCK))
    assert not run_lock.is_held(run.path)


@pytest.mark.parametrize("line", EVENTS)
def test_an_event_that_no_kill_explains_is_told_with_its_line(run: RunDir, line: bytes) -> None:
    lines = run.file(file_names.EVENTS).read_bytes().splitlines()
    run.file(file_names.EVENTS).write_bytes(b"\n".join([*lines[:5], line, *lines[5:], b""]))
    row = rows()[run.name]
    assert (row["state"], row["damage"]["where"]["line"]) == ("damaged", 6)
    for verb in ("report", "diagnose"):
        code, answer = tw(verb, run.name)
        assert (code, answer["problems"][0]["code"], answer["problems"][0]["where"]["line"]) == (1, "E525", 6)
    assert tw("report", "2026-11-23-sound")[0] == 0


def test_the_way_on_works_where_a_line_is_damaged(run: RunDir) -> None:
    with run.file(file_names.EVENTS).open("ab") as file:
        file.write(EVENTS[0] + b"\n")
    fixes = tw("report", run.name)[1]["problems"][0]["fixes"]
    command = next(fix for fix in fixes if "sed" in fix).partition(": ")[2]
    import subprocess

    subprocess.run(command, shell=True, check=True)
    assert tw("report", run.name)[0] == 0 and run.path.joinpath("events.jsonl.bak").is_file()


@pytest.mark.parametrize(
    "rest", [b'{"schema": 1, "seq": 9', b'{"schema": 1, "seq": 9\n', b"\x00" * 40, b'{"sch\x00\x00\n', b"\n\n"]
)
def test_what_a_kill_or_a_power_cut_leaves_is_no_damage(run: RunDir, rest: bytes) -> None:
    whole = run.read_events()
    with run.file(file_names.EVENTS).open("ab") as file:
        file.write(rest)
    assert run.read_events() == whole and run.last_event() == whole[-1]
    assert rows()[run.name]["state"] == "finished"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (file_names.PREPARED, b"[]"),
        (file_names.PREPARED, b'{"key": "k"}'),
        (file_names.SEEN_ROWS, b'{"row": 1}\n'),
        (file_names.SEEN_ROWS, b"x"),
        ("eval/after.jsonl", b'{"row": 1, "prompt": "p", "reference": "r"}\n'),
        ("eval/before.jsonl", b"\xff\n"),
        ("eval/after.jsonl", b'{"row": "1", "prompt": "p", "reference": "r", "answer": "a"}\n'),
        ("eval/after.jsonl", None),
        ("eval/after.losses.jsonl", b'{"row": 1, "loss": 1.0, "units": 0}\n'),
        ("eval/benchmark.json", b'{"tasks": {"a": 1}}'),
    ],
)
def test_other_files_of_a_run_are_told_with_a_way_on_that_works(run: RunDir, file: str, content: bytes | None) -> None:
    put(run.file(file), content)
    code, answer = tw("report", run.name)
    problem = answer["problems"][0]
    assert (code, problem["code"], problem["where"]["file"]) == (1, "E525", str(run.file(file)))
    run.file(file).rename(run.path / "aside")
    assert tw("report", run.name)[0] == 0


def test_names_are_looked_up_by_folder_and_leftovers_can_be_removed(run: RunDir) -> None:
    put(run.file(file_names.RUN_JSON), FOREIGN)
    assert run_dir.open_run(run.name).path == run.path and run_dir.open_run("last").name == "2026-11-23-sound"
    assert tw("runs", "rm", run.name, "--yes")[0] == 0
    assert list(rows()) == ["2026-11-23-sound"]


def test_folders_of_others_are_no_runs(run: RunDir, tmp_path: Path) -> None:
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / "notes" / "a.txt").write_text("mine")
    (tmp_path / "runs" / "file").write_text("mine")
    (tmp_path / "runs" / ".hidden").mkdir()
    (tmp_path / "runs" / ".hidden" / file_names.RUN_JSON).write_text("{")
    (tmp_path / "runs" / "nowhere").symlink_to(tmp_path / "gone")
    assert set(rows()) == {"2026-11-23-sound", run.name}


def test_a_folder_of_runs_is_compared_without_the_damaged_one(run: RunDir) -> None:
    put(run.file(file_names.PLAN), b"")
    code, answer = tw("compare", "runs")
    assert code == 0 and [left["run"] for left in answer["left_out"]] == [f"runs/{run.name}"]


def test_objects_in_python_say_it_too(run: RunDir) -> None:
    import tunewright as tw_api

    put(run.file(file_names.RUN_JSON), b"{}")
    assert [handle.state for handle in tw_api.runs()] == ["finished", "damaged"]
    assert "damaged" in repr(tw_api.runs()[1])


def test_a_report_shows_what_can_be_read_of_a_config_that_is_no_text(run: RunDir) -> None:
    run.file(file_names.CONFIG).write_bytes(b"model: x\n\xff\xfe")
    shown = CliRunner().invoke(app, ["report", str(run.path)])
    assert "E802" not in shown.output and shown.exit_code == 0
