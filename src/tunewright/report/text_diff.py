"""Two texts side by side: which words of the one the other does not have in the same place."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from tunewright.data.word_text import split_words
from tunewright.metrics.scoring import is_json_object

LEAST_IN_COMMON = 0.4  # below, nearly every word would be marked, which shows nothing


@dataclass(frozen=True)
class DiffPart:
    """A stretch of a text; `is_only_here` if the other text has something else there."""

    text: str
    is_only_here: bool = False


def differing(text: str, other: str) -> list[DiffPart]:
    """The text in parts; nothing is marked where both have little in common. Of JSON objects the order does not count."""
    if is_json_object(text) and is_json_object(other):
        other = _in_order_of(text, other)
    mine, theirs = split_words(text), split_words(other)
    matcher = SequenceMatcher(None, mine, theirs)
    if matcher.ratio() < LEAST_IN_COMMON:
        return [DiffPart(text)]
    return list(_parts(text, _places(text, mine), matcher))


def _in_order_of(text: str, other: str) -> str:
    """An object as JSON with the keys of `text` first, in their order."""
    keys, values = json.loads(text), json.loads(other)
    ordered = {key: values[key] for key in (*keys, *values) if key in values}
    return json.dumps(ordered, ensure_ascii=False)


def _places(text: str, words: list[str]) -> list[tuple[int, int]]:
    """Where each word begins and ends."""
    places, place = [], 0
    for word in words:
        begin = text.index(word, place)
        place = begin + len(word)
        places.append((begin, place))
    return places


def _parts(text: str, places: list[tuple[int, int]], matcher: SequenceMatcher[str]) -> Iterator[DiffPart]:
    done = 0
    for kind, first, end, _begin_there, _end_there in matcher.get_opcodes():
        if kind in ("equal", "insert"):
            continue
        begin, finish = places[first][0], places[end - 1][1]
        if begin > done:
            yield DiffPart(text[done:begin])
        yield DiffPart(text[begin:finish], is_only_here=True)
        done = finish
    if done < len(text):
        yield DiffPart(text[done:])
