"""Chats: one question at a time, ended from elsewhere, a model that comes when it is needed and goes when nobody asks."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sessions import finished_run, use_fake_sessions
from tests.unit.planning.conftest import facts
from tunewright.api import Chat, Chats, Conversation, TrainedRun
from tunewright.api.run_handle import Speaker
from tunewright.errors import TrainingError, TunewrightError
from tunewright.extras.session_requests import ReplyRequest, ReplyResult
from tunewright.planning.run_plan import InspectedFacts
from tunewright.rundir.file_names import EVENTS
from tunewright.rundir.session_protocol import Sampling

__all__ = ["facts"]
PATIENCE = 20.0
GREEDY: Sampling = {"temperature": 0.0, "top_p": 1.0, "seed": None, "stop": ()}


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def starts(run: TrainedRun) -> int:
    return len((run.path / "starts").read_text().splitlines())


@pytest.fixture
def run(tmp_path: Path, facts: Callable[..., InspectedFacts], monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainedRun]:
    use_fake_sessions(monkeypatch)
    trained = finished_run(tmp_path / "shop", facts())
    yield trained
    trained.session().end()


@pytest.fixture
def chat(run: TrainedRun) -> Iterator[Chat]:
    chat = Chat(run)
    yield chat
    chat.end()


def test_both_models_answer_and_the_pieces_can_be_read_by_who_said_them(chat: Chat) -> None:
    exchange = chat.ask("hello", with_base=True)
    exchange.wait()
    assert (exchange.text("base"), exchange.text("tuned")) == ("base says hello", "tuned says hello")
    assert exchange.seconds is not None
    assert chat.rss_bytes == 640 * 2**20
    assert chat.state == "ready"


def test_an_earlier_turn_is_remembered_and_a_question_without_an_answer_is_not(chat: Chat) -> None:
    chat.ask("one", with_base=False).wait()
    chat.ask("refuse", with_base=False).wait()
    assert [problem.code for problem in chat.exchanges[-1].problems] == ["E647"]
    chat.ask("two", with_base=False).wait()
    assert chat._talk is not None
    assert [turn["content"] for turn in chat._talk.turns] == ["one", "tuned says one", "two", "tuned says two"]
    chat.forget()
    assert chat.exchanges == []


def test_while_one_is_answered_another_is_told_that_the_model_is_busy(chat: Chat) -> None:
    slow = chat.ask("slow", with_base=False)
    until(lambda: bool(slow.text("tuned")))
    for refused in (lambda: chat.ask("hello", with_base=False), chat.load, chat.unload, chat.forget):
        with pytest.raises(TrainingError, match="E541"):
            refused()
    with pytest.raises(TrainingError, match="E541"):
        chat.run.load()
    assert chat.state == "busy"
    chat.cancel()
    slow.wait()
    assert chat.exchanges == [slow]
    assert set(slow.text("tuned").split()) == {"on", "and"}


def test_an_answer_is_ended_from_another_thread_and_what_there_is_of_it_stays(chat: Chat) -> None:
    slow = chat.ask("slow", with_base=False)
    until(lambda: bool(slow.text("tuned")))
    chat.cancel()
    slow.wait()
    assert slow.is_cancelled and slow.text("tuned")
    assert not slow.problems
    chat.ask("hello", with_base=False).wait()
    assert chat.exchanges[-1].text("tuned") == "tuned says hello"
    assert starts(chat.run) == 1


def test_an_end_while_the_base_writes_ends_the_whole_answer(chat: Chat) -> None:
    slow = chat.ask("slow", with_base=True)
    until(lambda: bool(slow.text("base")))
    chat.cancel()
    slow.wait()
    assert set(slow.text("base").split()) == {"on", "and"}
    assert {who for who, _piece in slow.pieces} == {"base"}
    chat.ask("hello", with_base=True).wait()
    assert chat.exchanges[-1].text("tuned") == "tuned says hello"
    assert chat._talk is not None
    assert [turn["content"] for turn in chat._talk.turns] == ["hello", "tuned says hello"]
    assert starts(chat.run) == 1


def test_an_end_that_comes_before_the_answer_begins_is_not_lost(run: TrainedRun) -> None:
    talk = Conversation(run, with_base=True)
    heard: list[str] = []

    def hear(who: Speaker, piece: str) -> None:
        heard.append(who)
        if len(heard) == 1:  # the worker has not written yet
            talk.stop()

    answers = talk.ask("slow", hear)
    assert talk.is_stopped and set(heard) == {"base"} == set(answers)
    assert talk.ask("hello") == {"base": "base says hello", "tuned": "tuned says hello"} and not talk.is_stopped


def test_a_model_that_is_being_loaded_is_given_up(chat: Chat) -> None:
    (chat.run.path / "long-load").touch()
    chat.load()
    until((chat.run.path / "starts").exists)
    assert chat.state == "loading"
    chat.cancel()
    until(lambda: not chat.is_working)
    assert chat.load_problems == ()
    assert chat.state == "away"


def test_an_answer_that_takes_too_long_is_ended(run: TrainedRun) -> None:
    chat = Chat(run, limit_seconds=0.1)
    chat.load()
    until(lambda: chat.state == "ready")
    slow = chat.ask("slow", with_base=False)
    slow.wait()
    assert slow.is_late and slow.text("tuned")
    both = chat.ask("slow", with_base=True)
    both.wait()
    assert both.is_late and both.text("base") and {who for who, _piece in both.pieces} == {"base"}
    chat.end()


def test_a_process_that_heeds_nothing_is_ended_after_a_grace(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunewright.api.chats.GRACE_SECONDS", 0.5)
    chat = Chat(run, limit_seconds=1.0)
    chat.load()
    until(lambda: chat.state == "ready")
    for question in ("hang", "deaf"):
        exchange = chat.ask(question, with_base=False)
        exchange.wait()
        assert exchange.is_late
        assert [problem.code for problem in exchange.problems] == ["E506"]
    assert chat.state == "away"
    chat.end()


def test_a_process_that_died_is_a_message_and_the_next_question_starts_another(chat: Chat) -> None:
    dead = chat.ask("die", with_base=False)
    dead.wait()
    assert [problem.code for problem in dead.problems] == ["E506"]
    chat.ask("hello", with_base=False).wait()
    assert chat.exchanges[-1].text("tuned") == "tuned says hello"
    assert starts(chat.run) == 2


def test_why_a_model_cannot_be_loaded_is_kept(chat: Chat) -> None:
    (chat.run.path / "no-load").touch()
    chat.load()
    until(lambda: not chat.is_working)
    assert [problem.code for problem in chat.load_problems] == ["E404"]
    assert chat.rss_bytes is None


def test_the_memory_is_given_back_when_nobody_asks(run: TrainedRun) -> None:
    chat = Chat(run, idle_seconds=0.2)
    chat.ask("hello", with_base=False).wait()
    until(lambda: chat.state == "away")
    assert chat.rss_bytes is None
    chat.ask("again", with_base=False).wait()
    assert starts(run) == 2
    chat.end()


def test_of_all_chats_one_holds_its_model(
    run: TrainedRun, tmp_path: Path, facts: Callable[..., InspectedFacts]
) -> None:
    other, chats = finished_run(tmp_path / "other", facts()), Chats()
    chats.ask(run, "hello", with_base=False).wait()
    slow = chats.ask(other, "slow", with_base=False)
    assert chats.of(run).state == "away"
    until(lambda: bool(slow.text("tuned")))
    with pytest.raises(TrainingError, match=r"E541.*other"):
        chats.load(run)
    chats.close()
    slow.wait()
    assert chats.of(other).state == "away"


@pytest.mark.parametrize(("task", "question"), [("seq_cls", "where is my money"), ("token_cls", "two mugs to Oslo")])
def test_labels_come_with_their_probabilities(
    tmp_path: Path, facts: Callable[..., InspectedFacts], monkeypatch: pytest.MonkeyPatch, task: str, question: str
) -> None:
    use_fake_sessions(monkeypatch)
    chat = Chat(finished_run(tmp_path / "labels", facts(), task=task))
    exchange = chat.ask(question, with_base=True)
    exchange.wait()
    chat.end()
    assert not exchange.problems
    assert exchange.labelled is not None
    if task == "seq_cls":
        assert exchange.labelled.probabilities == (("refund", 0.7), ("track", 0.2), ("order", 0.1))
        assert exchange.labelled.assigned == ("refund",)
    else:
        assert exchange.labelled.words == ("two", "mugs", "to", "Oslo")
        assert exchange.labelled.assigned == ("O",) * 4


def test_what_loading_takes_is_known_before_by_the_plan_and_then_by_the_run(run: TrainedRun) -> None:
    planned = run.loading()
    assert planned.peak_bytes == run.plan.memory.phases["load"]
    assert not planned.is_measured
    assert planned.seconds == (run.plan.time.parts["load"] if run.plan.time else None)
    line = (
        '{"schema": 1, "seq": 0, "t": 1.0, "step": 0, "kind": "phase", "phase": "load", "state": "end", "seconds": 7.5}'
    )
    (run.path / EVENTS).write_text(line + "\n")
    assert (run.loading().seconds, run.loading().is_measured) == (7.5, True)


def test_a_run_without_an_adapter_is_refused(run: TrainedRun) -> None:
    (run.adapter / "adapter_config.json").unlink()
    with pytest.raises(TunewrightError, match="E116"):
        run.load()


def test_a_question_that_was_interrupted_leaves_nothing_for_the_next(run: TrainedRun) -> None:
    talk = Conversation(run)

    def pressed(_who: Speaker, _piece: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        talk.ask("slow", pressed)
    assert run.session().state == "away"
    assert talk.ask("two", lambda _who, _piece: None)["tuned"] == "tuned says two"


def test_a_session_whose_answer_nobody_read_ends(run: TrainedRun) -> None:
    """Its pipe is full, and it would wait for ever for a reader."""

    def pressed(_piece: str) -> None:
        raise KeyboardInterrupt

    request = ReplyRequest([{"role": "user", "content": "much"}], 9, GREEDY)
    with pytest.raises(KeyboardInterrupt), run.session() as session:
        session.request(request, ReplyResult, on_text=pressed)
    assert session.state == "away"
