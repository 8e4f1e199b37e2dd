"""Runs behind the front by their own sessions: what llama.cpp cannot carry is answered by PEFT itself, one by one."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, TypeVar

from starlette.responses import JSONResponse, Response

from tunewright.config.tasks import TASKS, Task
from tunewright.data.word_text import split_words
from tunewright.errors import TunewrightError
from tunewright.extras.serve.api_error import ApiError, unavailable, unsupported
from tunewright.extras.serve.api_request import ChatRequest, ClassifyRequest, CompletionRequest
from tunewright.extras.serve.backend import ServedModel
from tunewright.extras.session_requests import LabelRequest, LabelResult, ReplyRequest, ReplyResult
from tunewright.launch.session_client import SessionClient
from tunewright.rundir.session_protocol import Sampling, SessionRequest, SessionResult, TextInput, WordsInput

ResultT = TypeVar("ResultT", bound=SessionResult)
Usage = Mapping[str, int]
ENDED = "E506"  # the session's process ended in the middle of a request


@dataclass(frozen=True)
class ServedSession:
    """A run that is served by its own process."""

    client: SessionClient
    task: Task
    has_several_labels: bool = False
    """Whether a text may be given any number of labels."""


@dataclass
class SessionBackend:
    """A process for each run, asked one request at a time. `on_end` is told when one has died twice."""

    sessions: Mapping[str, ServedSession]
    context: int
    on_end: Callable[[TunewrightError], None]
    slots: int = field(default=1, init=False)
    _deaths: int = field(default=0, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def start(self) -> None:
        """Nothing: a session is started by its first request."""

    async def close(self) -> None:
        await self.idle()

    async def idle(self) -> None:
        async with self._lock:
            for session in self.sessions.values():
                await asyncio.to_thread(session.client.close)

    async def chat(self, model: ServedModel, request: ChatRequest) -> Response:
        session = self.sessions[model.name]
        if not TASKS[session.task].writes:
            raise unsupported("model", f"{model.name} gives labels: POST /v1/classify")
        _refuse_ignored(request)
        turns = [message.as_turn() for message in request.messages]
        if turns[0]["role"] != "system":
            turns = [*model.opening, *turns]
        result = await self._ask(session, ReplyRequest(turns, request.answer_tokens(), _sampling(request)), ReplyResult)
        text, finish = result.text, "length" if result.is_cut else "stop"
        answer = {"id": f"chatcmpl-{token_hex(12)}", "created": int(time.time()), "model": model.name}
        usage = _usage(result.prompt_tokens, result.completion_tokens)
        if request.stream:
            events = _events(answer, text, finish, usage if request.wants_usage() else None)
            return Response("".join(events), media_type="text/event-stream")
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        return JSONResponse({**answer, "object": "chat.completion", "choices": [choice], "usage": usage})

    async def complete(self, model: ServedModel, request: CompletionRequest) -> Response:
        raise unsupported("prompt", "this engine answers conversations: POST /v1/chat/completions")

    async def classify(self, model: ServedModel, request: ClassifyRequest) -> Response:
        session = self.sessions[model.name]
        if TASKS[session.task].writes:
            raise unsupported("model", f"{model.name} writes text; it has no labels")
        inputs = [_as_input(assigned, session) for assigned in request.inputs()]
        result = await self._ask(session, LabelRequest(inputs), LabelResult)
        data = [_classified(number, result, session) for number in range(len(inputs))]
        return JSONResponse(
            {"id": f"classify-{token_hex(12)}", "object": "list", "created": int(time.time()), "model": model.name,
             "labels": list(result.labels), "data": data, "usage": _usage(result.tokens, 0)}
        )  # fmt: skip

    async def _ask(self, session: ServedSession, request: SessionRequest, result: type[ResultT]) -> ResultT:
        """The session's result. What it has begun it ends, also for a client that has gone: the next one waits for it."""
        async with self._lock:
            work = asyncio.create_task(asyncio.to_thread(session.client.request, request, result))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait({work})
                raise
            except TunewrightError as fault:
                raise self._refused(fault) from fault

    def _refused(self, fault: TunewrightError) -> ApiError:
        problem = fault.problems[0]
        if problem.code != ENDED:
            code = "context_length_exceeded" if problem.code == "E647" else "invalid_value"
            return ApiError(400, str(problem.to_json()["message"]), code, "messages")
        self._deaths += 1
        if self._deaths > 1:
            self.on_end(fault)
            return unavailable("The engine has ended")
        return unavailable("The engine was lost while it answered; it is started again by the next request")


def _refuse_ignored(request: ChatRequest) -> None:
    """Raises: ApiError 400 for what a session's answer cannot heed."""
    reason = "this engine gives one answer in plain text, and samples by temperature and top_p alone"
    requested = {
        "n": request.n > 1,
        "logprobs": request.logprobs,
        "tools": bool(request.tools),
        "response_format": request.response_format is not None and request.response_format.type != "text",
        "presence_penalty": request.presence_penalty != 0,
        "frequency_penalty": request.frequency_penalty != 0,
        "logit_bias": bool(request.logit_bias),
    }
    for field_name, is_requested in requested.items():
        if is_requested:
            raise unsupported(field_name, reason)


def _as_input(assigned: str | list[str], session: ServedSession) -> TextInput | WordsInput:
    """A text, a pair or words as the task reads them. Raises: ApiError 400."""
    if session.task == "token_cls":
        words = split_words(assigned) if isinstance(assigned, str) else assigned
        if not words:
            raise ApiError(400, "There is no word to tag", "invalid_value", "input")
        return {"words": list(words)}
    texts = [assigned] if isinstance(assigned, str) else assigned
    if len(texts) not in (1, 2):
        message = f"An input is a text or a pair of texts, not {len(texts)}"
        raise ApiError(400, message, "invalid_value", "input")
    return {"text": texts[0], "pair": texts[1] if len(texts) == 2 else ""}


def _classified(number: int, result: LabelResult, session: ServedSession) -> dict[str, object]:
    """What one input was given, in vLLM's form where it has one."""
    if result.numbers:
        return {"index": number, "value": result.numbers[number]}
    assigned = list(result.assigned[number])
    if session.task == "token_cls":
        return {"index": number, "labels": assigned}
    label = {"labels": assigned} if session.has_several_labels else {"label": assigned[0]}
    probs = list(result.probabilities[number])
    return {"index": number, **label, "probs": probs, "num_classes": len(result.labels)}


def _sampling(request: ChatRequest) -> Sampling:
    return {
        "temperature": request.temperature, "top_p": request.top_p, "seed": request.seed, "stop": request.stops(),
    }  # fmt: skip


def _usage(prompt_tokens: int, completion_tokens: int) -> Usage:
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def _events(answer: Mapping[str, Any], text: str, finish: str, usage: Usage | None) -> list[str]:
    """The answer as a stream: it is known as a whole, and comes in one piece."""
    parts: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": text}, None), ({}, finish)]
    chunks: list[dict[str, object]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in parts
    ]
    if usage:
        chunks.append({"choices": [], "usage": usage})
    common = {**answer, "object": "chat.completion.chunk"}
    return [*(f"data: {json.dumps({**common, **chunk})}\n\n" for chunk in chunks), "data: [DONE]\n\n"]
