"""The pipe between a session and its client: what is written is read back as it was, under the same keys as ever."""

import json

import pytest

from tunewright.errors import Problem
from tunewright.extras.session_requests import BenchmarkRequest, PromptedRequest, ProveRequest, ReplyRequest
from tunewright.i18n import Phrase
from tunewright.rundir.session_protocol import (
    GREEDY,
    AnswerRequest,
    AnswerResult,
    ErrorReply,
    EvaluateRequest,
    EvaluateResult,
    MergeRequest,
    MergeResult,
    ProgressReply,
    Reply,
    ResultReply,
    SessionRequest,
    SessionResult,
    TextReply,
    WordsInput,
    read_reply,
    reply_line,
)

WORDS: WordsInput = {"words": ["a"]}
SCORES = {"held_out_loss": 1.5}


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (AnswerRequest([WORDS], 8, with_base=True), {"prompts": [WORDS], "max_new_tokens": 8, "with_base": True}),
        (EvaluateRequest(None), {"rows": None}),
        (MergeRequest("/merged"), {"target": "/merged", "compare_answers": True}),
        (PromptedRequest(3), {"shots": 3}),
        (ProveRequest(), {}),
        (ReplyRequest([], 8, GREEDY, of_base=True),
         {"turns": [], "max_new_tokens": 8, "sampling": dict(GREEDY), "of_base": True}),
        (BenchmarkRequest(["a"], 5, None), {"tasks": ["a"], "rows": 5, "include_path": None}),
    ],
    ids=lambda value: value.do if isinstance(value, SessionRequest) else "",
)  # fmt: skip
def test_a_request_is_its_name_and_its_fields(request_: SessionRequest, fields: dict[str, object]) -> None:
    assert json.loads(request_.to_line()) == {"do": request_.do, **fields}
    assert type(request_)(**fields) == request_


@pytest.mark.parametrize(
    ("result", "left_out"),
    [
        (AnswerResult(["yes"]), {"tuned_probability", "base", "base_probability"}),
        (AnswerResult(["yes"], [0.5], ["no"], [None]), set()),
        (EvaluateResult(SCORES, SCORES, 1, 2, [], None), set()),
        (MergeResult("/merged", 1, 8, 8, 0.0), {"base", "quantized"}),
        (MergeResult("/merged", 1, 8, 8, 0.0, "dequantized from 4bit", {"equal": 8}), set()),
    ],
)
def test_a_result_leaves_out_only_what_does_not_apply(result: SessionResult, left_out: set[str]) -> None:
    values = json.loads(json.dumps(result.to_json()))
    assert set(vars(result)) - set(values) == left_out
    assert type(result).from_json(values) == result


def test_answers_are_given_by_prompt() -> None:
    answers = AnswerResult(["a", "b"], base=["c", "d"])
    assert answers.by_prompt() == [{"tuned": "a", "base": "c"}, {"tuned": "b", "base": "d"}]


@pytest.mark.parametrize(
    "reply",
    [
        ProgressReply(1, 2),
        TextReply("ü\n"),
        ResultReply({"tuned": ["ja: ü\n"]}),
        ResultReply({"after": {"perplexity": float("inf")}}),
        ErrorReply((Problem("E230", values={"reason": Phrase("there are no rows")}),)),
    ],
)
def test_a_reply_is_one_line_and_read_back(reply: Reply) -> None:
    line = reply_line(reply)
    assert "\n" not in line
    again = read_reply(line)
    assert again == reply
    if isinstance(again, ErrorReply):
        assert again.problems[0].message() == reply.problems[0].message()
