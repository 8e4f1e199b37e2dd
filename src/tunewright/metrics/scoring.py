"""Scores of answers, labels and tags against references: pure functions, no model and no torch.

An answer that is a JSON object counts by its content, so key order and spaces do not matter; any other text counts
after stripping.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Final, TypeVar

from tunewright.config.tasks import ProblemType
from tunewright.data.examples.formats import Example
from tunewright.data.tokenized.thinking import CLOSE, OPEN
from tunewright.metrics.rouge_bleu import bleu, rouge

T = TypeVar("T", bound=Hashable)
_ENTITY_TAG: Final = re.compile(r"O|[BILUES](?:-.+)?|M-.+")
_SAME_PREFIX: Final = {"L": "E", "U": "S", "M": "I"}  # BILOU and BMES say with other letters what BIOES says


def exact_match(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Share of predictions equal to their reference; JSON objects are compared as objects. 0.0 for no rows."""
    pairs = list(zip(predictions, references, strict=True))
    return sum(_is_equal(prediction, reference) for prediction, reference in pairs) / len(pairs) if pairs else 0.0


def json_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`valid` (parses as a JSON object), `exact_match` and `field_f1`, each from 0 to 1.

    `field_f1` is 2 * equal fields / (predicted + gold fields), summed over all rows before dividing; a prediction
    that is not an object has no fields.
    """
    pairs = list(zip(predictions, references, strict=True))
    counts = [json_counts(prediction, reference) for prediction, reference in pairs]
    equal, fields = sum(count[0] for count in counts), sum(count[1] for count in counts)
    return {
        "valid": sum(map(is_json_object, predictions)) / len(pairs) if pairs else 0.0,
        "exact_match": exact_match(predictions, references),
        "field_f1": 2 * equal / fields if fields else 0.0,
    }


def json_counts(prediction: str, reference: str) -> tuple[int, int]:
    """Of one row: equal fields, and predicted and gold fields together."""
    predicted, gold = _parse_object(prediction) or {}, _parse_object(reference) or {}
    equal = sum(key in predicted and _is_same(predicted[key], value) for key, value in gold.items())
    return equal, len(predicted) + len(gold)


def is_json_object(text: str) -> bool:
    """True if the text parses as a JSON object."""
    return _parse_object(text) is not None


def is_json_task(references: Sequence[str]) -> bool:
    """True if there are references and each parses as a JSON object."""
    return bool(references) and all(map(is_json_object, references))


def final_answer(answer: str) -> str:
    """An answer without its thinking, which may have been opened in the prompt; empty if the thinking does not end."""
    head, closing, rest = answer.partition(CLOSE)
    is_thought = head.lstrip().startswith(OPEN) or (closing and head.endswith("\n") and OPEN not in head)
    return rest.lstrip() if is_thought else answer


def _parse_object(text: str) -> dict[str, object] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _is_equal(prediction: str, reference: str) -> bool:
    if prediction.strip() == reference.strip():
        return True
    predicted, gold = _parse_object(prediction), _parse_object(reference)
    return predicted is not None and gold is not None and _is_same(predicted, gold)


def _is_same(first: object, second: object) -> bool:
    # Python holds True == 1 and False == 0; JSON does not. 2 and 2.0 stay one number.
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_is_same(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(_is_same(*pair) for pair in zip(first, second, strict=True))
    return first == second


def text_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`exact_match`, `rouge1`, `rouge2`, `rougeL` and `bleu` of written texts, each from 0 to 1."""
    return {
        "exact_match": exact_match(predictions, references),
        **rouge(predictions, references),
        "bleu": bleu(predictions, references),
    }


def classification_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """`accuracy`, and `macro_f1`: the mean F1 of all labels that were predicted or are right."""
    predicted = Counter(predictions)
    gold = Counter(references)
    equal = Counter(p for p, r in zip(predictions, references, strict=True) if p == r)
    return {"accuracy": equal.total() / max(1, len(references)), "macro_f1": _macro_f1(equal, predicted, gold)}


def multi_label_scores(
    predictions: Sequence[Collection[str]], references: Sequence[Collection[str]]
) -> dict[str, float]:
    """`accuracy` (rows whose whole set is right), `micro_f1` of all labels together, `macro_f1`: their mean."""
    predicted = Counter(name for names in predictions for name in names)
    gold = Counter(name for names in references for name in names)
    pairs = [(set(p), set(r)) for p, r in zip(predictions, references, strict=True)]
    equal = Counter(name for p, r in pairs for name in p & r)
    return {
        "accuracy": sum(p == r for p, r in pairs) / max(1, len(pairs)),
        "micro_f1": f1(equal.total(), predicted.total(), gold.total()),
        "macro_f1": _macro_f1(equal, predicted, gold),
    }


