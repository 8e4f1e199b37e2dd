"""A front with the tiny model behind it, in this process's background: for the tests of serving."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import openai

from tests.deploy.tiny_gguf import CHATML, write_adapter, write_model
from tunewright.extras.serve.backend import ServedModel
from tunewright.extras.serve.front import Front
from tunewright.extras.serve.gate import Access
from tunewright.extras.serve.llama_backend import LlamaBackend
from tunewright.extras.serve.llama_engine import LlamaEngine, LlamaModel, start_engine
from tunewright.extras.serve.run_front import FrontServer, bind

KEY = "a key of the tests"
MODELS = (ServedModel("base"), ServedModel("first", 0), ServedModel("second", 1))
TINY = LlamaModel(Path("model.gguf"), (Path("first.gguf"), Path("second.gguf")), context=512, slots=2, threads=1)


@dataclass(frozen=True)
class Serving:
    """What is being served, and clients for it."""

    front: Front
    server: FrontServer
    engine: LlamaEngine

    @property
    def url(self) -> str:
        return self.server.url

    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.front.access.key or "none", max_retries=0)

    def client(self, **headers: str) -> httpx2.Client:
        key = {"Authorization": f"Bearer {self.front.access.key}"} if self.front.access.key else {}
        return httpx2.Client(base_url=self.url, headers={**key, **headers}, timeout=60)


@contextmanager
def serving(
    folder: Path,
    *,
    models: Sequence[ServedModel] = MODELS,
    access: Access | None = None,
    template: str = CHATML,
    context: int = TINY.context,
    request_seconds: float = 60,
    idle_seconds: float | None = None,
) -> Iterator[Serving]:
    """The tiny model with two adapters; `folder` gets its files and the engine's log."""
    write_model(folder / TINY.path, template)
    for number, adapter in enumerate(TINY.adapters):
        write_adapter(folder / adapter, seed=number + 1)
    adapters = tuple(folder / adapter for adapter in TINY.adapters)
    model = replace(TINY, path=folder / TINY.path, adapters=adapters, context=context)
    server = FrontServer(bind("127.0.0.1", 0))
    with start_engine(model, log=folder / "engine.log") as engine:
        backend = LlamaBackend(engine, server.end_with, request_seconds)
        front = Front(backend, models, access or Access(KEY), idle_seconds)
        with server.in_background(front):
            yield Serving(front, server, engine)
