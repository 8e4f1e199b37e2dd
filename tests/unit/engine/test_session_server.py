"""The session's loop: requests in, replies out, and when the model is loaded again."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tunewright.engine.session_server import Operations, Reply, Send, serve
from tunewright.errors import error
from tunewright.rundir.run_dir import RunDir


class Session:
    """Counts how often it was loaded."""

    def __init__(self) -> None:
        self.loads = 0
        self.replies: list[Reply] = []

    def load(self, run: RunDir, send: Send) -> Operations:
        self.loads += 1

        def answer(prompts: list[str]) -> Mapping[str, object]:
            send({"kind": "progress", "done": 1, "total": len(prompts)})
            return {"tuned": [prompt.upper() for prompt in prompts]}

        def fail(what: str) -> Mapping[str, object]:
            raise {"known": error("E219", reason="no"), "disk": OSError(28, "full"), "bug": ZeroDivisionError("0")}[
                what
            ]

        return {"answer": answer, "fail": fail, "merge": lambda: {"path": "merged"}}

    def serve(self, *requests: Mapping[str, Any]) -> list[Reply]:
        lines = io.StringIO("".join(json.dumps(request) + "\n" for request in requests))
        serve(RunDir(Path("run")), lines, self.replies.append, self.load)
        return self.replies


def test_progress_comes_before_the_result() -> None:
    replies = Session().serve({"do": "answer", "prompts": ["a", "b"]})
    assert replies == [
        {"kind": "progress", "done": 1, "total": 2},
        {"kind": "result", "result": {"tuned": ["A", "B"]}},
    ]


@pytest.mark.parametrize(("what", "code"), [("known", "E219"), ("bug", "E802")])
def test_a_failed_request_is_an_error_and_the_session_stays_loaded(what: str, code: str) -> None:
    session = Session()
    failed, *_progress, result = session.serve({"do": "fail", "what": what}, {"do": "answer", "prompts": ["a"]})
    assert failed["kind"] == "error"
    assert [problem["code"] for problem in failed["problems"]] == [code]
    assert result["kind"] == "result"
    assert session.loads == 1


def test_a_disk_that_refuses_is_an_error_of_the_system() -> None:
    (failed,) = Session().serve({"do": "fail", "what": "disk"})
    assert failed["kind"] == "error"
    assert "full" in json.dumps(failed["problems"])


def test_an_unknown_operation_is_an_error() -> None:
    (failed,) = Session().serve({"do": "dance"})
    assert failed["kind"] == "error"


def test_a_model_that_was_consumed_is_loaded_again() -> None:
    session = Session()
    session.serve({"do": "merge"}, {"do": "answer", "prompts": ["a"]})
    assert session.loads == 2
