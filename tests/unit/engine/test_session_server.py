"""The session's loop: requests in, replies out, and when the model is loaded again."""

import gc
import io
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tunewright.engine import session_server
from tunewright.engine.session_server import Operation, Operations, by_name, serve
from tunewright.errors import error
from tunewright.rundir.run_dir import RunDir
from tunewright.rundir.session_protocol import (
    AnswerRequest,
    AnswerResult,
    ErrorReply,
    MergeRequest,
    MergeResult,
    ProgressReply,
    Reply,
    ResultReply,
    Send,
    SessionRequest,
    SessionResult,
)

ANSWER = AnswerRequest([[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]], 8, with_base=False)


@dataclass(frozen=True)
class FailRequest(SessionRequest):
    """An operation that fails."""

    do = "fail"
    what: str


class Model:
    """Refers to itself, as modules do."""

    def __init__(self) -> None:
        self.itself = self

    def merge(self, request: MergeRequest) -> MergeResult:
        return MergeResult("merged", bytes=1, prompts=1, equal=1, max_logit_difference=0.0)


class Session:
    """Counts how often it was loaded."""

    def __init__(self) -> None:
        self.loads = 0
        self.replies: list[Reply] = []

    def load(self, run: RunDir, send: Send) -> Operations:
        self.loads += 1

        def answer(request: AnswerRequest) -> AnswerResult:
            send(ProgressReply(1, len(request.prompts)))
            return AnswerResult([turns[-1]["content"].upper() for turns in request.prompts])

        def fail(request: FailRequest) -> SessionResult:
            faults = {"known": error("E219", reason="no"), "disk": OSError(28, "full"), "bug": ZeroDivisionError("0")}
            raise faults[request.what]

        def merge(request: MergeRequest) -> MergeResult:
            return MergeResult("merged", bytes=1, prompts=1, equal=1, max_logit_difference=0.0)

        return by_name(
            Operation(AnswerRequest, answer),
            Operation(FailRequest, fail),
            Operation(MergeRequest, merge, uses_up_model=True),
        )

    def serve(self, *requests: SessionRequest) -> list[Reply]:
        return self.serve_lines(*(request.to_line() for request in requests))

    def serve_lines(self, *lines: str) -> list[Reply]:
        serve(RunDir(Path("run")), io.StringIO("".join(f"{line}\n" for line in lines)), self.replies.append, self.load)
        return self.replies


def test_progress_comes_before_the_result() -> None:
    assert Session().serve(ANSWER) == [ProgressReply(1, 2), ResultReply({"tuned": ["A", "B"]})]


@pytest.mark.parametrize(("what", "code"), [("known", "E219"), ("bug", "E802")])
def test_a_failed_request_is_an_error_and_the_session_stays_loaded(what: str, code: str) -> None:
    session = Session()
    failed, *_progress, result = session.serve(FailRequest(what), ANSWER)
    assert isinstance(failed, ErrorReply)
    assert [problem.code for problem in failed.problems] == [code]
    assert isinstance(result, ResultReply)
    assert session.loads == 1


def test_a_disk_that_refuses_is_an_error_of_the_system() -> None:
    (failed,) = Session().serve(FailRequest("disk"))
    assert isinstance(failed, ErrorReply)
    assert "full" in json.dumps([problem.to_record() for problem in failed.problems])


@pytest.mark.parametrize("line", ['{"do": "dance"}', '{"do": "merge"}', '{"do": "fail", "what": "bug", "more": 1}'])
def test_an_unknown_operation_or_field_is_an_error(line: str) -> None:
    (failed,) = Session().serve_lines(line)
    assert isinstance(failed, ErrorReply)
    assert [problem.code for problem in failed.problems] == ["E802"]


def test_a_model_that_was_used_up_is_loaded_again() -> None:
    session = Session()
    session.serve(MergeRequest(None), ANSWER, ANSWER)
    assert session.loads == 2


def test_a_model_that_was_used_up_is_freed_before_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A converter runs beside the session then, and needs its memory, which workers' settings of malloc would keep."""
    models: list[weakref.ref[Model]] = []
    released: list[int] = []
    monkeypatch.setattr(session_server, "release_memory", lambda: released.append(gc.collect()))

    def load(run: RunDir, send: Send) -> Operations:
        model = Model()
        models.append(weakref.ref(model))
        return by_name(Operation(MergeRequest, model.merge, uses_up_model=True))

    def requests() -> Iterator[str]:
        yield MergeRequest(None).to_line()
        assert [model() for model in models] == [None] and len(released) == 1

    serve(RunDir(Path("run")), requests(), lambda reply: None, load)
    assert len(models) == 1


SIGNALLED = """
import os, subprocess, sys
from tunewright.engine.session_server import interruption

interruption.listen()
client = "import os, signal, sys\\nfor _ in range(10_000): os.kill(int(sys.argv[1]), signal.SIGINT)"
sender = subprocess.Popen([sys.executable, "-c", client, str(os.getpid())])
while sender.poll() is None:
    interruption.is_wanted = False
print("answered")
"""


def test_signals_that_come_while_another_is_taken_hold_nothing_up() -> None:
    """A client sends one for each piece of text that still comes: a handler with a lock would wait for itself."""
    done = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "answered\n"
