"""Runs of any length: counted, not timed. What is held and what is drawn does not grow with the number of events."""

import json
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.records import event
from tunewright.report.loss_charts import smooth
from tunewright.rundir import event_log, file_names, record_reader, run_dir
from tunewright.rundir.curves import Curves, RunCurve
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.run_history import MOST_SAID, RunHistory, read_history


def write_events(run: RunDir, count: int) -> None:
    log = {"loss": 1.0, "learning_rate": 1e-4, "tokens_per_second": 9.0, "eta_seconds": 1.0}
    with run.file(file_names.EVENTS).open("w") as file:
        for step in range(count):
            head = {"schema": 1, "seq": step, "t": 1.5 + step, "step": step}
            file.write(json.dumps(head | {"kind": "log", "rss_bytes": step} | log) + "\n")
            file.write(json.dumps(head | {"kind": "note", "text": f"note {step}"}) + "\n")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return run_dir.create(tmp_path / "run", "run")


@pytest.mark.parametrize("count", [50, 1_000, 10_000])
def test_a_history_holds_as_much_of_a_long_run_as_of_a_short_one(run: RunDir, count: int) -> None:
    write_events(run, count)
    history = read_history(run, most=100)
    logs = history.curves.logs.events
    assert len(logs) <= 200 and logs[-1].step == count - 1
    gaps = {after.step - before.step for before, after in pairwise(logs[:-1])}
    assert len(gaps) == 1
    assert (history.peak_bytes, history.notes.count) == (count - 1, count)
    assert len(history.notes.last) == min(MOST_SAID, count) and history.notes.last[-1].text == f"note {count - 1}"


def test_the_state_is_read_from_the_end(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    write_events(run, 5_000)
    read = 0

    def counting(line: bytes) -> Any:
        nonlocal read
        read += 1
        return record_reader.event_of(line)

    monkeypatch.setattr(event_log, "event_of", counting)
    last = run.last_event()
    assert last and last.text == "note 4999" and read == 1
    run.events.write("note", text="more")
    assert read == 2 and run.read_events()[-1].seq == 5_000


def test_a_tail_reads_every_line_once(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    tail, read, parse_known = run.tail(), 0, record_reader.parse_known

    def counting(lines: list[bytes]) -> Any:
        nonlocal read
        read += len(lines)
        return parse_known(lines)

    monkeypatch.setattr(record_reader, "parse_known", counting)
    for number in range(100):
        run.events.write("note", text=str(number))
        assert [event.text for event in tail.read()] == [str(number)]
    assert read == 100


def test_a_thinned_curve_takes_back_what_a_resumed_run_does_again() -> None:
    curve: RunCurve[Any] = RunCurve(most=10)
    for step in range(100):
        curve.add(event("log", step=step, loss=1.0))
    curve.drop_from(50)
    assert curve.events[-1].step < 50
    for step in range(50, 120):
        curve.add(event("log", step=step, loss=2.0))
    assert len(curve.events) <= 20 and (curve.events[-1].step, curve.events[-1].loss) == (119, 2.0)
    steps = [log.step for log in curve.events]
    assert steps == sorted(set(steps)) and all((log.loss == 1.0) == (log.step < 50) for log in curve.events)


@pytest.mark.parametrize("most", [1, 3, 10])
def test_curves_are_the_same_however_many_events_come_at_once(most: int) -> None:
    random = Random(most)
    steps = [
        *range(1, 90),
        *range(40, 130),
        60,
        60,
        *range(61, 64),
        *range(200, 260),
    ]  # resumed, twice the same, gone back
    events = [event("log", step=step, loss=float(number)) for number, step in enumerate(steps)]
    for number in range(0, len(events), 7):
        events.insert(number, event("eval", step=events[number].step, held_out_loss=float(number)))
    one_by_one = RunHistory(Curves(most))
    for single in events:
        one_by_one.take([single])
    assert len(one_by_one.curves.logs.events) <= 2 * most
    for _try in range(20):
        blocks, rest = RunHistory(Curves(most)), events
        while rest:
            size = random.randint(1, 50)
            blocks.take(rest[:size])
            rest = rest[size:]
        assert blocks == one_by_one


def test_short_curves_are_whole() -> None:
    curves = Curves()
    for step in range(1, 500):
        curves.take(event("log", step=step, loss=1.0))
    assert [log.step for log in curves.logs.events] == list(range(1, 500))


def test_smoothing_is_the_mean_around_each_point_and_reads_each_once() -> None:
    class Counted(list[float]):
        reads = 0

        def __iter__(self) -> Any:
            self.reads += len(self)
            return super().__iter__()

        def __getitem__(self, key: Any) -> Any:
            self.reads += 1
            return super().__getitem__(key)

    values = Counted(float(number % 7) for number in range(4000))
    smoothed = smooth(values)
    assert values.reads <= 3 * 4000
    assert smoothed[2000] == pytest.approx(sum(float(n % 7) for n in range(1900, 2101)) / 201)
    assert smooth([1.0, None, 3.0]) == [1.0, 2.0, 3.0]
