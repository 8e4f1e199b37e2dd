"""The live view as pure text: events in, two lines out."""

import io
from typing import Any

from tests.records import as_event
from tunewright.cli.console import Channel, plain
from tunewright.cli.progress_view import clock, frame, log_line, short, sparkline, trained_line
from tunewright.i18n import width
from tunewright.rundir.events import Event
from tunewright.rundir.run_progress import ProgressView

PHASES = {"train": "Training", "evaluate_before": "Evaluating the base model"}


def channel(columns: int | None = None, *, color: bool = False) -> Channel:
    return Channel(io.StringIO(), True, color, columns)


def log(step: int, loss: float | None = 1.92, **fields: Any) -> Event:
    return as_event({
        "kind": "log", "seq": step, "step": step, "loss": loss, "learning_rate": 1.8e-4, "grad_norm": 0.8,
        "tokens_per_second": 412.3, "eta_seconds": 190.0, "rss_bytes": 2_254_857_830, "max_steps": 120, **fields,
    })  # fmt: skip


def view_of(*events: Event) -> ProgressView:
    view = ProgressView(total_memory=24 * 2**30)
    for event in events:
        view.take([event])
    return view


BEGIN = as_event({"kind": "phase", "phase": "train", "state": "begin", "step": 0})


def test_a_log_line_is_what_programs_read() -> None:
    assert log_line(log(40)) == "step=40/120 loss=1.92 lr=1.8e-4 tok_s=412 eta=00:03:10 mem_gib=2.1"


def test_a_loss_that_is_no_number_is_still_a_line() -> None:
    assert log_line(log(40, None)).startswith("step=40/120 loss=nan ")


def test_other_kinds_have_lines_too() -> None:
    event = as_event({"kind": "eval", "step": 40, "held_out_loss": 1.31, "is_best": True, "seconds": 1.0})
    assert log_line(event) == "eval step=40 held_out_loss=1.31 best"
    assert log_line(as_event({"kind": "phase", "phase": "load", "state": "begin"})) == "phase=load begin"
    assert (
        log_line(as_event({"kind": "phase", "phase": "load", "state": "end", "seconds": 3.41}))
        == "phase=load end seconds=3.4"
    )
    assert log_line(as_event({"kind": "something new"})) == ""


def test_training_shows_bar_loss_speed_rest_memory_and_curves() -> None:
    held_out = as_event({"kind": "eval", "held_out_loss": 1.31, "step": 60, "is_best": True})
    first, second = frame(view_of(BEGIN, log(1, 3.0), log(60, 1.5), held_out), channel(200), PHASES)
    assert first == "step 60/120  ━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌  50%   412 tok/s   ETA 3:10   mem 2.1 of 24.0 GiB"
    assert second == "train 1.5 █▁   held-out 1.31 ▁   lr 1.8e-4   grad 0.8"


def test_a_busy_machine_is_why_the_end_is_late() -> None:
    first, _second = frame(view_of(BEGIN, log(60, 1.5, core_wait_share=0.41)), channel(200), PHASES)
    assert "   ETA 3:10   waits 41 % for cores   mem " in first
    narrow, _second = frame(view_of(BEGIN, log(60, 1.5, core_wait_share=0.41)), channel(80), PHASES)
    assert "   ETA 3:10   waits 41 % for cores" in narrow
    assert log_line(log(40, core_wait_share=0.41)).endswith(" mem_gib=2.1 core_wait=0.41")


def test_a_little_waiting_is_not_mentioned() -> None:
    first, _second = frame(view_of(BEGIN, log(60, 1.5, core_wait_share=0.1)), channel(200), PHASES)
    assert "   ETA 3:10   mem " in first
    assert "core_wait" not in log_line(log(40, core_wait_share=0.1))


def test_a_phase_with_progress_shows_how_far_it_is() -> None:
    progress = as_event({"kind": "progress", "phase": "evaluate_before", "done": 40, "total": 120, "step": 0})
    assert frame(view_of(progress), channel(80), PHASES) == ["Evaluating the base model  ━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌ 40/120"]


def test_before_the_first_event_something_is_shown() -> None:
    assert frame(ProgressView(), channel(80), PHASES) == ["Starting"]


def test_the_lines_fit_into_a_narrow_terminal() -> None:
    lines = frame(view_of(BEGIN, *(log(i, 3 / i) for i in range(1, 60))), channel(60, color=True), PHASES)
    assert all(width(plain(line)) <= 60 for line in lines)


def test_an_unknown_kind_is_left_alone() -> None:
    assert view_of(log(3), as_event({"kind": "remedy", "step": 0})).step == 3


def test_what_a_resumed_run_does_again_replaces_what_it_did_before() -> None:
    view = view_of(
        log(1, 3.0), log(2, 2.0), log(3, 1.9), as_event({"kind": "note", "text": "resumed", "step": 0}), log(3, 1.0)
    )
    assert list(view.losses.values) == [3.0, 2.0, 1.0]
    assert view.step == 3


def test_a_sparkline_has_the_means_of_neighbours() -> None:
    assert sparkline([]) == ""
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1]) == "█▇▆▅▄▃▂▁"
    assert sparkline([float(i) for i in range(1000)], 4) == "▁▃▆█"


def test_what_stays_of_training_is_one_line() -> None:
    line = trained_line(view_of(BEGIN, log(1, 2.63), log(120, 0.01)), channel(), 144.0)
    assert line == "━━━━━━━━━━━━━━━━━━━━ 120/120   loss 2.63 █▁ 0.01   2:24"


def test_numbers_are_short() -> None:
    assert [short(x) for x in (1.918, 412.3, 1.8e-4, 0.0, 0.0012, None)] == [
        "1.92",
        "412",
        "1.8e-4",
        "0",
        "0.0012",
        "nan",
    ]
    assert [clock(s) for s in (None, 281.2, 3723)] == ["?", "4:41", "1:02:03"]


def test_a_terminal_of_80_columns_keeps_the_memory() -> None:
    for steps in (120, 16_000):
        lines = frame(view_of(BEGIN, log(steps // 2, max_steps=steps)), channel(80), PHASES)
        assert "mem 2.1 of 24.0 GiB" in lines[0] and "50%" in lines[0]
        assert width(lines[0]) <= 80
