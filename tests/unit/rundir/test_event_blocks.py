"""Events are read some at once: what comes of them is what comes of each line on its own, and what is wrong is told where it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunewright.errors import Problem, TrainingError
from tunewright.rundir import record_reader
from tunewright.rundir.event_log import Tail, read_events
from tunewright.rundir.events import KINDS, Event, LogEvent, parse_event, parse_known
from tunewright.rundir.record_reader import event_of

HEAD = {"schema": 1, "seq": 3, "t": 1.5, "step": 2}
LOG = {"kind": "log", "loss": 1.0, "learning_rate": 1e-4, "tokens_per_second": None, "eta_seconds": 3, "rss_bytes": 5}
RECORDS: list[dict[str, Any]] = [
    {"kind": "phase", "phase": "train", "state": "begin"},
    {"kind": "phase", "phase": "train", "state": "end", "seconds": 2.5},
    {"kind": "progress", "phase": "train", "done": 1, "total": 3},
    LOG,
    {"kind": "eval", "held_out_loss": 1.5, "is_best": True},
    {"kind": "score", "which": "after", "scores": {"a": 1, "b": None}, "rows": 1, "held_out_rows": 1, "seconds": 1.0},
    {"kind": "checkpoint", "path": "checkpoints/checkpoint-2"},
    {"kind": "note", "text": '\u4f60 " \\ \u2028'},
    {"kind": "alert", "problem": Problem("E210", values={"path": "rows.jsonl"}).to_record()},
    {"kind": "done", "result": {"before": {"exact_match": 1.0}, "rows": 2}},
    {"kind": "failed", "problems": [], "exit_code": 3},
]
LINES = [json.dumps(HEAD | record, ensure_ascii=False).encode() for record in RECORDS]
NEWER = json.dumps(HEAD | {"kind": "remedy", "text": "of a newer version"}).encode()
DAMAGED = [
    b"7",
    b"[]",
    b"text",
    b'{"schema": 1}',
    b'{"schema": 1, "a": 1}, {"schema": 1, "a": 1}',
    json.dumps(HEAD | LOG | {"rss_bytes": -1}).encode(),
    json.dumps(HEAD | LOG | {"loss": "1"}).encode(),
    json.dumps(HEAD | LOG | {"of_a_newer_version": float("nan")}).encode(),
    json.dumps(HEAD | LOG | {"of_a_newer_version": -float("inf")}).encode(),
    json.dumps(HEAD | LOG | {"loss": float("inf")}).encode(),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def test_every_kind_is_read_at_once_as_it_is_read_alone() -> None:
    assert {record["kind"] for record in RECORDS} == set(KINDS)
    for record, line, event in zip(RECORDS, LINES, parse_known(LINES), strict=True):
        alone = parse_event(HEAD | record)
        assert (type(event), event) == (type(alone), alone) and event == event_of(line)


@pytest.mark.parametrize("size", [1, 40, 300, 2**15])
def test_events_are_the_same_wherever_a_block_ends(path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_reader, "BLOCK_BYTES", size)
    torn = [b"", b'{"schema": 1, "se', b"\x00" * 9, b'{"schema": 1, "se' + LINES[3], LINES[4] + b"\x00\x00"]
    lines = [*LINES, NEWER, *LINES, *torn, *LINES, NEWER]
    path.write_bytes(b"\n".join([*lines, b'{"schema": 1, "seq"']))
    alone = [event for line in lines if (event := event_of(line))]
    assert read_events(path) == alone and len(alone) == 3 * len(LINES) + 4
    assert [type(event) for event in read_events(path)] == [type(event) for event in alone]
    tail = Tail(path)
    assert tail.read() == alone and tail.position == sum(len(line) + 1 for line in lines)


@pytest.mark.parametrize("line", DAMAGED)
@pytest.mark.parametrize("before", [0, 1, 500])
def test_a_damaged_line_is_told_by_its_number_after_the_events_before_it(path: Path, line: bytes, before: int) -> None:
    lines = (LINES * 50)[:before]
    path.write_bytes(b"\n".join([*lines, line, *LINES, b""]))
    tail, seen = Tail(path), list[Event]()
    with pytest.raises(TrainingError) as raised:
        seen.extend(tail.each())
    problem = raised.value.problems[0]
    assert (problem.code, problem.where.file, problem.where.line) == ("E525", str(path), before + 1)
    assert len(seen) == before and tail.position == sum(len(whole) + 1 for whole in lines)


def test_what_a_newer_version_logs_is_no_fault(path: Path) -> None:
    path.write_bytes(json.dumps(HEAD | LOG | {"of_a_newer_version": [1, {"a": "b"}]}).encode() + b"\n" + NEWER + b"\n")
    log, other = read_events(path)
    assert isinstance(log, LogEvent) and log.rss_bytes == 5
    assert type(other) is Event and other.kind == "remedy"
