"""What the process that holds llama.cpp is told on its standard input, and what it replies: one JSON line each."""

import json
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class EngineSettings:
    """A server of llama.cpp to start. On the pipe and never in argv or the environment, as it holds the key."""

    model: str
    """The GGUF file."""
    adapters: tuple[str, ...]
    """LoRA adapters as GGUF files; their ids in requests count from 0 in this order."""
    context: int
    """Tokens of prompt and answer together that one request may have."""
    slots: int
    """How many requests are answered at once."""
    threads: int
    key: str
    """What requests must bring as bearer token."""

    def to_line(self) -> str:
        return json.dumps(vars(self))

    @classmethod
    def from_line(cls, line: str) -> Self:
        values = json.loads(line)
        return cls(**{**values, "adapters": tuple(values["adapters"])})


@dataclass(frozen=True)
class EngineAddress:
    """Where the server listens."""

    port: int

    def to_line(self) -> str:
        return json.dumps(vars(self))

    @classmethod
    def from_line(cls, line: str) -> Self:
        return cls(**json.loads(line))
