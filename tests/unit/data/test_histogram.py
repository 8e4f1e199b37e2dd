"""The histogram accounts for every row, marks the cut ones, and is not pressed together by one long row."""

import pytest

from tunewright.data.histogram import MOST_BARS, histogram


@pytest.mark.parametrize(
    "lengths", [[], [0], [7], [1, 1, 2], list(range(1, 98)), [*range(1, 1000), 40_000], [30] * 50, [29, 31, 61]]
)
def test_every_row_stands_in_one_bar(lengths: list[int]) -> None:
    found = histogram(lengths, max_length=64)
    assert sum(found["rows"]) == len(lengths)
    assert sum(found["cut"]) == sum(length > 64 for length in lengths)
    assert 1 <= len(found["rows"]) == len(found["cut"]) <= MOST_BARS
    assert all(cut <= rows for rows, cut in zip(found["rows"], found["cut"], strict=True))


def test_bars_begin_at_round_numbers_of_tokens() -> None:
    found = histogram([3, 9, 10, 12, 97], max_length=1000)
    assert (found["width"], len(found["rows"])) == (5, 20)
    assert found["rows"][:3] == [1, 1, 2] and found["rows"][19] == 1


def test_one_row_far_from_the_others_falls_into_the_last_bar() -> None:
    found = histogram([*([80] * 999), 30_000], max_length=512)
    assert found["width"] == 5
    assert (found["rows"][16], found["rows"][-1], found["cut"][-1]) == (999, 1, 1)
