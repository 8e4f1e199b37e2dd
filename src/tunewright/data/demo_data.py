"""The demo data of `tunewright quickstart`: shop messages and the JSON object that each means.

One generator makes all rows from a split and a seed, without network and without a model. Held-out rows are made from
other sentence frames and other values than training rows, so a score on them cannot come from memory. Four views show
the same rows as chat messages, as source and target, as a label, and as one tag per word. Scoring is in `metrics.scoring`.

What the answer asks of a model: the intent is a class (6); `size` and `count` are normalised ("extra large" is "XL",
"three" is 3, and "three mugs" are the item "mug"); all other values are copied from the message.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tunewright.data.demo_tables import Split, load_demo_tables

DemoAnswer = dict[str, str | int]

SYSTEM: Final = "Reply in JSON."
INTENTS: Final = ("order", "cancel", "track", "refund", "exchange", "address")
FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "order": ("item", "count", "city"),
    "cancel": ("order_id", "reason"),
    "track": ("order_id", "name"),
    "refund": ("order_id", "item", "reason"),
    "exchange": ("order_id", "item"),
    "address": ("order_id", "city"),
}
"""What an answer has, by intent; an order and an exchange have `color` or `size` too."""
KEYS: Final = ("intent", "order_id", "item", "color", "size", "count", "reason", "city", "name")

_SLOT: Final = re.compile(r"\{(\w+)\}")
_WORD: Final = re.compile(r"[A-Za-z]?\d+|[^\W\d_]+(?:['-][^\W\d_]+)*|[^\w\s]")
_SHORT: Final = {"please": "pls", "Please": "Pls", "Thanks": "Thx", "you": "u", "and": "&", "your": "ur"}
# Words that start with a vowel but are spoken with a consonant: "a unicycle".
_CONSONANT_SOUND: Final = ("uku", "one", "uni")


@dataclass(frozen=True)
class DemoRow:
    """One message with its answer; `words` and `tags` run in parallel (BIO, a key of the answer after the dash)."""

    message: str
    answer: DemoAnswer
    intent: str
    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class _Piece:
    text: str
    key: str | None = None


def split_words(text: str) -> list[str]:
    """Words and punctuation marks of a message, as the tags count them."""
    return _WORD.findall(text)


def plural(item: str) -> str:
    """The plural of an item; it covers the regular forms that the tables hold."""
    if re.search(r"(s|x|z|ch|sh)$", item):
        return item + "es"
    if re.search(r"[^aeiou]y$", item):
        return item[:-1] + "ies"
    return item + "s"


def generate(split: Split, rows: int, seed: int = 0) -> list[DemoRow]:
    """Rows of a split, the intents in turn, no message twice; equal on every machine and every Python.

    The first rows of a longer list are the rows of a shorter one with the same seed.
    """
    # A string seeds through SHA-512, not through hash(), so PYTHONHASHSEED has no part in it.
    rng = random.Random(f"tunewright demo {split} {seed}")
    decks = _Decks(rng)
    unique_rows: dict[str, DemoRow] = {}
    intents: list[str] = []
    while len(unique_rows) < rows:
        if not intents:
            intents = list(INTENTS)
            rng.shuffle(intents)
        row = _Writer(rng, decks, split, intents[-1]).row()
        if row.message not in unique_rows:
            unique_rows[row.message] = row
            intents.pop()
    return list(unique_rows.values())


def as_messages(row: DemoRow) -> dict[str, list[dict[str, str]]]:
    """The row as a chat: system line, message, compact JSON (CAUSAL_LM)."""
    return {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": row.message},
            {"role": "assistant", "content": target(row)},
        ]
    }


def as_pair(row: DemoRow) -> dict[str, str]:
    """The row as source and target text (SEQ_2_SEQ_LM).

    The target is plain words in small letters, as in "intent order, item mug, count 3": an uncased WordPiece tokenizer
    gives it back unchanged, and JSON it does not.
    """
    fields = (f"{key.replace('_', ' ')} {value}" for key, value in row.answer.items())
    return {"source": row.message, "target": ", ".join(fields).lower()}


def as_label(row: DemoRow) -> dict[str, str]:
    """The row as a text with its intent (SEQ_CLS)."""
    return {"text": row.message, "label": row.intent}


def as_tags(row: DemoRow) -> dict[str, list[str]]:
    """The row as words with one BIO tag each (TOKEN_CLS)."""
    return {"tokens": list(row.words), "tags": list(row.tags)}


def target(row: DemoRow) -> str:
    """The answer as compact JSON, keys in the order of `KEYS`."""
    return json.dumps(row.answer, ensure_ascii=False, separators=(",", ":"))


class _Decks:
    """Draws from tables as from shuffled cards: every value once before any comes again.

    A few hundred rows then show nearly all values and frames; independent draws would leave out a third of a table
    that is as long as the number of draws.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._left: dict[tuple[str, ...], list[str]] = {}

    def draw(self, table: tuple[str, ...]) -> str:
        left = self._left.setdefault(table, [])
        if not left:
            left.extend(table)
            self._rng.shuffle(left)
        return left.pop()


