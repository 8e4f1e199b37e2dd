"""Where results go: no verb writes over what it did not make, and a bad name is told before a model is loaded."""

import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import FakeSession, Run
from tunewright import api
from tunewright.extras.sweep import trials
from tunewright.launch import batch_generation

MakeRun = Callable[..., api.TrainedRun]
ROWS = 50


class Killed(BaseException):
    """The process is gone."""


def refused(shown: Any, code: str, exit_code: int = 2) -> dict[str, Any]:
    assert shown.code == exit_code, shown
    error: dict[str, Any] = json.loads(shown.err.splitlines()[-1])["error"]
    assert error["code"] == code, error
    return error


@pytest.fixture
def asking(tmp_path: Path) -> Path:
    path = tmp_path / "asking.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"row {number}", "id": number}) + "\n" for number in range(ROWS)))
    return path


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """What may be in the way: a file, a device, a pipe, a loop of links."""
    (tmp_path / "file").write_text("mine\n")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    (tmp_path / "null").symlink_to("/dev/null")
    return tmp_path


FILE_VERBS = (("report", "last", "-o"), ("generate", "last", "asking.jsonl", "-o"), ("init", "tiny", "my.jsonl", "-o"))
FOLDER_VERBS = (
    ("merge", "last"),
    ("export", "last", "-o"),
    ("train", "tiny", "my.jsonl", "-o"),
    ("plan", "tiny", "my.jsonl", "-o"),
)


@pytest.mark.parametrize(
    "name", ["folder", "null", "/dev/null", "pipe", "loop", "missing/x", "file/x", "file/x/y", "x" * 300]
)
@pytest.mark.parametrize("verb", FILE_VERBS, ids=lambda verb: verb[0])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_done(
    tw: Run, make_run: MakeRun, session: FakeSession, asking: Path, places: Path, verb: tuple[str, ...], name: str
) -> None:
    make_run()
    error = refused(tw(*verb, name, "--json"), "E524")
    assert name in error["message"] and error["fixes"]
    if name == "missing/x":
        assert error["fixes"][0] == f"mkdir -p {places / 'missing'}"
    assert session.prompts == []
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert (places / "file").read_text() == "mine\n"


