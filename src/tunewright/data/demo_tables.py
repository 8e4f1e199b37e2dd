"""Sentence frames and values of the demo data, read from `resources/demo_data.toml` when the first row is generated.

Only tables live here; sampling and rendering are in `demo_data.py`. The two splits share no frame and no open value.
"""

from functools import cache
from typing import Literal

from tunewright.config.frozen_model import FrozenModel
from tunewright.resources import read_toml

Split = Literal["train", "held_out"]


class Phrasebook(FrozenModel):
    """The sentence frames of one split; words in braces are slots.

    `{thing}` is filled by a frame of `things`, `{order}` by one of `orders`. `{items}` is the plural of the item,
    `{size_word}` a size that is never a letter. A frame of `cities`, `names`, `reasons` or `regrets` is an own
    sentence; it follows the request if that lacks a value which its intent must have (`demo_data.FIELDS`).
    """

    openers: tuple[str, ...]
    closers: tuple[str, ...]
    orders: tuple[str, ...]
    things: tuple[str, ...]
    requests: dict[str, tuple[str, ...]]
    """By intent."""
    names: tuple[str, ...]
    cities: tuple[str, ...]
    reasons: tuple[str, ...]
    regrets: tuple[str, ...]


class Vocabulary(FrozenModel):
    """The values that one split draws from.

    `wearables` are items with a size. `faults` are reasons to return an item, `misfits` those only for a wearable,
    `regrets` reasons to cancel an order; each fits after "it is".
    """

    wearables: tuple[str, ...]
    goods: tuple[str, ...]
    colors: tuple[str, ...]
    cities: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    faults: tuple[str, ...]
    misfits: tuple[str, ...]
    regrets: tuple[str, ...]


class DemoTables(FrozenModel):
    """All tables of the demo data."""

    counts: dict[str, int]
    """Number words with their values, the same in both splits."""
    sizes: dict[str, str]
    """Spelled sizes with the letter that an answer has, the same in both splits."""
    frames: dict[Split, Phrasebook]
    words: dict[Split, Vocabulary]

    @property
    def count_forms(self) -> tuple[str, ...]:
        """How a message may write a count: each as a word and in digits."""
        return (*self.counts, *(str(count) for count in self.counts.values()))

    @property
    def size_words(self) -> tuple[str, ...]:
        """Sizes that are words, not letters."""
        return tuple(size for size in self.sizes if len(size) > 2)


@cache
def load_demo_tables() -> DemoTables:
    """The tables of both splits. Cost: about 10 ms, once per process."""
    return DemoTables.model_validate(read_toml("demo_data.toml"))
