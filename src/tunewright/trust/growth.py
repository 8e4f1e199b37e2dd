"""Steps of a tokenizer that make texts longer, one after another: forty doublings of one letter are no normalizer."""

import json
from typing import Any

MOST_GROWTH = 64


def growth(state: bytes) -> float:
    """How many times longer the replacements of a normalizer or decoder can make a text; `state` is its JSON."""
    factor = 1.0
    waiting: list[Any] = [json.loads(state)]
    while waiting:
        step = waiting.pop()
        for name in ("normalizers", "decoders"):
            waiting += step.get(name) or []
        if step.get("type") == "Replace":
            pattern = step.get("pattern", {}).get("String") or " "
            factor *= max(1.0, len(step.get("content", "")) / len(pattern))
    return factor
