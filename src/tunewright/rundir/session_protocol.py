"""What the process that holds a finished run's model is asked and what it replies: JSON lines on a pipe.

A request is {"do": NAME} and the fields of its class. It is answered with any number of {"kind": "progress"} or {"kind": "text"}
and then one {"kind": "result"} or {"kind": "error"}. `launch/session_client.py` writes requests, `engine/session_server.py`
replies; both are of one version, and an extra that answers more has classes of its own (`extras/session_requests.py`).
SIGINT ends the answer that is sent as text; its result is what there is of it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import ClassVar, NotRequired, Self, TypedDict

from tunewright.errors import Problem

Turn = Mapping[str, object]
"""A turn as in a row of chat data: `role`, `content`, and perhaps `tool_calls`, `reasoning_content`, `name`, `tool_call_id`."""


class ChatPrompt(TypedDict):
    """A conversation that ends with the user's turn, and the tools that the answer may call."""

    turns: Sequence[Turn]
    tools: NotRequired[Sequence[Mapping[str, object]]]


class TextInput(TypedDict):
    """A text to classify, and its second text, empty if the task is not on pairs."""

    text: str
    pair: str


class WordsInput(TypedDict):
    """Words to tag."""

    words: Sequence[str]


PromptInput = Sequence[Turn] | ChatPrompt | TextInput | WordsInput
"""The turns alone, turns with tools, or what a task that classifies reads."""


class Sampling(TypedDict):
    """How tokens are chosen, and where an answer ends besides the model's own end tokens; names and meanings are OpenAI's."""

    temperature: float
    """0 takes the likeliest token each time."""
    top_p: float
    seed: int | None
    """None is another answer each time."""
    stop: Sequence[str]


GREEDY: Sampling = {"temperature": 0.0, "top_p": 1.0, "seed": None, "stop": []}
"""As evaluations choose tokens."""


@dataclass(frozen=True)
class SessionRequest:
    """One operation; all fields are JSON values."""

    do: ClassVar[str]
    """The operation's name on the pipe."""
    needs_same_base: ClassVar[bool] = True
    """Whether it is refused if the base has changed since the training: all that measures is."""

    def to_line(self) -> str:
        return json.dumps({"do": self.do, **vars(self)})


@dataclass(frozen=True)
class SessionResult:
    """What an operation returns; all fields are JSON values. A field with a default is on the pipe only where it is set."""

    def to_json(self) -> dict[str, object]:
        optional = {field.name for field in fields(self) if field.default is not MISSING}
        return {name: value for name, value in vars(self).items() if value is not None or name not in optional}

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        return cls(**values)


@dataclass(frozen=True)
class LoadRequest(SessionRequest):
    """Nothing but the model in memory."""

    do = "load"
    needs_same_base = False


@dataclass(frozen=True)
class LoadResult(SessionResult):
    """The model is there."""

    rss_bytes: int
    """What the process holds of the machine's memory."""


@dataclass(frozen=True)
class AnswerRequest(SessionRequest):
    """Greedy answers, or labels, for new prompts."""

    do = "answer"
    needs_same_base = False
    prompts: Sequence[PromptInput]
    max_new_tokens: int
    """The most tokens of one answer; without effect where the task classifies."""
    with_base: bool
    """Whether the base answers too."""


@dataclass(frozen=True)
class AnswerResult(SessionResult):
    """One entry a prompt in each list, in the order of the prompts; `base` and its probabilities only with `with_base`."""

    tuned: list[str]
    """Texts, or labels as people read them."""
    tuned_probability: list[float | None] | None = None
    """The probability of the label, for tasks with a single one."""
    base: list[str] | None = None
    base_probability: list[float | None] | None = None

    def by_prompt(self) -> list[dict[str, object]]:
        """The entries of each prompt under the names of the lists that are set."""
        answers = {name: values for name, values in vars(self).items() if values is not None}
        return [{name: values[i] for name, values in answers.items()} for i in range(len(self.tuned))]


@dataclass(frozen=True)
class EvaluateRequest(SessionRequest):
    """Scores of base and tuned model on the run's held-out rows, computed again as in the run."""

    do = "evaluate"
    rows: int | None
    """How many rows are answered; as many as in the run if None. The loss is over all held-out rows."""


@dataclass(frozen=True)
class EvaluateResult(SessionResult):
    """The scores by name, and what they were computed from."""

    before: dict[str, float]
    """Of the base."""
    after: dict[str, float]
    """Of the tuned model."""
    rows: int
    """How many rows were answered or labelled."""
    held_out_rows: int
    """How many rows the loss is over."""
    samples: Sequence[Mapping[str, object]]
    """The answered rows: `row`, `prompt`, `reference`, `answer`, `base` (the base's answer)."""
    baseline: Mapping[str, object] | None
    """What is reached without a model (`name`, `scores`); None where there is no such answer."""


@dataclass(frozen=True)
class MergeRequest(SessionRequest):
    """Base and adapter as one model. The model is used up."""

    do = "merge"
    target: str | None
    """An absolute path; the run's own merged/ if None."""
    compare_answers: bool = True
    """Whether answers are compared, and not logits alone: what is exported is asked for all its answers afterwards."""


@dataclass(frozen=True)
class MergeResult(SessionResult):
    """Where the model is, and how its answers agree with the adapter's."""

    path: str
    bytes: int
    """Size of all files."""
    prompts: int
    """How many answers were compared; logits always are."""
    equal: int
    """How many of them are equal."""
    max_logit_difference: float
    """Largest absolute difference of a logit."""
    base: str | None = None
    """What was merged into, where the run's base is quantized."""
    quantized: Mapping[str, float] | None = None
    """`equal` and `max_logit_difference` of the plain and the quantized base, both with the adapter."""


@dataclass(frozen=True)
class ProgressReply:
    """So much of the operation is done."""

    done: int
    total: int


@dataclass(frozen=True)
class TextReply:
    """The next piece of the answer; an empty one when it begins."""

    text: str


@dataclass(frozen=True)
class ResultReply:
    """The end of a request that succeeded: a `SessionResult` as JSON."""

    result: Mapping[str, object]


@dataclass(frozen=True)
class ErrorReply:
    """The end of a request that failed."""

    problems: tuple[Problem, ...]


Reply = ProgressReply | TextReply | ResultReply | ErrorReply
Send = Callable[[Reply], None]


def reply_line(reply: Reply) -> str:
    """The reply as it is on the pipe; `read_reply` reads it."""
    if isinstance(reply, ProgressReply):
        return json.dumps({"kind": "progress", "done": reply.done, "total": reply.total})
    if isinstance(reply, TextReply):
        return json.dumps({"kind": "text", "text": reply.text}, ensure_ascii=False)
    if isinstance(reply, ResultReply):
        return json.dumps({"kind": "result", "result": reply.result}, ensure_ascii=False)
    records = [problem.to_record() for problem in reply.problems]
    return json.dumps({"kind": "error", "problems": records}, ensure_ascii=False)


def read_reply(line: str) -> Reply:
    """The reply of a line that `reply_line` wrote."""
    values = json.loads(line)
    if values["kind"] == "progress":
        return ProgressReply(values["done"], values["total"])
    if values["kind"] == "text":
        return TextReply(values["text"])
    if values["kind"] == "result":
        return ResultReply(values["result"])
    return ErrorReply(tuple(Problem.from_record(record) for record in values["problems"]))
