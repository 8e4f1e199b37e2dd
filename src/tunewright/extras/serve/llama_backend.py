"""llama.cpp behind the front: requests are put into its words, answers and streams back into OpenAI's."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tunewright.errors import TunewrightError
from tunewright.extras.serve.api_error import ApiError, unavailable, unsupported
from tunewright.extras.serve.api_request import ChatRequest, ClassifyRequest, CompletionRequest, SamplingRequest
from tunewright.extras.serve.backend import ServedModel
from tunewright.extras.serve.llama_answer import chat_event, completion_event, joined
from tunewright.extras.serve.llama_engine import LlamaEngine

logger = logging.getLogger(__name__)

JsonBody = dict[str, Any]
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
ALIVE_SECONDS = 10.0


@dataclass
class LlamaBackend:
    """One engine for all requests, started again once if it dies; `on_end` is told if it then dies again."""

    engine: LlamaEngine
    on_end: Callable[[TunewrightError], None]
    request_seconds: float
    has_tools: bool = field(default=False, init=False)
    _client: httpx2.AsyncClient = field(init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _is_up: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.context = self.engine.model.context
        self.slots = self.engine.model.slots
        self._client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {self.engine.key}"},
            timeout=self.request_seconds,
            limits=httpx2.Limits(max_keepalive_connections=0),  # so that a lost connection means a lost engine
            trust_env=False,  # a proxy for the loopback interface would see every prompt
        )

    async def start(self) -> None:
        """Start the engine, or start it again once if it has died. Raises: ExportError E640, E641."""
        async with self._lock:
            if not self._is_up:
                if not self.engine.is_running():  # started by who made this backend, the first time
                    await asyncio.to_thread(self.engine.start)
                self.has_tools = await self._template_has_tools()
                self._is_up = True
            elif not self.engine.is_running():
                await asyncio.to_thread(self.engine.restart)
                logger.warning("the engine ended and was started again")

    async def close(self) -> None:
        await self._client.aclose()
        self.engine.close()

    async def idle(self) -> None:
        async with self._lock:
            self._is_up = False
            await asyncio.to_thread(self.engine.close)

    async def chat(self, model: ServedModel, request: ChatRequest) -> Response:
        body = self._chat_body(model, request)
        return await self._answer(CHAT, [body], model, request, chat_event)

    async def complete(self, model: ServedModel, request: CompletionRequest) -> Response:
        common = self._common(model, request)
        if request.logprobs is not None:
            common["logprobs"] = max(1, request.logprobs)
        bodies = [{**common, "prompt": prompt} for prompt in request.prompts()]
        return await self._answer(COMPLETIONS, bodies, model, request, completion_event)

    async def classify(self, model: ServedModel, request: ClassifyRequest) -> Response:
        raise unsupported("model", f"{model.name} writes text; it has no labels")

    def _chat_body(self, model: ServedModel, request: ChatRequest) -> JsonBody:
        """The request as llama.cpp's chat takes it. Raises: ApiError 400 for tools that its template would not show."""
        turns = [message.as_turn() for message in request.messages]
        if turns[0]["role"] != "system":
            turns = [*model.opening, *turns]
        body = {**self._common(model, request), "messages": turns}
        if request.tools:
            if not self.has_tools:
                raise unsupported("tools", f"the chat template of {model.name} does not show them to the model")
            body["tools"] = request.offered_tools()
            body["tool_choice"] = "required" if request.must_call() else request.tool_choice or "auto"
            if request.parallel_tool_calls is not None:
                body["parallel_tool_calls"] = request.parallel_tool_calls
        if request.logprobs:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs or 0}
        if request.response_format:
            body["response_format"] = request.response_format.model_dump(mode="json", by_alias=True, exclude_none=True)
        return body

    def _common(self, model: ServedModel, request: SamplingRequest) -> JsonBody:
        """What all requests hold. Every adapter is named: one that is left out would keep its scale (llama.cpp #28674)."""
        limit = request.answer_tokens()
        if limit and limit > self.context:
            message = f"max_tokens is {limit}; prompt and answer together have {self.context} tokens here"
            raise ApiError(400, message, "context_length_exceeded", "max_tokens")
        adapters = range(len(self.engine.model.adapters))
        return {
            "lora": [{"id": number, "scale": float(number == model.adapter)} for number in adapters],
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": 0,  # its default of 40, and of min_p, would narrow what a temperature asks for
            "min_p": 0.0,
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            **({"max_tokens": limit} if limit else {}),
            **({"seed": request.seed} if request.seed is not None else {}),
            **({"stop": request.stops()} if request.stop else {}),
            **({"logit_bias": dict(request.logit_bias)} if request.logit_bias else {}),
        }

    async def _answer(
        self,
        path: str,
        bodies: Sequence[JsonBody],
        model: ServedModel,
        request: SamplingRequest,
        as_event: "EventForm",
    ) -> Response:
        """The answer to one body, or those to several and to `n` of each as one; a stream holds a single one."""
        await self._ready()
        pid = self.engine.pid
        if request.stream:
            if len(bodies) > 1 or request.n > 1:
                raise unsupported("n" if request.n > 1 else "prompt", "a stream holds one answer")
            body = {**bodies[0], "stream": True, "stream_options": {"include_usage": True}}
            upstream = await self._open(path, body, pid)
            events = self._events(upstream, model, request, as_event, pid)
            return _EventResponse(events, upstream)
        each = [_with_seed(body, number) for body in bodies for number in range(request.n)]
        answers = [as_event(await self._post(path, body, pid), model.name) for body in each]
        return JSONResponse(joined(answers))

    async def _post(self, path: str, body: JsonBody, pid: int | None) -> JsonBody:
        upstream = await self._open(path, body, pid)
        try:
            return dict(json.loads(await upstream.aread()))
        except httpx2.TransportError as fault:
            raise await self._lost(fault, pid) from fault
        finally:
            with anyio.CancelScope(shield=True):
                await upstream.aclose()

    async def _open(self, path: str, body: JsonBody, pid: int | None) -> httpx2.Response:
        """The engine's response before its body is read. Raises: ApiError for a refusal of the engine, or 503."""
        try:
            upstream = await self._client.send(
                self._client.build_request("POST", self.engine.url + path, json=body), stream=True
            )
        except httpx2.TransportError as fault:
            raise await self._lost(fault, pid) from fault
        if upstream.status_code == 200:
            return upstream
        try:
            refusal = json.loads(await upstream.aread())["error"]
        finally:
            await upstream.aclose()
        raise _refused(upstream.status_code, refusal)

    async def _events(
        self, upstream: httpx2.Response, model: ServedModel, request: SamplingRequest, as_event: "EventForm",
        pid: int | None,
    ) -> AsyncIterator[str]:  # fmt: skip
        """The events of a stream in OpenAI's form."""
        deadline = time.monotonic() + self.request_seconds
        try:
            async for line in upstream.aiter_lines():
                if time.monotonic() > deadline:
                    yield _sse(_too_slow(self.request_seconds).to_json())
                    return
                if line.startswith("data: {"):
                    for event in _streamed(
                        as_event(json.loads(line[6:]), model.name), wants_usage=request.wants_usage()
                    ):
                        yield _sse(event)
                elif line == "data: [DONE]":
                    yield line + "\n\n"
        except httpx2.TransportError as fault:
            yield _sse((await self._lost(fault, pid)).to_json())

    async def _ready(self) -> None:
        """Wait until the engine runs. Raises: ApiError 503; tells `on_end` if it does not come up again."""
        try:
            await self.start()
        except TunewrightError as fault:
            self.on_end(fault)
            raise unavailable("The engine has ended") from fault

    async def _lost(self, fault: Exception, pid: int | None) -> ApiError:
        """What a request is told whose connection broke or took too long; by then the engine answers again.

        `pid` is the engine that it was sent to. One that was started since is never ended for it.
        """
        if isinstance(fault, httpx2.TimeoutException):
            if await self._is_alive():
                return _too_slow(self.request_seconds)
            async with self._lock:  # of several that lose it, the first has it started again
                if pid is not None and self.engine.pid == pid:
                    await asyncio.to_thread(self.engine.end_hung)
        elif pid is not None and self.engine.pid == pid and not await asyncio.to_thread(self.engine.ends_soon):
            return unavailable("The engine closed the connection")
        try:
            await self._ready()
        except ApiError as ended:
            return ended
        return unavailable("The engine was lost while it answered, and has been started again")

    async def _is_alive(self) -> bool:
        try:
            return (await self._client.get(self.engine.url + "/health", timeout=ALIVE_SECONDS)).is_success
        except httpx2.TransportError:
            return False

    async def _template_has_tools(self) -> bool:
        """Whether the chat template shows tools, as llama.cpp found when it tried."""
        facts = (await self._client.get(self.engine.url + "/props")).json()
        return bool(facts["chat_template_caps"]["supports_tools"])