@pytest.mark.parametrize(
    "name", ["file", "null", "/dev/null", "pipe", "loop", "file/x", "file/x/y", "/proc/nope", "x" * 300]
)
@pytest.mark.parametrize("verb", FOLDER_VERBS, ids=lambda verb: verb[0])
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_done(
    tw: Run,
    make_run: MakeRun,
    session: Any,
    places: Path,
    verb: tuple[str, ...],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_run()
    monkeypatch.setattr(session, "request", lambda *_, **__: pytest.fail("a model would have been loaded"))
    assert name in refused(tw(*verb, name, "--json"), "E524")["message"]
    assert (places / "file").read_text() == "mine\n"


@pytest.mark.parametrize(("name", "free"), [(".", "-2"), ("..", "-2"), ("/", "/-2"), ("folder/..", "-2")])
@pytest.mark.parametrize("verb", FOLDER_VERBS[:-1], ids=lambda verb: verb[0])
def test_a_folder_without_a_name_of_its_own_is_refused_with_a_place_that_is_free(
    tw: Run, make_run: MakeRun, places: Path, verb: tuple[str, ...], name: str, free: str
) -> None:
    make_run()
    fix = refused(tw(*verb, name, "--json"), "E115")["fixes"][-1]
    assert fix.endswith(free) and "..-2" not in fix


@pytest.mark.parametrize("content", ['{"prompt": "my own rows"}\n', "<html><body>mine</body></html>", "\0\xff"])
def test_a_report_is_not_written_over_what_is_no_report(
    tw: Run, make_run: MakeRun, tmp_path: Path, content: str
) -> None:
    make_run()
    mine = tmp_path / "mine"
    mine.write_text(content)
    error = refused(tw("report", "last", "-o", "mine", "--json"), "E115")
    assert error["fixes"] == ["a place that is free: mine-2"]
    assert mine.read_text() == content


def test_a_report_is_written_over_a_report_an_empty_file_and_through_a_link(
    tw: Run, make_run: MakeRun, tmp_path: Path
) -> None:
    make_run()
    (tmp_path / "empty.html").touch()
    assert tw("report", "last", "-o", "empty.html").code == 0
    assert tw("report", "last", "-o", "empty.html").code == 0, "it is a report now"
    (tmp_path / "link.html").symlink_to("empty.html")
    (tmp_path / "empty.html").write_text((tmp_path / "empty.html").read_text() + "<!-- of yesterday -->")
    assert tw("report", "last", "-o", "link.html").code == 0
    assert (tmp_path / "link.html").is_symlink()
    assert "of yesterday" not in (tmp_path / "empty.html").read_text()


def test_a_comparison_is_not_written_over_what_is_none(tw: Run, make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    (tmp_path / "cmp").mkdir()
    (tmp_path / "cmp/compare.html").write_text("mine")
    refused(tw("compare", run.name, "-o", "cmp", "--json"), "E115")
    assert (tmp_path / "cmp/compare.html").read_text() == "mine"


@pytest.mark.parametrize("name", [trials.SWEEP_FILE, trials.BEST_FILE])
@pytest.mark.parametrize("content", ["mine", '{"mine": 1}', "[]"])
def test_a_sweep_is_not_begun_over_files_of_others(
    tw: Run, model: Path, rows: Path, tmp_path: Path, name: str, content: str
) -> None:
    pytest.importorskip("optuna", reason="a sweep needs the optional part")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / name).write_text(content)
    code = ("E525", 1) if name == trials.SWEEP_FILE else ("E115", 2)
    refused(tw("sweep", str(model), str(rows), "-o", "s", "--trials", "1", "--json"), *code)
    assert [path.name for path in (tmp_path / "s").iterdir()] == [name]


@pytest.mark.parametrize("content", ["mine", '{"mine": 1}', "[]"])
def test_a_comparison_is_not_begun_over_files_of_others(
    tw: Run, model: Path, rows: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c/equal.json").write_text(content)
    refused(tw("compare", str(model), str(rows), "--ranks", "4", "-o", "c", "--json"), "E525", 1)
    assert (tmp_path / "c/equal.json").read_text() == content


def test_with_force_a_file_goes_but_no_folder_and_no_device(
    tw: Run, make_run: MakeRun, session: FakeSession, asking: Path, places: Path
) -> None:
    make_run()
    assert (
        "overwrite it: --force"
        in refused(tw("generate", "last", "asking.jsonl", "-o", "file", "--json"), "E115")["fixes"]
    )
    for name in ("folder", "null", "pipe"):
        refused(tw("generate", "last", "asking.jsonl", "-o", name, "--force", "--json"), "E524")
    assert tw("generate", "last", "asking.jsonl", "-o", "file", "--force").code == 0
    assert len((places / "file").read_text().splitlines()) == ROWS


# Answers as they come


def test_portions_are_all_rows_in_order_and_lie_always_the_same() -> None:
    for count in (0, 1, 8, 9, 100, 1000):
        numbers = [number for portion in batch_generation.batches(count) for number in portion]
        assert numbers == list(range(count))
    assert [len(portion) for portion in batch_generation.batches(500)] == [8, 16, 32, 64, 128, 128, 124]


def killed_after(session: FakeSession, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From then on the session is that of a process that is killed."""
    real, count = session.request, 0

    def request(*words: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count > calls:
            raise Killed
        return real(*words, **options)

    monkeypatch.setattr(session, "request", request)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_answers_are_as_private_as_their_questions_from_the_first_on(
    tw: Run, make_run: MakeRun, session: FakeSession, asking: Path, tmp_path: Path, mode: int
) -> None:
    make_run()
    asking.chmod(mode)
    words = ("generate", "last", "asking.jsonl", "-o", "out.jsonl")
    with pytest.MonkeyPatch.context() as cut, pytest.raises(Killed):
        killed_after(session, 2, cut)
        tw(*words)
    (part,) = tmp_path.glob("*.part")
    modes = [part.stat().st_mode]
    assert tw(*words).code == 0
    modes.append((tmp_path / "out.jsonl").stat().st_mode)
    assert all(was & 0o777 & ~mode == 0 for was in modes)


@pytest.mark.parametrize("torn", ["", '{"prompt": "row 24", "ans', '{"prompt": "row 24", "answer": "x"}\n'])
@pytest.mark.parametrize("extra", [(), ("--with", "base")])
def test_generate_goes_on_where_it_was_killed(
    tw: Run, make_run: MakeRun, session: FakeSession, asking: Path, tmp_path: Path, torn: str, extra: tuple[str, ...]
) -> None:
    make_run()
    words = ("generate", "last", "asking.jsonl", *extra, "-o")
    assert tw(*words, "whole.jsonl").code == 0
    session.prompts.clear()
    with pytest.MonkeyPatch.context() as cut, pytest.raises(Killed):
        killed_after(session, 2, cut)
        tw(*words, "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    (part,) = tmp_path.glob("out.jsonl.*.part")
    assert len(part.read_text().splitlines()) == 24
    with part.open("a") as file:
        file.write(torn)
    session.prompts.clear()
    shown = tw(*words, "out.jsonl")
    assert shown.code == 0 and "Continuing after the 24 answers" in shown.err
    assert len(session.prompts) == ROWS - 24
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_of_two_that_write_the_same_answers_one_does(
    tw: Run, make_run: MakeRun, session: FakeSession, asking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run()
    words = ("generate", "last", "asking.jsonl", "-o")
    assert tw(*words, "whole.jsonl").code == 0
    real, meanwhile = session.request, []

    def request(*arguments: Any, **options: Any) -> Any:
        if len(meanwhile) < 2:
            meanwhile.append(None)
            meanwhile[-1] = tw(*words, "out.jsonl")
        return real(*arguments, **options)

    monkeypatch.setattr(session, "request", request)
    assert tw(*words, "out.jsonl").code == 0
    assert all(shown.code == 2 and "E524" in shown.err and "another process" in shown.err for shown in meanwhile)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_a_name_that_leaves_no_room_for_an_ending_is_written(
    tw: Run, make_run: MakeRun, session: FakeSession, asking: Path, tmp_path: Path
) -> None:
    make_run()
    for name in ("x" * 250, "é" * 126, "x" * 255):
        assert tw("generate", "last", "asking.jsonl", "-o", name).code == 0
        assert len((tmp_path / name).read_text().splitlines()) == ROWS


@pytest.mark.parametrize("change", ["run", "row", "length", "base"])
def test_answers_of_another_ask_are_not_gone_on_with(
    tw: Run, make_run: MakeRun, session: FakeSession, asking: Path, tmp_path: Path, change: str
) -> None:
    make_run()
    with pytest.MonkeyPatch.context() as cut, pytest.raises(Killed):
        killed_after(session, 2, cut)
        tw("generate", "last", "asking.jsonl", "-o", "out.jsonl")
    (part,) = tmp_path.glob("*.part")
    before = part.read_bytes()
    session.prompts.clear()
    if change == "run":
        make_run("other")
    if change == "row":
        asking.write_text(asking.read_text().replace('"row 40"', '"another"'))
    options = {"length": ("--max-new-tokens", "7"), "base": ("--with", "base")}.get(change, ())
    assert tw("generate", "last", "asking.jsonl", "-o", "out.jsonl", *options).code == 0
    assert len(session.prompts) == ROWS
    assert part.read_bytes() == before, "what the other ask left stays for it"


def test_without_a_file_answers_are_printed_as_they_come(
    tw: Run, make_run: MakeRun, session: FakeSession, asking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    with pytest.MonkeyPatch.context() as cut:
        killed_after(session, 2, cut)
        answered = api.answer_prompts(api.open_run("last"), api.prompts(asking)[0])
        with pytest.raises(Killed):
            for row in answered:
                print(row["id"])
    assert capsys.readouterr().out.split() == [str(number) for number in range(24)]


@pytest.mark.parametrize("output", [("-o", "out.jsonl"), ()])
def test_numbers_that_json_does_not_have_cost_no_answer(
    tw: Run, make_run: MakeRun, session: FakeSession, tmp_path: Path, output: tuple[str, ...]
) -> None:
    make_run()
    lines = [
        '{"prompt": "one", "x": 1e400}',
        '{"prompt": "two", "x": {"y": [-1e400, 1.5]}}',
        '{"prompt": "three", "x": 3}',
    ]
    (tmp_path / "odd.jsonl").write_text("\n".join(lines) + "\n")
    shown = tw("generate", "last", "odd.jsonl", *output)
    assert shown.code == 0
    text = (tmp_path / "out.jsonl").read_text() if output else shown.out
    values = [json.loads(line) for line in text.splitlines()[:3]]
    assert [row["x"] for row in values] == [None, {"y": [None, 1.5]}, 3]
    assert [row["answer"].splitlines()[0] for row in values] == ["tuned: one", "tuned: two", "tuned: three"]
    assert "warning W508  2 numbers of these rows" in shown.err
    record = tw("generate", "last", "odd.jsonl", "--json").json
    assert (record["rows"][0]["x"], record["warnings"][0]["code"]) == (None, "W508")


# Other words of the system


def test_a_folder_of_runs_that_is_not_there_is_said(tw: Run) -> None:
    assert "No such file" in refused(tw("runs", "list", "nowhere", "--json"), "E522")["message"]
    Path("file").write_text("")
    assert "Not a directory" in refused(tw("runs", "list", "file", "--json"), "E522")["message"]


@pytest.mark.parametrize("price", ["nan", "inf", "-inf", "1e400", "-1", "-0.01"])
def test_a_price_that_is_none_is_refused(tw: Run, model: Path, rows: Path, price: str) -> None:
    refused(tw("plan", str(model), str(rows), f"--price={price}", "--json"), "E119")


TUNEWRIGHT = [sys.executable, "-m", "tunewright"]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("redirected", "code"),
    [
        (">&-", 0),
        ("2>&-", 0),
        ("<&- >&- 2>&-", 0),
        (">/dev/full", 7),
        (">/dev/full 2>/dev/full", 7),
        (">/dev/full 2>&-", 7),
    ],
)
@pytest.mark.parametrize("words", [("explain", "E510"), ("explain", "E510", "--json")], ids=len)
def test_streams_that_are_closed_or_full_are_no_fault_of_ours(
    words: tuple[str, ...], redirected: str, code: int
) -> None:
    line = f"{shlex.join([*TUNEWRIGHT, *words])} {redirected}"
    ended = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True)
    assert ended.returncode == code
    assert "E802" not in ended.stderr and "Traceback" not in ended.stderr
    assert ("E520" in ended.stderr) == (redirected == ">/dev/full")
