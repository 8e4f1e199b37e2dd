"""Ctrl-C in a chat: it ends the whole answer, of base and tuned model, and what was written by then stays on the terminal."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sessions import finished_run, use_fake_sessions
from tests.unit.planning.conftest import facts
from tunewright import api
from tunewright.api.run_handle import Speaker
from tunewright.cli.commands import chat
from tunewright.planning.run_plan import InspectedFacts

__all__ = ["facts"]


@pytest.fixture
def run(
    tmp_path: Path, facts: Callable[..., InspectedFacts], monkeypatch: pytest.MonkeyPatch
) -> Iterator[api.TrainedRun]:
    use_fake_sessions(monkeypatch)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    trained = finished_run(tmp_path / "shop", facts())
    yield trained
    trained.session().end()


@pytest.mark.parametrize(("with_base", "writing"), [(True, "base"), (False, "tuned")])
def test_ctrl_c_ends_the_whole_answer(
    run: api.TrainedRun,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    with_base: bool,
    writing: str,
) -> None:
    talk, add, pieces = api.Conversation(run, with_base=with_base), chat._ShownAnswers.add, [0]

    def pressed_at_the_third(shown: chat._ShownAnswers, who: Speaker, piece: str) -> None:
        add(shown, who, piece)
        pieces[0] += 1
        if pieces[0] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(chat._ShownAnswers, "add", pressed_at_the_third)
    before = signal.getsignal(signal.SIGINT)
    chat._answer(talk, "slow", one_line=False)
    shown = capsys.readouterr()
    assert shown.out.split()[:3] == [writing, "on", "and"]
    assert ("tuned" in shown.out) == (writing == "tuned")
    assert shown.err.split() == ["stopped"]
    assert signal.getsignal(signal.SIGINT) is before

    chat._answer(talk, "hello", one_line=False)
    again = capsys.readouterr()
    assert "tuned says hello" in again.out and not again.err
