"""Folders of data from strangers: nothing in them leads out, goes round in circles, or waits for what never comes."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile import TRIED
from tunewright.data.files.readers import read_rows
from tunewright.errors import TunewrightError
from tunewright.security import paths

ROW = '{"prompt": "a", "completion": "b"}\n'
Spoil = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "rows.jsonl").write_text('{"prompt": "secret", "completion": "b"}\n')
    data = tmp_path / "data"
    (data / "train").mkdir(parents=True)
    (data / "train" / "rows.jsonl").write_text(ROW)
    return data


def link(name: str, target: str) -> Spoil:
    return lambda folder: (folder / name).symlink_to(target)


LEAD_OUT: dict[str, Spoil] = {
    "to a file": link("z.jsonl", "../secret/rows.jsonl"),
    "to a file, deeper": link("train/z.jsonl", "../../secret/rows.jsonl"),
    "to a folder": link("validation", "../secret"),
    "to a folder, deeper": link("train/more", "../../secret"),
    "to the root": link("train/more", "/"),
    "to this process": link("z.txt", "/proc/self/environ"),
    "to all processes": link("validation", "/proc"),
    "to a device": link("z.txt", "/dev/zero"),
    "to nowhere outside": link("z.jsonl", "/nowhere/rows.jsonl"),
    "by way of another": lambda folder: (link("a.jsonl", "b.jsonl")(folder), link("b.jsonl", "/etc/hosts")(folder)),
}


def bound(folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)  # names of sockets must be short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("z.jsonl")
    finally:
        os.chdir(before)


def deep(folder: Path) -> None:
    for _ in range(40):
        folder = folder / "deep"
        folder.mkdir()
    (folder / "rows.jsonl").write_text(ROW)


NO_ROWS: dict[str, Spoil] = {
    "a link to itself": link("z.jsonl", "z.jsonl"),
    "two links to each other": lambda folder: (link("a.jsonl", "b.jsonl")(folder), link("b.jsonl", "a.jsonl")(folder)),
    "a link to nowhere": link("z.jsonl", "nowhere.jsonl"),
    "a link to the folder above": link("train/up", ".."),
    "a link to its own folder": link("train/here", "."),
    "folders that link to each other": lambda folder: (
        (folder / "test").mkdir(), link("train/x", "../test")(folder), link("test/y", "../train")(folder)
    ),
    "a pipe": lambda folder: os.mkfifo(folder / "z.jsonl"),
    "a pipe, deeper": lambda folder: os.mkfifo(folder / "train" / "z.jsonl"),
    "a socket": bound,
    "folders without end": deep,
}  # fmt: skip


@pytest.mark.parametrize("kind", LEAD_OUT)
def test_a_link_that_leads_out_is_refused(folder: Path, kind: str) -> None:
    LEAD_OUT[kind](folder)
    with pytest.raises(TunewrightError, match="E315"):
        read_rows(str(folder))
    TRIED["data folders"] += 1


@pytest.mark.parametrize("kind", NO_ROWS)
def test_what_is_called_rows_and_is_none_is_refused(folder: Path, kind: str) -> None:
    NO_ROWS[kind](folder)
    with pytest.raises(TunewrightError, match="E262") as caught:
        read_rows(str(folder))
    assert len(caught.value.problems) == 1
    TRIED["data folders"] += 1


@pytest.mark.parametrize("name", [".z.jsonl", ".git/z.jsonl", "train/.z.jsonl", "~$z.jsonl"])
def test_what_is_hidden_is_not_opened(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to("/etc/hosts")
    assert [row.value["prompt"] for row in read_rows(str(folder)).rows] == ["a"]
    TRIED["data folders"] += 1


def test_links_inside_a_folder_and_a_file_that_was_named_itself_work(folder: Path, tmp_path: Path) -> None:
    link("train/again.jsonl", "rows.jsonl")(folder)
    assert len(read_rows(str(folder)).rows) == 2
    (tmp_path / "link.jsonl").symlink_to("secret/rows.jsonl")
    assert [row.value["prompt"] for row in read_rows(str(tmp_path / "link.jsonl")).rows] == ["secret"]
    (tmp_path / "link").symlink_to(folder)
    assert len(read_rows(str(tmp_path / "link")).rows) == 2


@pytest.mark.parametrize("path", ["z.jsonl", "/dev/null", "/dev/stdin", "circle.jsonl"])
def test_a_pipe_or_device_that_was_named_is_told_as_that(tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "z.jsonl")
    (tmp_path / "circle.jsonl").symlink_to("circle.jsonl")
    named = tmp_path / path
    if named.exists() or named.is_symlink():
        with pytest.raises(TunewrightError, match=r"E262|E202"):
            read_rows(str(named))
    TRIED["data folders"] += 1


def test_of_many_files_each_is_looked_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = []
    real = os.path.realpath

    def counted(path: str | Path) -> str:
        resolved.append(str(path))
        return real(path)

    monkeypatch.setattr(paths.os.path, "realpath", counted)
    for number in range(300):
        (folder / "train" / f"{number}.jsonl").write_text(ROW)
    assert len(read_rows(str(folder)).rows) == 301
    assert resolved == []


def test_a_conversation_of_very_many_turns_is_refused_before_it_is_written(tmp_path: Path) -> None:
    from tunewright.data.examples.messages import MOST_TURNS, read_turns
    from tunewright.data.examples.row_cells import RowReport
    from tunewright.data.files.readers import RawRow

    turns = [{"role": ("user", "assistant")[i % 2], "content": "x"} for i in range(MOST_TURNS + 1)]
    report = RowReport(RawRow(1, "a.jsonl", 1, {"messages": turns}), {"messages": "messages"})
    assert len(list(read_turns(json.dumps(turns[:-1]), "messages", report))) == MOST_TURNS and not report.problems
    assert list(read_turns(turns, "messages", report)) == []
    assert [problem.code for problem in report.problems] == ["E263"]
