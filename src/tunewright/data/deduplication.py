"""What is wrong between rows: duplicates, conflicts, leaks into held-out; and a split that cannot leak.

Rows are compared by prints, a few bytes of each, so that far more rows can be compared than fit into memory. Two rows are the
same if what is asked and what is answered are: turns or text, pair, label, words and tags. Two texts are the same if they
agree after NFKC and with white space folded; case counts.
"""

import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from heapq import nsmallest
from itertools import groupby

from tunewright.data.examples.formats import Example
from tunewright.data.examples.label_names import names_in

MAX_HELD_OUT_ROWS = 1000
MOST_MARKS = 100  # no script has so many on one letter; UAX #15 calls a text with 30 safe
# How many times more rows are drawn than are held out: equal rows, and last rows of a label, may not fit.
DRAWN = 8
PART_ROWS = 2**20  # that are compared at once
_KEY, _SHORT = 16, 8  # bytes of a digest, and those of it by which rows are distinguished


class RowHashes:
    """Number, digest, digest of what is asked, and labels of rows, in their order: 36 bytes for each."""

    def __init__(self, examples: Iterable[Example] = ()) -> None:
        self.numbers = array("Q")
        self.names: Counter[str] = Counter()  # how many rows (for tags: words) have each label
        self._wholes = bytearray()
        self.prompt_hashes = array("Q")  # digests of what rows ask; 0 for plain text, which asks nothing
        self._labels = array("I")
        self._label_sets: dict[frozenset[str], int] = {}
        for example in examples:
            self.add(example)

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, example: Example) -> None:
        names = names_in(example)
        self.numbers.append(example.number)
        self.names.update(names)
        self._wholes += _key_of(example)
        self.prompt_hashes.append(_prompt_hash(example))
        self._labels.append(self._label_sets.setdefault(frozenset(names), len(self._label_sets)))

    def row_hash(self, place: int) -> bytes:
        """The digest of a row; equal rows have equal ones."""
        return bytes(self._wholes[_KEY * place : _KEY * (place + 1)])

    def short(self) -> Iterator[int]:
        """The digests of all rows as numbers, which need less memory in a set."""
        for start in range(0, len(self._wholes), _KEY):
            yield int.from_bytes(self._wholes[start : start + _SHORT])

    def labels(self) -> list[frozenset[str]]:
        """The labels of each row."""
        sets = list(self._label_sets)
        return [sets[number] for number in self._labels]


def duplicates(rows: RowHashes) -> list[int]:
    """Numbers of the rows that are contained in an earlier row."""
    keys = array("Q", rows.short())
    numbers: list[int] = []
    for places in _parts(keys):
        seen: set[int] = set()
        for place in places:
            if keys[place] in seen:
                numbers.append(rows.numbers[place])
            seen.add(keys[place])
    return numbers if len(rows) <= PART_ROWS else sorted(numbers)


def conflicts(rows: RowHashes) -> list[int]:
    """Numbers of the rows that ask what an earlier row asks, and have another answer, label or tags."""
    keys = array("Q", rows.short())
    numbers: list[int] = []
    for places in _parts(rows.prompt_hashes):
        numbers += _conflicts(rows, keys, places)
    return numbers if len(rows) <= PART_ROWS else sorted(numbers)


def _conflicts(rows: RowHashes, keys: "array[int]", places: Sequence[int]) -> Iterator[int]:
    prompt_hashes = rows.prompt_hashes
    # First, as a place for each answer takes twice the memory.
    repeated_prompts = _seen_again(prompt_hashes[place] for place in places)
    first: dict[int, int] = {}
    is_disputed: set[int] = set()
    for place in places:
        prompt_hash, row_hash = prompt_hashes[place], keys[place]
        if prompt_hash not in repeated_prompts:
            continue
        if first.setdefault(prompt_hash, row_hash) != row_hash:
            is_disputed.add(prompt_hash)
        if prompt_hash in is_disputed:
            yield rows.numbers[place]


