"""Scores of generated answers against references: pure functions on text, no model and no torch.

An answer that is a JSON object counts by its content, so key order and spaces do not matter; any other text counts
after stripping.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Final

_Z95: Final = 1.959963984540054


def exact_match(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Share of predictions equal to their reference; JSON objects are compared as objects. 0.0 for no rows."""
    pairs = list(zip(predictions, references, strict=True))
    return sum(_is_equal(prediction, reference) for prediction, reference in pairs) / len(pairs) if pairs else 0.0


def json_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`valid` (parses as a JSON object), `exact_match` and `field_f1`, each from 0 to 1.

    `field_f1` is 2 * equal fields / (predicted + gold fields), summed over all rows before dividing; a prediction
    that is no object has no fields.
    """
    valid = equal = fields = 0
    pairs = list(zip(predictions, references, strict=True))
    for prediction, reference in pairs:
        found, gold = _parse_object(prediction), _parse_object(reference) or {}
        fields += len(gold)
        if found is None:
            continue
        valid += 1
        fields += len(found)
        equal += sum(key in found and _is_same(found[key], value) for key, value in gold.items())
    return {
        "valid": valid / len(pairs) if pairs else 0.0,
        "exact_match": exact_match(predictions, references),
        "field_f1": 2 * equal / fields if fields else 0.0,
    }


def is_json_task(references: Sequence[str]) -> bool:
    """True if there are references and each parses as a JSON object."""
    return bool(references) and all(_parse_object(reference) is not None for reference in references)


def interval(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, (0.0, 1.0) for no trials.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    if n == 0:
        return 0.0, 1.0
    share, square = successes / n, _Z95 * _Z95
    centre = share + square / (2 * n)
    margin = _Z95 * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    scale = 1 + square / n
    # The formula gives these two ends exactly; rounding of the square root does not.
    low = 0.0 if successes == 0 else (centre - margin) / scale
    high = 1.0 if successes == n else (centre + margin) / scale
    return low, high


def _parse_object(text: str) -> dict[str, object] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _is_equal(prediction: str, reference: str) -> bool:
    if prediction.strip() == reference.strip():
        return True
    found, gold = _parse_object(prediction), _parse_object(reference)
    return found is not None and gold is not None and _is_same(found, gold)


def _is_same(left: object, right: object) -> bool:
    # Python holds True == 1 and False == 0; JSON does not. 2 and 2.0 stay one number.
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_is_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(_is_same(*pair) for pair in zip(left, right, strict=True))
    return left == right
