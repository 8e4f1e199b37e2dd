"""Where a deployed model is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Flavour = Literal["llama.cpp", "vllm", "openai"]
"""What a server offers beside OpenAI's API: the prompt as text and as ids (llama.cpp), as ids (vLLM), or nothing."""


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks OpenAI's API."""

    url: str
    """Its address without /v1."""
    key: str = field(default="", repr=False)
    """Sent as bearer token; none if empty."""
    model: str = ""
    """The name to ask by; the first that it lists if empty."""
    flavour: Flavour | None = None
    """Found out by asking if None."""
    clients: int = 1
    """How many requests are sent at once."""
    fields: Mapping[str, object] = field(default_factory=dict)
    """What each request carries beside OpenAI's fields, as llama.cpp's `lora`."""