def _macro_f1(equal: Counter[str], predicted: Counter[str], gold: Counter[str]) -> float:
    labels = predicted.keys() | gold.keys()
    # A set has another order in each process; an exact sum has one value in all of them.
    return math.fsum(f1(equal[name], predicted[name], gold[name]) for name in labels) / len(labels) if labels else 0.0


def f1(equal: int, predicted: int, gold: int) -> float:
    """Harmonic mean of precision and recall; 0.0 where nothing was found and nothing is right."""
    return 2 * equal / (predicted + gold) if predicted + gold else 0.0


def regression_scores(predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
    """`mae`, `rmse`, and `pearson`: the correlation, 0.0 where one side does not vary."""
    count = max(1, len(references))
    errors = [p - r for p, r in zip(predictions, references, strict=True)]
    return {
        "mae": sum(map(abs, errors)) / count,
        "rmse": math.sqrt(sum(error * error for error in errors) / count),
        "pearson": _correlation(predictions, references),
    }


def _correlation(first: Sequence[float], second: Sequence[float]) -> float:
    if len(set(first)) < 2 or len(set(second)) < 2:
        return 0.0
    return statistics.correlation(first, second)


def tag_scores(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """`accuracy` of words, and for entities `entity_f1`, `entity_precision`, `entity_recall`, all of them together.

    An entity counts if its type and both ends are right. Tags that mark no entities get `macro_f1` instead.
    """
    predicted, gold = ([tag for row in rows for tag in row] for rows in (predictions, references))
    plain = classification_scores(predicted, gold)
    if not has_entities(gold):
        return plain
    both = [(set(entities(p)), set(entities(r))) for p, r in zip(predictions, references, strict=True)]
    num_predicted, num_gold = (sum(len(pair[side]) for pair in both) for side in (0, 1))
    equal = sum(len(p & r) for p, r in both)
    return {
        "accuracy": plain["accuracy"],
        "entity_f1": f1(equal, num_predicted, num_gold),
        "entity_precision": equal / max(1, num_predicted),
        "entity_recall": equal / max(1, num_gold),
    }


def has_entities(tags: Iterable[str]) -> bool:
    """Whether these tags mark entities: all are O or begin with B, I, L, U, E, S or M-, and one is not O."""
    distinct = set(tags)
    return bool(distinct - {"O"}) and all(_ENTITY_TAG.fullmatch(tag) for tag in distinct)


def entities(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Type, first and last word of each entity of a row, for IOB1, IOB2 (BIO), BIOES, BILOU and BMES tags.

    Lenient as seqeval's default and conlleval: an entity also begins where a type changes or follows an O, whatever its
    prefix. A tag without a type has the type "_".
    """
    spans = []
    start = 0
    prefix_before, type_before = "O", ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, _hyphen, kind = tag.partition("-")
        prefix, kind = _SAME_PREFIX.get(prefix, prefix), "" if prefix == "O" else kind or "_"
        is_new_type = kind != type_before
        ends = prefix_before in ("E", "S") or prefix in ("B", "S", "O") or is_new_type
        if prefix_before != "O" and ends:
            spans.append((type_before, start, i - 1))
        if prefix != "O" and (prefix in ("B", "S") or prefix_before in ("E", "S", "O") or is_new_type):
            start = i
        prefix_before, type_before = prefix, kind
    return spans


def entity_text(words: Sequence[str], entity: tuple[str, int, int]) -> str:
    """One of the `entities` of a row as people read it: "city: New York"."""
    kind, first, last = entity
    return f"{kind}: {' '.join(words[first : last + 1])}"


def majority_scores(
    train: Iterable[Example], held_out: Sequence[Example], problem_type: ProblemType | None
) -> dict[str, float]:
    """What it scores to give every held-out row the same: the most frequent label, set or tag, or the mean number.

    Rows with words and tags have no `problem_type`.
    """
    if problem_type is None:
        tag = _most_frequent(tag for example in train for tag in example.tags)
        return tag_scores([[tag] * len(e.tags) for e in held_out], [e.tags for e in held_out])
    targets = [example.target for example in held_out]
    if problem_type == "regression":
        mean = statistics.fmean(e.target for e in train if isinstance(e.target, float))
        return regression_scores([mean] * len(targets), [t for t in targets if isinstance(t, float)])
    common = _most_frequent(example.target for example in train)
    if problem_type == "multi_label_classification":
        sets = [t for t in (common, *targets) if isinstance(t, tuple)]
        return multi_label_scores(sets[:1] * len(targets), sets[1:])
    return classification_scores([str(common)] * len(targets), [str(t) for t in targets])


def _most_frequent(items: Iterable[T]) -> T:
    """The most frequent item, the first of equals."""
    return Counter(items).most_common(1)[0][0]
