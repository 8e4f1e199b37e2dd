"""What is wrong between rows: duplicates, conflicts, leaks into held-out; and a split that cannot leak.

Pure functions on examples. Two rows are the same if what is asked and what is answered are: turns or text, pair, label,
words and tags. Two texts are the same if they agree after NFKC and with white space folded; case counts.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from tunewright.data.formats import Example
from tunewright.data.labels import names_in

MAX_HELD_OUT_ROWS = 1000


@dataclass(frozen=True)
class Finding:
    """Rows that share one fault: `kind` is duplicate, conflict or leak; `numbers` are the later, offending rows."""

    kind: str
    numbers: tuple[int, ...]


def duplicates(examples: Iterable[Example]) -> Finding:
    """Rows whose whole example stands in an earlier row."""
    seen: set[bytes] = set()
    numbers = []
    for example in examples:
        key = _key_of(example)
        if key in seen:
            numbers.append(example.number)
        seen.add(key)
    return Finding("duplicate", tuple(numbers))


def conflicts(examples: Iterable[Example]) -> Finding:
    """Rows that ask what an earlier row asks, and have another answer, label or tags. Plain text asks nothing."""
    answers: defaultdict[bytes, set[bytes]] = defaultdict(set)
    numbers = []
    for example in examples:
        if not example.messages and example.target is None and not example.words:
            continue
        earlier = answers[_key_of(replace(example, messages=example.messages[:-1], target=None, tags=()))]
        answer = _key_of(example)
        if earlier - {answer}:
            numbers.append(example.number)
        earlier.add(answer)
    return Finding("conflict", tuple(numbers))


def leaks(train: Iterable[Example], held_out: Iterable[Example]) -> Finding:
    """Held-out rows whose whole example stands in the training rows; the numbers are those of held-out."""
    trained = {_key_of(example) for example in train}
    return Finding("leak", tuple(example.number for example in held_out if _key_of(example) in trained))


def split(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out rows, each in the order of the data; equal rows stay on one side.

    Held out are about `share` of the rows, at least one where two rows differ, at most 1000; none if `share` is 0.
    Each row's place is drawn from seed and content alone, so a row that is added moves few others. The last row of a
    label or tag always stays in training.
    """
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        groups[_key_of(example)].append(index)
    if share <= 0 or len(groups) < 2:
        return list(examples), []
    wanted = min(max(round(len(examples) * share), 1), MAX_HELD_OUT_ROWS)
    drawn = sorted(groups, key=lambda key: blake2b(key, key=str(seed).encode(), digest_size=16).digest())
    held: set[int] = set()
    rows_with = Counter(name for example in examples for name in set(names_in(example)))

    def is_spared(key: bytes) -> bool:
        return all(rows_with[name] > len(groups[key]) for name in names_in(examples[groups[key][0]]))

    for key in drawn[:-1]:
        if len(held) + len(groups[key]) <= wanted and is_spared(key):
            held.update(groups[key])
            rows_with.subtract({name: len(groups[key]) for name in names_in(examples[groups[key][0]])})
    smallest: list[int] = min((groups[key] for key in drawn if is_spared(key)), key=len, default=[])
    held = held or set(smallest)
    train = [example for index, example in enumerate(examples) if index not in held]
    return train, [example for index, example in enumerate(examples) if index in held]


def _key_of(example: Example) -> bytes:
    digest = blake2b(digest_size=16)
    for message in example.messages:
        digest.update(f"{message.role}\0{_normal(message.content)}\0".encode())
    digest.update(_normal(example.text).encode())
    # Nothing is added for conversations and plain text: their places in the split were drawn before there was more.
    if example.pair or example.words or example.target is not None:
        words = [_normal(word) for word in example.words]
        digest.update(f"\0{[_normal(example.pair), words, example.tags, example.target]}".encode())
    return digest.digest()


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())
