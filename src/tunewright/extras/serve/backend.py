"""What stands behind the front: the one interface of llama.cpp and of a run's own session, and what is served under which name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.responses import Response

from tunewright.extras.serve.api_request import ChatRequest, ClassifyRequest, CompletionRequest


@dataclass(frozen=True)
class ServedModel:
    """A model under its name: one of the engine's adapters, or what the engine holds without any."""

    name: str
    adapter: int | None = None
    """The adapter's id in the engine; None for the model itself, every adapter off."""
    opening: Sequence[dict[str, object]] = ()
    """The turns put before a conversation that has no system turn of its own."""


class Backend(Protocol):
    """Answers requests that were checked already. A field that it would ignore it refuses, with 400 and the field's name."""

    context: int
    """Tokens of prompt and answer together."""
    slots: int
    """How many requests are answered at once."""

    async def start(self) -> None:
        """Be ready to answer."""

    async def close(self) -> None:
        """End every child."""

    async def idle(self) -> None:
        """Give the memory back until the next request."""

    async def chat(self, model: ServedModel, request: ChatRequest) -> Response: ...

    async def complete(self, model: ServedModel, request: CompletionRequest) -> Response: ...

    async def classify(self, model: ServedModel, request: ClassifyRequest) -> Response: ...
