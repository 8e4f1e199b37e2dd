"""Clients for a server that speaks OpenAI's API: so many at once, each with the next of the prompts, by one event loop."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx2

CHAT = "/v1/chat/completions"
MAX_TOKENS = 64


@dataclass(frozen=True)
class Target:
    """A server; `lora` is what bare llama.cpp must be told in each request, empty for a front."""

    url: str
    key: str
    model: str
    lora: Sequence[dict[str, float]] = ()

    def body(self, prompt: Sequence[dict[str, str]], *, stream: bool) -> dict[str, object]:
        lora = {"lora": list(self.lora)} if self.lora else {}
        usage = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        head = {"model": self.model, "temperature": 0, "max_tokens": MAX_TOKENS}
        return {**head, "messages": list(prompt), **lora, **usage}


@dataclass
class Outcome:
    """What came of many requests; seconds are those of single ones."""

    texts: dict[int, str] = field(default_factory=dict)
    tokens: int = 0
    seconds: list[float] = field(default_factory=list)
    first_seconds: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    wall_seconds: float = 0.0

    def count(self, status: str) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1


async def ask_all(
    target: Target, prompts: Sequence[Sequence[dict[str, str]]], clients: int, *, stream: bool = False,
    hang_up: float = 0.0, retries: int = 0, seed: int = 0,
) -> Outcome:  # fmt: skip
    """Every prompt once, by `clients` at once. A share `hang_up` of them leaves after a moment, each in its own way."""
    outcome, waiting, draw = Outcome(), list(enumerate(prompts)), random.Random(seed)
    headers = {"Authorization": f"Bearer {target.key}"}
    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(
        base_url=target.url, headers=headers, timeout=120, limits=limits, trust_env=False
    ) as http:

        async def client() -> None:
            while waiting:
                number, prompt = waiting.pop(0)
                if draw.random() < hang_up:
                    await _leave(http, target, prompt, stream=draw.random() < 0.5, after=draw.random() * 0.5)
                    outcome.count("hung up")
                    continue
                for attempt in range(retries + 1):
                    status = await _ask(http, target, number, prompt, outcome, stream=stream)
                    if status == "200" or attempt == retries:
                        outcome.count(status)
                        break
                    outcome.count(f"{status}, asked again")
                    await asyncio.sleep(1.0)

        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        outcome.wall_seconds = time.perf_counter() - started
    return outcome


async def _ask(
    http: httpx2.AsyncClient, target: Target, number: int, prompt: Sequence[dict[str, str]], outcome: Outcome, *, stream: bool
) -> str:  # fmt: skip
    """The status of one request; `cut` for a stream that ended before its end, `no connection` where there was none."""
    started = time.perf_counter()
    try:
        if not stream:
            response = await http.post(CHAT, json=target.body(prompt, stream=False))
            if response.status_code != 200:
                return str(response.status_code)
            answer = response.json()
            outcome.texts[number] = answer["choices"][0]["message"]["content"]
            outcome.tokens += answer["usage"]["completion_tokens"]
        else:
            async with http.stream("POST", CHAT, json=target.body(prompt, stream=True)) as response:
                if response.status_code != 200:
                    return str(response.status_code)
                if not await _read_stream(response, number, outcome, started):
                    return "cut"
    except httpx2.TransportError:
        return "no connection"
    outcome.seconds.append(time.perf_counter() - started)
    return "200"


async def _read_stream(response: httpx2.Response, number: int, outcome: Outcome, started: float) -> bool:
    text, has_begun = "", False
    async for line in response.aiter_lines():
        if line == "data: [DONE]":
            outcome.texts[number] = text
            return True
        if not line.startswith("data: "):
            continue
        event = json.loads(line[6:])
        if "error" in event:
            return False
        for choice in event["choices"]:
            if choice["delta"].get("content"):
                if not has_begun:
                    outcome.first_seconds.append(time.perf_counter() - started)
                has_begun = True
                text += choice["delta"]["content"]
        if event.get("usage"):
            outcome.tokens += event["usage"]["completion_tokens"]
    return False


async def _leave(
    http: httpx2.AsyncClient, target: Target, prompt: Sequence[dict[str, str]], *, stream: bool, after: float
) -> None:
    """Ask, and hang up after so many seconds."""
    try:
        async with asyncio.timeout(after):
            async with http.stream("POST", CHAT, json=target.body(prompt, stream=stream)) as response:
                async for _chunk in response.aiter_bytes():
                    pass
    except (TimeoutError, httpx2.TransportError):
        pass