class _EventResponse(StreamingResponse):
    """A stream that closes the engine's connection with its own, which ends the generation."""

    def __init__(self, events: AsyncIterator[str], upstream: httpx2.Response) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self.upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self.upstream.aclose()


EventForm = Callable[[JsonBody, str], JsonBody]


def _with_seed(body: JsonBody, number: int) -> JsonBody:
    """The body of the answer with this number: a seed of its own where one is given."""
    return {**body, "seed": body["seed"] + number} if number and "seed" in body else body


def _streamed(event: JsonBody, *, wants_usage: bool) -> list[JsonBody]:
    """The event, its usage as a last event without choices, or not at all."""
    usage = event.pop("usage", None)
    events = [event] if event["choices"] else []
    if usage and wants_usage:
        events.append({**event, "choices": [], "usage": usage})
    return events


def _sse(event: Mapping[str, object]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"


def _too_slow(seconds: float) -> ApiError:
    return ApiError(504, f"Not answered within {seconds:g} seconds", "timeout")


def _refused(status: int, refusal: JsonBody) -> ApiError:
    """What the engine refused, in OpenAI's words."""
    if refusal["type"] == "exceed_context_size_error":
        message = (
            f"The prompt has {refusal['n_prompt_tokens']} tokens; prompt and answer together have {refusal['n_ctx']}"
        )
        return ApiError(400, message, "context_length_exceeded", "messages")
    return ApiError(status, str(refusal["message"]), "invalid_value" if status < 500 else "engine_error")