class _Writer:
    """Writes one message: chooses the values, fills the frames, types it as a person would."""

    def __init__(self, rng: random.Random, decks: _Decks, split: Split, intent: str) -> None:
        self._rng = rng
        self._draw = decks.draw
        self._split = split
        self._intent = intent
        self._tables = load_demo_tables()
        self._words = self._tables.words[split]
        self._frames = self._tables.frames[split]

    def row(self) -> DemoRow:
        sentences = self._sentences()
        pieces = self._fill(sentences)
        pieces = self._type(_articles(pieces))
        answer: DemoAnswer = {"intent": self._intent}
        values = {piece.key: piece.text for piece in pieces if piece.key}
        for key in KEYS[1:]:
            if key in values:
                answer[key] = self._value(key, values[key])
        words: list[str] = []
        tags: list[str] = []
        for piece in pieces:
            for position, word in enumerate(split_words(piece.text)):
                words.append(word)
                tags.append("O" if piece.key is None else f"{'I' if position else 'B'}-{piece.key}")
        message = "".join(piece.text for piece in pieces)
        return DemoRow(message, answer, self._intent, tuple(words), tuple(tags))

    def _sentences(self) -> list[str]:
        rng, frames = self._rng, self._frames
        request = self._draw(frames.requests[self._intent])
        if "{thing}" in request:
            request = request.replace("{thing}", self._draw(frames.things))
        if "{order}" in request:
            request = request.replace("{order}", self._draw(frames.orders))
        request = request[0].upper() + request[1:]
        slots = set(_SLOT.findall(request))
        frames_of = {"reason": frames.reasons, "city": frames.cities, "name": frames.names}
        if self._intent == "cancel":
            frames_of["reason"] = frames.regrets
        details = [self._draw(frames_of[key]) for key in FIELDS[self._intent] if key in frames_of and key not in slots]
        sentences = [request, *details]
        if rng.random() < 0.12:
            opener = self._draw(frames.openers)
            if opener.endswith(",") and not request.startswith(("I ", "I'")):
                sentences[0] = request[0].lower() + request[1:]
            sentences.insert(0, opener)
        if rng.random() < 0.1:
            sentences.append(self._draw(frames.closers))
        return sentences

    def _fill(self, sentences: list[str]) -> list[_Piece]:
        text = " ".join(sentences)
        slots = set(_SLOT.findall(text))
        words, rng = self._words, self._rng
        wearable = bool(slots & {"size", "size_word"}) or rng.random() < 0.3
        item = self._draw(words.wearables if wearable else words.goods)
        faults = words.faults + words.misfits * 2 if wearable else words.faults
        values: dict[str, Callable[[], str]] = {
            "item": lambda: item,
            "items": lambda: plural(item),
            "color": lambda: self._draw(words.colors),
            "size": lambda: self._draw(tuple(self._tables.sizes)),
            "size_word": lambda: self._draw(self._tables.size_words),
            "count": lambda: self._draw(self._tables.count_forms),
            "city": lambda: self._draw(words.cities),
            "name": self._name,
            "reason": lambda: self._draw(words.regrets if self._intent == "cancel" else faults),
            "id": self._order_id,
        }
        keys: Mapping[str, str] = {"items": "item", "size_word": "size", "id": "order_id"}
        pieces: list[_Piece] = []
        end = 0
        for match in _SLOT.finditer(text):
            slot = match.group(1)
            pieces.append(_Piece(text[end : match.start()]))
            pieces.append(_Piece(values[slot](), keys.get(slot, slot)))
            end = match.end()
        pieces.append(_Piece(text[end:]))
        pieces = [piece for piece in pieces if piece.text]
        first = pieces[0]
        if first.key in ("count", "item"):
            pieces[0] = _Piece(first.text[0].upper() + first.text[1:], first.key)
        return pieces

    def _name(self) -> str:
        first = self._draw(self._words.first_names)
        return f"{first} {self._draw(self._words.last_names)}" if self._rng.random() < 0.3 else first

    def _order_id(self) -> str:
        # The splits share no number: multiples of three are held out.
        number = self._rng.randrange(1000, 9997)
        while (number % 3 == 0) != (self._split == "held_out"):
            number += 1
        return str(number)

    def _type(self, pieces: list[_Piece]) -> list[_Piece]:
        """Typing habits: half of the messages are neat, the others lower case, short forms or a slip of the finger."""
        rng = self._rng
        habit = rng.random()
        if habit < 0.5:
            return pieces
        if habit < 0.94:
            pieces = [
                piece if piece.key else _Piece(_WORD.sub(lambda match: _SHORT.get(match[0], match[0]), piece.text))
                for piece in pieces
            ]
        if habit < 0.75:
            pieces = [_Piece(piece.text.lower(), piece.key) for piece in pieces]
            last = pieces[-1]
            if last.key is None:
                pieces[-1] = _Piece(last.text.rstrip(".!"))
        if habit > 0.94:
            pieces = self._slip(pieces)
        return [piece for piece in pieces if piece.text]

    def _slip(self, pieces: list[_Piece]) -> list[_Piece]:
        """Swap two letters inside one word of the frame, never in a value."""
        places = [
            (number, match.start())
            for number, piece in enumerate(pieces)
            if piece.key is None
            for match in re.finditer(r"[a-z]{5,}", piece.text)
        ]
        if not places:
            return pieces
        number, start = self._rng.choice(places)
        text = pieces[number].text
        swapped = text[: start + 2] + text[start + 3] + text[start + 2] + text[start + 4 :]
        return [*pieces[:number], _Piece(swapped), *pieces[number + 1 :]]

    def _value(self, key: str, text: str) -> str | int:
        if key == "count":
            counts = self._tables.counts
            return counts[text.lower()] if text.lower() in counts else int(text)
        if key == "size":
            sizes = self._tables.sizes
            return sizes.get(text) or sizes.get(text.lower()) or text.upper()
        if key == "item":
            return self._singular(text)
        return text

    def _singular(self, text: str) -> str:
        for item in self._words.wearables + self._words.goods:
            for form in (item, plural(item)):
                if form.casefold() == text.casefold():
                    return text[: len(item)] if form.startswith(item) else item.lower()
        raise AssertionError(f"unknown item: {text}")


def _articles(pieces: list[_Piece]) -> list[_Piece]:
    """Turns the article "a" into "an" in front of a value that starts with a vowel sound."""
    fixed: list[_Piece] = []
    for number, piece in enumerate(pieces):
        text = piece.text
        following = pieces[number + 1].text.lower() if number + 1 < len(pieces) else ""
        if (
            piece.key is None
            and re.search(r"(^|\W)[aA] $", text)
            and following[:1] in tuple("aeiou")
            and not following.startswith(_CONSONANT_SOUND)
        ):
            text = text[:-1] + "n "
        fixed.append(_Piece(text, piece.key))
    return fixed
