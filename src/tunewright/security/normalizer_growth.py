"""Steps of a tokenizer that make texts longer, one after another: forty doublings of one letter are not a normalizer."""

from collections.abc import Iterator
from typing import Any

MOST_GROWTH = 64
_LISTS = ("normalizers", "decoders", "pretokenizers", "processors")


def growth(step: Any) -> float:
    """How many times longer the replacements of a normalizer or decoder can make a text; `step` is its JSON, or None."""
    factor = 1.0
    for single in _steps(step):
        if single.get("type") == "Replace":
            pattern = single.get("pattern", {}).get("String") or " "
            factor *= max(1.0, len(single.get("content", "")) / len(pattern))
    return factor


def replaced(step: Any) -> list[str]:
    """The texts, not patterns, that a step looks for; each once."""
    patterns = [single.get("pattern") for single in _steps(step)]
    texts = [pattern.get("String") for pattern in patterns if isinstance(pattern, dict)]
    return list(dict.fromkeys(text for text in texts if isinstance(text, str) and text))[:100]


def _steps(step: Any) -> Iterator[dict[str, Any]]:
    """A step and those in it."""
    waiting = [step]
    while waiting:
        single = waiting.pop()
        if isinstance(single, dict):
            yield single
            for name in _LISTS:
                waiting += single.get(name) or []
