"""The histogram accounts for every row, marks the cut ones, and is not pressed together by one long row."""

import pytest

from tunewright.data.histogram import MOST_BARS, histogram


@pytest.mark.parametrize(
    "lengths", [[], [0], [7], [1, 1, 2], list(range(1, 98)), [*range(1, 1000), 40_000], [30] * 50, [29, 31, 61]]
)
def test_every_row_stands_in_one_bar(lengths: list[int]) -> None:
    bars = histogram(lengths, max_length=64)
    assert sum(bars.rows) == len(lengths)
    assert sum(bars.cut) == sum(length > 64 for length in lengths)
    assert 1 <= len(bars.rows) == len(bars.cut) <= MOST_BARS
    assert all(cut <= rows for rows, cut in zip(bars.rows, bars.cut, strict=True))


def test_bars_begin_at_round_numbers_of_tokens() -> None:
    bars = histogram([3, 9, 10, 12, 97], max_length=1000)
    assert (bars.width, len(bars.rows)) == (5, 20)
    assert bars.rows[:3] == [1, 1, 2] and bars.rows[19] == 1


def test_one_row_far_from_the_others_falls_into_the_last_bar() -> None:
    bars = histogram([*([80] * 999), 30_000], max_length=512)
    assert bars.width == 5
    assert (bars.rows[16], bars.rows[-1], bars.cut[-1]) == (999, 1, 1)
