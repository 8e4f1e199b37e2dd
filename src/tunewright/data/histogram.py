"""How long rows are, as the few numbers that draw it, however many rows there are."""

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MOST_BARS = 30
Count = Annotated[int, Field(ge=0, lt=2**63)]


class LengthHistogram(BaseModel):
    """Bars of equal width, the first from 0; the last also holds all longer rows."""

    model_config = ConfigDict(frozen=True)

    width: Annotated[int, Field(ge=1, lt=2**63, description="width of a bar, in tokens")]
    rows: Annotated[list[Count], Field(description="rows in each bar")]
    cut: Annotated[list[Count], Field(description="of these, the rows longer than max_length")]


def histogram(ordered: Sequence[int], max_length: int) -> LengthHistogram:
    """Counts of rows by length in bars of equal width, the first from 0, and of each bar the rows longer than `max_length`.

    The last bar holds all that is longer, too: one row far from the others does not press them together.
    """
    usual = ordered[(99 * len(ordered)) // 100] if ordered else 0
    width = _round_up(usual / MOST_BARS)
    num_bars = min(MOST_BARS, (ordered[-1] if ordered else 0) // width + 1)
    rows, cut = [0] * num_bars, [0] * num_bars
    for length in ordered:
        bar = min(length // width, num_bars - 1)
        rows[bar] += 1
        cut[bar] += length > max_length
    return LengthHistogram(width=width, rows=rows, cut=cut)


def _round_up(value: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50, ..."""
    power = 10 ** max(0, math.floor(math.log10(value))) if value > 1 else 1
    return next(times * power for times in (1, 2, 5, 10) if times * power >= value)
