"""Intervals of scores."""

import pytest

from tunewright.metrics import confidence_intervals
from tunewright.metrics.confidence_intervals import wilson


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe (1998), table II, case a with method 10: 56/70 - 48/80.
    low, high = confidence_intervals.of_difference(48 / 80, wilson(48, 80), 56 / 70, wilson(56, 70))
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_the_interval_of_an_f1_holds_it_and_ends_where_it_is_certain() -> None:
    # 40 right of 50 found and 45 there: F1 = 80/95; of the 55 items in all, 40 are both.
    low, high = confidence_intervals.of_f1(40, 50, 45) or (0.0, 0.0)
    share_low, share_high = wilson(40, 55)
    assert low < 80 / 95 < high
    assert (low, high) == pytest.approx((2 * share_low / (1 + share_low), 2 * share_high / (1 + share_high)))
    assert confidence_intervals.of_f1(0, 0, 9) == pytest.approx((0.0, 2 * wilson(0, 9)[1] / (1 + wilson(0, 9)[1])))
    assert (confidence_intervals.of_f1(9, 9, 9) or (0.0, 0.0))[1] == 1.0
    assert confidence_intervals.of_f1(0, 0, 0) is None


def test_the_interval_of_an_error_needs_some_rows() -> None:
    assert confidence_intervals.of_rmse([1.0] * 9) is None
    assert confidence_intervals.of_rmse([1.0] * 10) == (1.0, 1.0)
    low, high = confidence_intervals.of_rmse([0.0, 2.0] * 50) or (0.0, 0.0)
    # Squares 0 and 4: mean 2, deviation 2; 1.96 * 2.01 / 10 around it.
    assert (low**2, high**2) == pytest.approx((2 - 0.394, 2 + 0.394), abs=1e-3)


def test_no_rows_give_no_interval() -> None:
    assert confidence_intervals.of_share(0.0, 0) is None
