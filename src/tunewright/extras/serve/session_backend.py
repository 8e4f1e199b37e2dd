"""Runs behind the front by their own sessions: what llama.cpp cannot carry is answered by PEFT itself, one by one."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TypedDict, TypeVar

import anyio
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tunewright.config.tasks import TASKS, Task
from tunewright.data.word_text import split_words
from tunewright.errors import DataError, TunewrightError
from tunewright.extras.serve.api_error import ApiError, unavailable, unsupported
from tunewright.extras.serve.api_request import ChatRequest, ClassifyRequest, CompletionRequest
from tunewright.extras.serve.backend import ServedModel
from tunewright.extras.session_requests import LabelRequest, LabelResult, ReplyRequest, ReplyResult
from tunewright.launch.session_client import SessionClient
from tunewright.rundir.session_protocol import Sampling, SessionRequest, SessionResult, TextInput, WordsInput

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT", bound=SessionResult)
Usage = Mapping[str, int]
ENDED = "E506"  # the session's process ended in the middle of a request
BUSY = "E541"  # who shares the run with this server asks it something
TOO_LONG = "E647"


class AnswerHead(TypedDict):
    """What an answer and each of its events begin with."""

    id: str
    created: int
    model: str


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
        reply = ReplyRequest(turns, request.answer_tokens(), _sampling(request))
        answer: AnswerHead = {"id": f"chatcmpl-{token_hex(12)}", "created": int(time.time()), "model": model.name}
        if request.stream:
            return await self._stream(session, reply, answer, wants_usage=request.wants_usage())
        result = await self._ask(session, reply, ReplyResult)
        message = {"role": "assistant", "content": result.text}
        choice = {"index": 0, "message": message, "finish_reason": _finish(result), "logprobs": None}
        return JSONResponse({**answer, "object": "chat.completion", "choices": [choice], "usage": _reply_usage(result)})

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

    async def _stream(
        self, session: ServedSession, reply: ReplyRequest, answer: AnswerHead, *, wants_usage: bool
    ) -> Response:
        """The answer as it is generated. Raises: ApiError 400, 500, 503 before its first piece."""
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def on_text(piece: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        work = asyncio.create_task(self._ask(session, reply, ReplyResult, on_text))
        work.add_done_callback(lambda _work: pieces.put_nowait(None))
        response = _ReplyStream(work, pieces, answer, wants_usage=wants_usage)
        try:
            await response.begin()
        except BaseException:
            await response.end()
            raise
        return response

    async def _ask(
        self, session: ServedSession, request: SessionRequest, result: type[ResultT],
        on_text: Callable[[str], None] = lambda _piece: None,
    ) -> ResultT:  # fmt: skip
        """The session's result. Where nobody waits for it any more, the answer that is being generated is ended first."""
        is_gone = threading.Event()

        def on_piece(piece: str) -> None:
            if is_gone.is_set():
                session.client.interrupt()
            else:
                on_text(piece)

        async with self._lock:
            work = asyncio.create_task(asyncio.to_thread(session.client.request, request, result, on_text=on_piece))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                is_gone.set()
                await asyncio.wait({work})
                raise
            except TunewrightError as fault:
                raise self._refused(fault, "input" if isinstance(request, LabelRequest) else "messages") from fault

    def _refused(self, fault: TunewrightError, param: str) -> ApiError:
        """What a request is told that has no result: 400 only where `param`, its field, is at fault."""
        problem = fault.problems[0]
        if problem.code == TOO_LONG:
            return ApiError(400, problem.message_in_english(), "context_length_exceeded", param)
        if isinstance(fault, DataError):
            return ApiError(400, problem.message_in_english(), "invalid_value", param)
        if problem.code == BUSY:
            return unavailable("The run answers somebody else at the moment")
        if problem.code != ENDED:
            logger.error("a request could not be answered: %s", fault)
            return ApiError(500, "A fault in the server; its log says more", "internal_error")
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


def _finish(result: ReplyResult) -> str:
    return "length" if result.is_cut else "stop"


def _reply_usage(result: ReplyResult) -> Usage:
    return _usage(result.prompt_tokens, result.completion_tokens)


def _usage(prompt_tokens: int, completion_tokens: int) -> Usage:
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


class _ReplyStream(StreamingResponse):
    """An answer as OpenAI's events, from the work that generates it and the pieces of its text, after which there is a None."""

    def __init__(
        self, work: "asyncio.Task[ReplyResult]", pieces: "asyncio.Queue[str | None]", answer: AnswerHead, *,
        wants_usage: bool,
    ) -> None:  # fmt: skip
        super().__init__(self._events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self.work, self.pieces, self.wants_usage = work, pieces, wants_usage
        self.common = {**answer, "object": "chat.completion.chunk"}

    async def begin(self) -> None:
        """Wait until there is an answer. Raises: ApiError where there is none."""
        if await self.pieces.get() is None:
            self.work.result()
            self.pieces.put_nowait(None)  # over before its first piece

    async def end(self) -> None:
        """End what is still being generated."""
        self.work.cancel()
        await asyncio.gather(self.work, return_exceptions=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self.end()

    async def _events(self) -> AsyncIterator[str]:
        yield self._chunk({"role": "assistant", "content": ""})
        while (piece := await self.pieces.get()) is not None:
            if piece:
                yield self._chunk({"content": piece})
        try:
            result = self.work.result()
        except ApiError as fault:
            yield _sse(fault.to_json())
            return
        yield self._chunk({}, _finish(result))
        if self.wants_usage:
            yield _sse({**self.common, "choices": [], "usage": _reply_usage(result)})
        yield "data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, str], finish: str | None = None) -> str:
        return _sse({**self.common, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _sse(event: Mapping[str, object]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
