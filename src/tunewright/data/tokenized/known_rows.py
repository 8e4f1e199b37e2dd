"""Encoded rows that a process keeps by what their examples say, wherever these stand: only what changed is encoded again."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b
from itertools import groupby

from tunewright.data.examples.formats import Example
from tunewright.data.tokenized.tokenization import EncodedChunk, EncodingRules, chunks_of, encode_chunk, rules_key
from tunewright.data.tokenized.tokenized_cache import Store
from tunewright.data.tokenized.tokenized_example import TokenizedExample

MOST_ROWS = 50_000  # after which it begins anew


class KnownRows:
    """The rows of the last data that were encoded by the same rules, those of examples of which nothing was cut."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key = ""
        self._rows: dict[bytes, list[TokenizedExample]] = {}

    def encode(self, examples: Iterable[Example], rules: EncodingRules, store: Store | None) -> Iterator[EncodedChunk]:
        """As `tokenization.encode_chunks`; only examples that are new are encoded."""
        key = rules_key(rules)
        with self._lock:
            if key != self._key or len(self._rows) > MOST_ROWS:
                self._key, self._rows = key, {}
            rows = self._rows
        for chunk in chunks_of(examples):
            digests = [_content(example) for example in chunk]
            known = {
                example.number: known_row
                for example, digest in zip(chunk, digests, strict=True)
                if (known_row := rows.get(digest)) and _is_whole(known_row, rules.max_length)
            }
            fresh = [example for example in chunk if example.number not in known]
            encoded = encode_chunk(fresh, rules, None if known else store) if fresh else EncodedChunk(chunk, [], [])
            new_rows = {number: list(own) for number, own in groupby(encoded.rows, lambda row: row.number)}
            for example, digest in zip(chunk, digests, strict=True):
                if (own := new_rows.get(example.number)) and _is_whole(own, rules.max_length):
                    rows[digest] = own
            yield EncodedChunk(chunk, list(_in_order(chunk, known, new_rows)), encoded.problems)


def _in_order(
    chunk: Iterable[Example], known: dict[int, list[TokenizedExample]], new_rows: dict[int, list[TokenizedExample]]
) -> Iterator[TokenizedExample]:
    for example in chunk:
        own = known.get(example.number)
        yield from (replace(row, number=example.number) for row in own) if own else new_rows.get(example.number, ())


def _is_whole(rows: list[TokenizedExample], max_length: int | None) -> bool:
    """Whether nothing of the rows is cut at this length, so that they are what they were before it."""
    return not any(row.is_truncated or (max_length is not None and row.full_length > max_length) for row in rows)


def _content(example: Example) -> bytes:
    """Digest of an example but for its place."""
    text = repr(replace(example, number=0, file="", line=0))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