def _parts(keys: "array[int]") -> list[Sequence[int]]:
    """Places in parts, each in order, equal keys in one part: a set of all keys would take a hundred bytes a row."""
    if len(keys) <= PART_ROWS:
        return [range(len(keys))]
    parts = [array("Q") for _ in range(len(keys) // PART_ROWS + 1)]
    for place, key in enumerate(keys):
        parts[key % len(parts)].append(place)
    return [*parts]


def _seen_again(keys: Iterable[int]) -> set[int]:
    """The keys that appear twice or more; 0 is none."""
    seen, again = {0}, set()
    for key in keys:
        if key in seen:
            again.add(key)
        seen.add(key)
    return again - {0}


def leaks(train: RowHashes, held_out: RowHashes) -> list[int]:
    """Numbers of the held-out rows that are contained in the training rows."""
    held_out_keys = set(held_out.short())
    trained = {key for key in train.short() if key in held_out_keys}
    return [number for number, key in zip(held_out.numbers, held_out.short(), strict=True) if key in trained]


def held_out(rows: RowHashes, share: float, seed: int) -> set[int]:
    """Places of the rows to hold out; equal rows stay on one side.

    Held out are about `share` of the rows, at least one where two rows differ, at most 1000; none if `share` is 0.
    Each row's place is drawn from seed and content alone, so a row that is added moves few others. The last row of a
    label or tag always stays in training.
    """
    if share <= 0 or not len(rows):
        return set()
    num_rows = min(max(round(len(rows) * share), 1), MAX_HELD_OUT_ROWS)
    if DRAWN * num_rows < len(rows):
        places = _drawn(rows, num_rows, seed, DRAWN * num_rows)
        if len(places) == num_rows:  # the first of all drawn were enough
            return places
    return _drawn(rows, num_rows, seed, len(rows))


def _drawn(rows: RowHashes, num_rows: int, seed: int, most: int) -> set[int]:
    """As `held_out`, of the `most` rows that are drawn first."""

    def draw(key: bytes) -> bytes:
        return blake2b(key, key=str(seed).encode(), digest_size=_KEY).digest()

    keys = nsmallest(most, (rows.row_hash(place) for place in range(len(rows))), key=draw)
    groups: dict[bytes, list[int]] = {key: [] for key in keys}
    if len(groups) < 2:
        return set()
    for place in range(len(rows)):
        if (key := rows.row_hash(place)) in groups:
            groups[key].append(place)
    labels = rows.labels() if rows.names else None
    rows_with = Counter(name for names in labels or () for name in names)

    def names_of(key: bytes) -> frozenset[str]:
        return labels[groups[key][0]] if labels else frozenset()

    def is_spared(key: bytes) -> bool:
        return all(rows_with[name] > len(groups[key]) for name in names_of(key))

    places: set[int] = set()
    for key in list(groups)[:-1]:
        if len(places) + len(groups[key]) <= num_rows and is_spared(key):
            places.update(groups[key])
            rows_with.subtract({name: len(groups[key]) for name in names_of(key)})
    smallest: list[int] = min((groups[key] for key in groups if is_spared(key)), key=len, default=[])
    return places or set(smallest)


def _prompt_hash(example: Example) -> int:
    """Digest of what a row asks, never 0; 0 for plain text."""
    if not example.messages and example.target is None and not example.words:
        return 0
    key = _key_of(replace(example, messages=example.messages[:-1], target=None, tags=()))
    return int.from_bytes(key[:_SHORT]) or 1


def _key_of(example: Example) -> bytes:
    digest = blake2b(digest_size=_KEY)
    for message in example.messages:
        digest.update(f"{message.role}\0{_normal(message.content)}\0".encode())
        if message.tool_calls or message.reasoning or not message.learn:
            digest.update(f"{message.tool_calls}\0{_normal(message.reasoning or '')}\0{message.learn}\0".encode())
    digest.update(_normal(example.text).encode())
    # Nothing is added for plain turns and plain text: their places in the split were drawn before there was more.
    if example.tools:
        digest.update(f"\0{example.tools}".encode())
    if example.pair or example.words or example.target is not None:
        words = [_normal(word) for word in example.words]
        digest.update(f"\0{[_normal(example.pair), words, example.tags, example.target]}".encode())
    return digest.digest()


def _normal(text: str) -> str:
    is_safe = text.isascii() or longest_marks(text) <= MOST_MARKS
    return " ".join((unicodedata.normalize("NFKC", text) if is_safe else text).split())


def longest_marks(text: str) -> int:
    """How many combining marks follow each other at most: normalizing takes the square of that."""
    runs = groupby(text, key=lambda char: unicodedata.combining(char) > 0)
    return max((sum(1 for _char in run) for is_mark, run in runs if is_mark), default=0)
