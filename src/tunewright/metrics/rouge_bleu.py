"""How much two texts share: ROUGE and corpus BLEU. Pure functions, Chinese characters counted as words."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from tunewright.data.word_text import CJK

LONGEST = 4  # BLEU counts runs of one to four words
Ngrams = Counter[tuple[str, ...]]

_CJK = re.compile(f"[{CJK}]")
_ROUGE_WORD = re.compile(rf"(?=\w)[{CJK}]|[^\W_{CJK}]+")
# What sacrebleu's zh parts: Chinese, and the marks from U+2001 on, quotes and dashes among them; kana is ours.
_ALONE = re.compile(f"([{CJK}\u2001-\u2a6d])")
_ENTITIES = (("<skipped>", ""), ("-\n", ""), ("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
# mteval-v13a: marks are tokens; a full stop or comma stays within a number, a hyphen after one is a token.
_MARKS = re.compile(r"([{-~\[-` -&(-+:-@/])")
_STOPS = ((re.compile(r"([^0-9])([.,])"), r"\1 \2 "), (re.compile(r"([.,])([^0-9])"), r" \1 \2"))
_HYPHEN = re.compile(r"([0-9])(-)")


def rouge(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """rouge1, rouge2 and rougeL: F-measures of words, pairs of words and the longest common subsequence, mean over rows.

    Source: Lin (2004), ROUGE: A Package for Automatic Evaluation of Summaries; words as in rouge-score, without stemming.
    """
    totals = {"rouge1": 0.0, "rouge2": 0.0, "rougeL": 0.0}
    for prediction, reference in zip(predictions, references, strict=True):
        predicted, gold = (_ROUGE_WORD.findall(text.lower()) for text in (prediction, reference))
        for n in (1, 2):
            both = (_ngrams(predicted, n) & _ngrams(gold, n)).total()
            totals[f"rouge{n}"] += _f_measure(both, len(predicted) - n + 1, len(gold) - n + 1)
        totals["rougeL"] += _f_measure(_longest_common(predicted, gold), len(predicted), len(gold))
    return {name: total / max(1, len(predictions)) for name, total in totals.items()}


def _f_measure(both: int, predicted: int, gold: int) -> float:
    return 2 * both / (predicted + gold) if both else 0.0


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence. Cost: len(left) * len(right) steps."""
    row = [0] * (len(second) + 1)
    for word in first:
        before = row
        row = [0]
        for i, other in enumerate(second):
            row.append(before[i] + 1 if word == other else max(before[i + 1], row[i]))
    return row[-1]


def bleu(predictions: Sequence[str], references: Sequence[str]) -> float:
    """BLEU-4 of the whole corpus with one reference each, from 0 to 1; runs longer than any prediction do not count.

    Source: Papineni et al. (2002); words by mteval-v13a, case kept, or sacrebleu's zh if a reference holds Chinese, and
    sacrebleu's exponential smoothing: the k-th order without a match counts as 1 / 2**k of a match (Lin and Och, 2004).
    """
    words = _chinese_words if any(map(_CJK.search, references)) else _words
    pairs = [(words(p), words(r)) for p, r in zip(predictions, references, strict=True)]
    num_predicted, num_gold = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    logs: list[float] = []
    smooth, has_match = 1.0, False
    for n in range(1, LONGEST + 1):
        total = sum(max(0, len(predicted) - n + 1) for predicted, _gold in pairs)
        if total == 0:
            break
        both = sum((_ngrams(predicted, n) & _ngrams(gold, n)).total() for predicted, gold in pairs)
        has_match = has_match or both > 0
        smooth = smooth if both else smooth / 2
        logs.append(math.log((both or smooth) / total))
    if not has_match:
        return 0.0
    brevity = min(1.0, math.exp(1 - num_gold / num_predicted))
    return brevity * math.exp(sum(logs) / len(logs))


def _ngrams(words: Sequence[str], n: int) -> Ngrams:
    return Counter(zip(*(words[i:] for i in range(n)), strict=False))


def _words(text: str) -> list[str]:
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    return _parted(f" {text} ".replace("\n", " "))


def _chinese_words(text: str) -> list[str]:
    return _parted(_ALONE.sub(r" \1 ", text.strip()))


def _parted(text: str) -> list[str]:
    text = _MARKS.sub(r" \1 ", text)
    for pattern, spaced in _STOPS:
        text = pattern.sub(spaced, text)
    return _HYPHEN.sub(r"\1 \2 ", text).split()
