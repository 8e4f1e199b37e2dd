"""The front: OpenAI's API as a Starlette application, in front of whichever backend answers. Torch-free."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tunewright.extras.serve.api_error import RETRY_SECONDS, ApiError, not_found
from tunewright.extras.serve.api_request import (
    ChatRequest,
    ClassifyRequest,
    CompletionRequest,
    RequestT,
    read_request,
)
from tunewright.extras.serve.backend import Backend, ServedModel
from tunewright.extras.serve.gate import Access, Gate

WAITING_PER_SLOT = 8
IDLE_LOOK_SECONDS = 1.0


@dataclass
class Front:
    """What is served, and who is being answered at the moment."""

    backend: Backend
    models: Sequence[ServedModel]
    access: Access
    idle_seconds: float | None = None
    """After how long without a request the engine gives its memory back; never with None."""
    on_start: Callable[[], None] | None = field(default=None, init=False)
    """Called when requests are answered."""
    start_fault: Exception | None = field(default=None, init=False)
    """Why the backend could not be started."""
    _slots: asyncio.Semaphore = field(init=False)
    _admitted: int = field(default=0, init=False)
    _last_use: float = field(default_factory=time.monotonic, init=False)
    _created: int = field(default_factory=lambda: int(time.time()), init=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.backend.slots)

    def app(self) -> Starlette:
        """The application. Its CORS headers are only there for the origins that were asked for."""
        cors = Middleware(
            CORSMiddleware, allow_origins=self.access.origins, allow_methods=["GET", "POST"], allow_headers=["*"]
        )
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/v1/models", self.list_models),
                Route("/v1/models/{name:path}", self.show_model),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/completions", self.complete, methods=["POST"]),
                Route("/v1/classify", self.classify, methods=["POST"]),
            ],
            middleware=[*([cors] if self.access.origins else []), Middleware(Gate, access=self.access)],
            exception_handlers={ApiError: _as_refused, HTTPException: _as_unknown, 500: _as_fault},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        try:
            await self.backend.start()
        except Exception as fault:  # uvicorn logs it, and ends as if it had been told to
            self.start_fault = fault
            raise
        watch = asyncio.create_task(self._watch_idleness()) if self.idle_seconds else None
        try:
            if self.on_start:
                self.on_start()
            yield
        finally:
            if watch:
                watch.cancel()
            await self.backend.close()

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def list_models(self, _request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._card(model) for model in self.models]})

    async def show_model(self, request: Request) -> Response:
        return JSONResponse(self._card(self._model(request.path_params["name"])))

    async def chat(self, request: Request) -> "HeldResponse":
        return await self._served(request, ChatRequest, self.backend.chat)

    async def complete(self, request: Request) -> "HeldResponse":
        return await self._served(request, CompletionRequest, self.backend.complete)

    async def classify(self, request: Request) -> "HeldResponse":
        return await self._served(request, ClassifyRequest, self.backend.classify)

    def _card(self, model: ServedModel) -> dict[str, object]:
        card = {"id": model.name, "object": "model", "created": self._created, "owned_by": "tunewright"}
        return {**card, "max_model_len": self.backend.context}

    def _model(self, name: str) -> ServedModel:
        """Raises: ApiError 404."""
        for model in self.models:
            if model.name == name:
                return model
        raise not_found(name, [model.name for model in self.models])

    async def _served(
        self, request: Request, kind: type[RequestT], answer: Callable[[ServedModel, RequestT], Awaitable[Response]]
    ) -> "HeldResponse":
        """The answer to a body of this kind, in its turn; a client that hangs up meanwhile ends the work on it."""
        try:
            parsed = read_request(kind, await request.body())
        except ClientDisconnect:
            raise _gone() from None
        model = self._model(parsed.model)
        if self._admitted >= self.backend.slots * (1 + WAITING_PER_SLOT):
            message = f"{self._admitted} requests are answered or wait already"
            raise ApiError(429, message, "too_many_requests", headers={"Retry-After": RETRY_SECONDS})
        turn = Turn(self)

        async def in_turn() -> Response:
            await turn.begin()
            return await answer(model, parsed)

        try:
            return HeldResponse(await _unless_gone(request, in_turn()), turn)
        except BaseException:
            turn.end()
            raise

    async def _watch_idleness(self) -> None:
        """Have the engine give its memory back whenever nobody has asked for `idle_seconds`."""
        assert self.idle_seconds is not None
        is_idle = False
        while True:
            await asyncio.sleep(min(IDLE_LOOK_SECONDS, self.idle_seconds))
            is_due = not self._admitted and time.monotonic() - self._last_use >= self.idle_seconds
            if is_due and not is_idle:
                await self.backend.idle()
            is_idle = is_due


@dataclass
class Turn:
    """A request's place among those that wait and are answered, from its making to `end`; with a slot from `begin` on."""

    front: Front
    _has_slot: bool = field(default=False, init=False)
    _has_ended: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.front._admitted += 1

    async def begin(self) -> None:
        await self.front._slots.acquire()
        self._has_slot = True

    def end(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self.front._admitted -= 1
        self.front._last_use = time.monotonic()
        if self._has_slot:
            self.front._slots.release()


@dataclass(frozen=True)
class HeldResponse:
    """A response that keeps its turn until it is sent, or its client has gone."""

    response: Response
    turn: Turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.response(scope, receive, send)
        finally:
            self.turn.end()


async def _unless_gone(request: Request, work: Coroutine[None, None, Response]) -> Response:
    """What the work gives; it is cancelled if the client hangs up before. Raises: ApiError 499, which nobody reads."""
    answer, gone = asyncio.create_task(work), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise _gone()
    finally:
        answer.cancel()
        gone.cancel()
        await asyncio.gather(answer, gone, return_exceptions=True)


def _gone() -> ApiError:
    return ApiError(499, "The client has gone", "client_gone")


async def _disconnected(request: Request) -> None:
    """Returns when the client has hung up. The body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _as_refused(_request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, ApiError)
    return refusal.response()


async def _as_unknown(_request: Request, refusal: Exception) -> Response:
    """A path or method that is not there."""
    assert isinstance(refusal, HTTPException)
    return ApiError(
        refusal.status_code, "There is nothing at this path, or not for this method", "not_found"
    ).response()


async def _as_fault(_request: Request, _fault: Exception) -> Response:
    """A fault of ours: its traceback is in the log, and nothing of it in the answer."""
    return ApiError(500, "A fault in the server; its log says more", "internal_error").response()
