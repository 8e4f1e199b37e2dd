"""Following a run: lines in a pipe, drawing in a terminal, Ctrl-C, and how it ended."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tunewright import api
from tunewright.cli import live_display
from tunewright.errors import Problem
from tunewright.rundir.run_dir import RunDir

MakeRun = Callable[..., api.TrainedRun]
STOPPED = Problem("E507", values={"step": 4, "name": "mita"})


def test_a_pipe_gets_one_line_a_step_and_no_escape_codes(tw, make_run: MakeRun) -> None:
    run = make_run()
    shown = tw("runs", "watch", run.name)
    assert shown.code == 0
    assert "step=4/4 loss=0.5 lr=1.8e-4 tok_s=412 eta=00:03:06 mem_gib=2.1" in shown.err.splitlines()
    assert "eval step=4 held_out_loss=0.5 best" in shown.err.splitlines()
    assert "phase=evaluate_before end seconds=2.5" in shown.err.splitlines()
    assert "notice D301  held-out loss has not improved" in shown.err
    assert "\x1b" not in shown.err + shown.out
    assert "Answers exactly right" in shown.out


def test_a_run_that_failed_shows_why_where_the_log_is_and_its_exit_code(make_run: MakeRun, capsys: Any) -> None:
    values = {
        "what": "the loss",
        "value": "nan",
        "step": 12,
        "learning_rate": "5e-2",
        "config": "config.yaml",
        "lower": "1e-4",
    }
    problem = Problem("E501", values=values)
    run = make_run(state="failed", problem=problem)
    assert live_display.see_through(run) == 10
    shown = capsys.readouterr().err
    assert "error E501  the loss became nan at step 12" in shown
    assert f"log: runs/{run.name}/log.txt" in shown


def test_a_stopped_run_says_how_to_go_on(make_run: MakeRun, capsys: Any) -> None:
    run = make_run(state="stopped", problem=STOPPED)
    assert live_display.see_through(run) == 143
    assert f"Saved checkpoint 4. Continue with:  tunewright runs resume {run.name}" in capsys.readouterr().err


def test_a_lost_run_says_so(make_run: MakeRun, capsys: Any) -> None:
    run = make_run()
    run.dir.update_info(state="running", parent=None, created=0)
    events = run.dir.file("events.jsonl")
    events.write_text("".join(line for line in events.read_text().splitlines(True) if '"done"' not in line))
    assert live_display.see_through(run) == 1
    assert f"tunewright runs resume {run.name}" in capsys.readouterr().err


class InterruptedRun:
    """A run that goes on until it has been asked to stop often enough."""

    def __init__(
        self, run: api.TrainedRun, monkeypatch: pytest.MonkeyPatch, *, presses: int, number: int = signal.SIGINT
    ) -> None:
        self.run, self.presses, self.number = run, presses, number
        self.stops: list[bool] = []
        events = run.dir.read_events()[:-1]
        run.dir.update_info(state="running", parent={"pid": os.getpid(), "started": 0})
        monkeypatch.setattr(api, "follow", lambda of: self.follow(events))
        monkeypatch.setattr(api.TrainedRun, "stop", lambda of, now=False: self.stop(now))

    def stop(self, now: bool) -> bool:
        self.stops.append(now)
        return True

    def follow(self, events: list[dict[str, Any]]) -> Iterator[dict[str, Any] | None]:
        yield from events
        for _press in range(self.presses):
            signal.raise_signal(self.number)
            yield None
        self.run.dir.update_info(state="stopped", exit_code=143, problems=[STOPPED.to_record()])


def test_the_first_ctrl_c_asks_for_a_checkpoint_and_follows_to_the_end(
    make_run: MakeRun, monkeypatch: Any, capsys: Any
) -> None:
    run = make_run()
    interrupted = InterruptedRun(run, monkeypatch, presses=1)
    before = signal.getsignal(signal.SIGINT)  # ignored where the tests run in the background of a shell
    assert live_display.see_through(run) == 130
    assert interrupted.stops == [False]
    assert "a checkpoint is being saved" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_ctrl_c_ends_it_at_once(make_run: MakeRun, monkeypatch: Any) -> None:
    run = make_run()
    interrupted = InterruptedRun(run, monkeypatch, presses=2)
    assert live_display.see_through(run) == 130
    assert interrupted.stops == [False, True]


def test_sigterm_takes_the_same_path(make_run: MakeRun, monkeypatch: Any) -> None:
    run = make_run()
    interrupted = InterruptedRun(run, monkeypatch, presses=1, number=signal.SIGTERM)
    assert live_display.see_through(run) == 143
    assert interrupted.stops == [False]


def test_a_stop_waits_for_nobody_as_it_lies_in_the_folder_until_it_is_read(make_run: MakeRun, monkeypatch: Any) -> None:
    run = make_run()
    interrupted = InterruptedRun(run, monkeypatch, presses=1)
    run.dir.update_info(parent=None)
    assert live_display.see_through(run) == 130
    assert interrupted.stops == [False]


def test_ctrl_c_in_watch_leaves_only_the_view(tw, make_run: MakeRun, monkeypatch: Any) -> None:
    run = make_run()

    def follow(of: RunDir) -> Iterator[None]:
        yield None
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "follow", follow)
    monkeypatch.setattr(api.TrainedRun, "stop", lambda of, now=False: pytest.fail("the run was stopped"))
    shown = tw("runs", "watch", run.name)
    assert shown.code == 0
    assert "the run goes on" in shown.err


def test_a_failure_is_json_where_json_was_asked_for(tw, make_run: MakeRun) -> None:
    problem = Problem("E404", values={"step": 3, "reason": "no room", "name": "mita"})
    run = make_run(state="failed", problem=problem)
    shown = tw("runs", "watch", run.name, "--json")
    assert shown.code == 10
    assert shown.json["problems"][0]["code"] == "E404"
    assert json.loads(shown.err.splitlines()[-1])["error"]["code"] == "E404"
    assert "error E404" not in shown.err


def test_what_is_known_already_is_not_said_again(make_run: MakeRun, capsys: Any) -> None:
    run = make_run()
    last = run.dir.read_events()[-1].seq
    assert live_display.see_through(run, after=last) == 0
    assert "step=" not in capsys.readouterr().err


def test_verbose_shows_what_libraries_print_made_harmless(make_run: MakeRun, capsys: Any) -> None:
    live_display.see_through(make_run(), is_verbose=True)
    assert "transformers says \\x1b[31mhello" in capsys.readouterr().err


@pytest.mark.processes
def test_a_terminal_gets_a_view_that_is_drawn_and_lines_that_stay(make_run: MakeRun) -> None:
    run = make_run()
    shown = _in_terminal("runs", "watch", run.name, COLUMNS="80")
    assert "Before" in shown
    assert "0 of 4 held-out answers exactly right" in shown
    assert "4/4   loss 2 " in shown
    assert "notice" in shown
    assert "\x1b[" in shown


@pytest.mark.processes
def test_a_terminal_without_colour_gets_none(make_run: MakeRun) -> None:
    run = make_run()
    shown = _in_terminal("runs", "watch", run.name, NO_COLOR="1")
    assert "\x1b[31" not in shown
    assert "\x1b[2m" not in shown


def _in_terminal(*words: str, **environment: str) -> str:
    """What a command writes into a terminal of its own."""
    leader, follower = pty.openpty()
    argv = [sys.executable, "-m", "tunewright", *words]
    process = subprocess.Popen(
        argv,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    os.close(follower)
    written = b""
    while select.select([leader], [], [], 60)[0]:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        written += chunk
    os.close(leader)
    assert process.wait(60) == 0
    return written.decode()
