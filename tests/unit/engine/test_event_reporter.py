"""The reporter of a worker: events, at most one a second, and an end where a stop was requested."""

import json
from pathlib import Path

import pytest

from tunewright.engine.training import event_reporter
from tunewright.engine.training.callbacks import StopFlag
from tunewright.engine.training.event_reporter import EventReporter
from tunewright.errors import TrainingError
from tunewright.rundir.event_log import EventLog


def test_progress_is_an_event_at_most_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [10.0]
    monkeypatch.setattr(event_reporter.time, "monotonic", lambda: clock[0])
    events = EventLog(tmp_path / "events.jsonl")
    reporter = EventReporter("shop", "evaluate_before", StopFlag(), events)
    reporter.last = clock[0]
    for seconds, done in ((10.5, 1), (11.0, 2), (11.5, 3), (12.0, 4)):
        clock[0] = seconds
        reporter.progress(done, 4)
    reporter.note("cut")
    rows = [
        {name: event.get(name) for name in ("kind", "phase", "done", "total", "text")}
        for event in map(json.loads, events.path.read_text().splitlines())
    ]
    progress = {"kind": "progress", "phase": "evaluate_before", "total": 4, "text": None}
    assert rows == [
        {**progress, "done": 2},
        {**progress, "done": 4},
        {"kind": "note", "phase": None, "done": None, "total": None, "text": "cut"},
    ]


def test_a_stopped_run_ends_where_it_reports(tmp_path: Path) -> None:
    stop = StopFlag()
    stop.signal = 2
    with pytest.raises(TrainingError, match="E507"):
        EventReporter("shop", "prepare", stop, EventLog(tmp_path / "events.jsonl")).progress(1, 4)
