"""`tunewright prepare`: all rows encoded by several processes, as one would have, whole or not at all."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tunewright import api
from tunewright.data import load_examples
from tunewright.data.tokenized import encoder_pool, mapped_rows
from tunewright.launch import inspect_inputs, prepare_rows
from tunewright.planning.run_plan import Plan
from tunewright.rundir import atomic_io, prepared_rows

pytestmark = pytest.mark.processes


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every set of rows counts as one of very many, in small chunks and files."""
    for module in (prepared_rows, inspect_inputs, prepare_rows):
        monkeypatch.setattr(module, "ROWS_IN_MEMORY", 10)
    monkeypatch.setattr(load_examples, "KEPT_FROM_BYTES", 0)
    monkeypatch.setattr("tunewright.data.tokenized.tokenization.CHUNK", 4)
    monkeypatch.setattr(prepared_rows, "CHUNK", 4)
    monkeypatch.setattr(prepared_rows, "num_cpus", lambda: 2)
    monkeypatch.setattr(mapped_rows, "MOST_ROWS", 16)


def rows_of(folder: Path) -> list[object]:
    rows = prepared_rows.read(folder.name, checks_all=True)
    assert rows is not None
    return [list(rows.train), list(rows.held_out), rows.summary, rows.bad_rows, rows.seen]


def test_rows_are_encoded_once_and_found_again(tw: Run, model: Path, rows: Path) -> None:
    words = ("prepare", str(model), str(rows), "--json")
    first = tw(*words).json
    assert (first["train_rows"], first["held_out_rows"], first["from_cache"]) == (36, 4, False)
    assert tw(*words).json["from_cache"]
    shown = tw("prepare", str(model), str(rows))
    assert shown.code == 0 and "36 training rows" in shown.out and "train" in shown.err


def test_rows_that_cannot_be_kept_are_not_said_to_be_there(tw: Run, model: Path, rows: Path, home: Path) -> None:
    (home / "encoded").write_text("a file in the place of the folder")
    ended = tw("prepare", str(model), str(rows))
    assert ended.code != 0 and "E517" in ended.err and ended.out == ""


def test_several_processes_make_the_bytes_of_one(
    tw: Run, model: Path, rows: Path, home: Path, request: pytest.FixtureRequest
) -> None:
    one = Path(tw("prepare", str(model), str(rows), "--json").json["folder"])
    expected = rows_of(one)
    content = [one.joinpath(name).read_bytes() for name in ("train-00000.rows", "held_out-00000.rows")]
    one.rename(one.with_name("aside"))
    for path in (home / "encoded_rows").iterdir():
        path.unlink()
    request.getfixturevalue("many")
    mapped_rows.MOST_ROWS = 2**16  # type: ignore[misc]  # the fixture gives it back
    again = tw("prepare", str(model), str(rows), "--json").json
    assert not again["from_cache"] and rows_of(one) == expected
    assert [one.joinpath(name).read_bytes() for name in ("train-00000.rows", "held_out-00000.rows")] == content
    assert [path.name for path in (home / "encoded").iterdir() if path.name.startswith(".")] == []


@pytest.mark.usefixtures("many")
def test_a_damaged_file_is_named_and_made_anew(tw: Run, model: Path, rows: Path) -> None:
    words = ("prepare", str(model), str(rows), "--json")
    folder = Path(tw(*words).json["folder"])
    expected = rows_of(folder)
    path = folder / "train-00001.rows"
    path.write_bytes(path.read_bytes()[:-8])
    ended = tw(*words)
    assert "train-00001.rows" in ended.err and not ended.json["from_cache"] and rows_of(folder) == expected


@pytest.mark.usefixtures("many")
def test_a_process_that_dies_is_done_without(tw: Run, model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is killed when it is first asked; all rows are there all the same."""
    answer = encoder_pool._answer

    def killed(worker: "subprocess.Popen[str]", *rest: object) -> bytes | None:
        worker.kill()
        worker.wait()
        return answer(worker, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder_pool, "_answer", killed)
    assert tw("prepare", str(model), str(rows), "--json").json["train_rows"] == 36


@pytest.mark.usefixtures("many")
def test_rows_that_stop_a_run_leave_nothing(tw: Run, model: Path, rows: Path, home: Path) -> None:
    rows.write_text(rows.read_text() + '{"question": "half"\n')
    ended = tw("prepare", str(model), str(rows), "--json")
    assert ended.code and "E2" in ended.out + ended.err
    assert not list((home / "encoded").glob("[!.]*")) if (home / "encoded").exists() else True
    kept = tw("prepare", str(model), str(rows), "--skip-bad", "--json").json
    assert (kept["train_rows"] + kept["held_out_rows"], kept["left_out"]) == (40, 1)


@pytest.mark.usefixtures("many")
def test_a_full_disk_is_said_and_leaves_nothing(
    tw: Run, model: Path, rows: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = atomic_io.write_bytes

    def refuse(path: Path, content: bytes) -> None:
        if path.name == "train-00001.rows":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, content)

    monkeypatch.setattr(atomic_io, "write_bytes", refuse)
    ended = tw("prepare", str(model), str(rows), "--json")
    assert ended.code and "E517" in ended.out + ended.err
    assert [path.suffix for path in (home / "encoded").iterdir()] == [".lock"]


@pytest.mark.usefixtures("many")
def test_who_comes_second_waits_and_finds_the_rows(tw: Run, model: Path, rows: Path, home: Path) -> None:
    loaded = api.load(named={"model.name": str(model), "data.train": str(rows)})
    plan = api.plan(loaded)
    key = prepared_rows.key_of_plan(plan, prepare_rows.load_tokenizer(Path(plan.facts.model.tokenizer_folder)))
    entered, outcome = threading.Event(), []

    def second() -> None:
        outcome.append(api.prepare(loaded))

    with prepared_rows._alone(key, prepared_rows.SILENT) as staged:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(2)
        assert thread.is_alive() and not staged.exists() and not entered.is_set()
    thread.join(60)
    assert outcome[0].train_rows == 36 and not list((home / "encoded").glob(".staging*"))


KILLED = """
import sys, time
from tunewright.data.tokenized import tokenization
from tunewright.launch import inspect_inputs, prepare_rows
from tunewright.rundir import prepared_rows
from tunewright import api
for module in (prepared_rows, inspect_inputs, prepare_rows):
    module.ROWS_IN_MEMORY = 10
prepared_rows.CHUNK = tokenization.CHUNK = 4
publish = prepared_rows._publish
def slow(*arguments):
    print("here", flush=True)
    time.sleep(60)
prepared_rows._publish = slow
api.prepare(api.load(named={"model.name": sys.argv[1], "data.train": sys.argv[2]}))
"""


@pytest.mark.usefixtures("many")
def test_one_that_is_killed_leaves_nothing_that_counts(tw: Run, model: Path, rows: Path, home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(model), str(rows)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout and process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list((home / "encoded").glob(".staging-*"))) == 1
    prepared = tw("prepare", str(model), str(rows), "--json").json
    assert not prepared["from_cache"] and prepared["train_rows"] == 36
    assert not list((home / "encoded").glob(".staging-*"))


def test_plan_says_how_the_order_is_drawn(model: Path, rows: Path) -> None:
    plan: Plan = api.plan(api.load(named={"model.name": str(model), "data.train": str(rows)}))
    assert plan.row_order == "randperm"
