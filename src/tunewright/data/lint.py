"""What is wrong between rows: duplicates, conflicts, leaks into held-out; and a split that cannot leak.

Pure functions on examples. Two texts are the same if they agree after NFKC and with white space folded; case counts.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tunewright.data.formats import Example, Message

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
    """Rows that ask what an earlier row asks, and answer something else. Plain text asks nothing."""
    answers: defaultdict[bytes, set[bytes]] = defaultdict(set)
    numbers = []
    for example in examples:
        if not example.messages:
            continue
        earlier = answers[_key(example.messages[:-1], "")]
        answer = _key(example.messages[-1:], "")
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
    Each row's place is drawn from seed and content alone, so a row that is added moves few others.
    """
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        groups[_key_of(example)].append(index)
    if share <= 0 or len(groups) < 2:
        return list(examples), []
    wanted = min(max(round(len(examples) * share), 1), MAX_HELD_OUT_ROWS)
    drawn = sorted(groups, key=lambda key: blake2b(key, key=str(seed).encode(), digest_size=16).digest())
    held: set[int] = set()
    for key in drawn[:-1]:
        if len(held) + len(groups[key]) <= wanted:
            held.update(groups[key])
    if not held:
        held.update(groups[min(drawn, key=lambda key: len(groups[key]))])
    train = [example for index, example in enumerate(examples) if index not in held]
    return train, [example for index, example in enumerate(examples) if index in held]


def _key_of(example: Example) -> bytes:
    return _key(example.messages, example.text)


def _key(messages: Sequence[Message], text: str) -> bytes:
    digest = blake2b(digest_size=16)
    for message in messages:
        digest.update(f"{message.role}\0{_normal(message.content)}\0".encode())
    digest.update(_normal(text).encode())
    return digest.digest()


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())
