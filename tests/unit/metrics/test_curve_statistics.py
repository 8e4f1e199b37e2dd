"""The signs that the live alert and the diagnosis share."""

from tunewright.metrics.curve_statistics import end, overfitting, rounded, smooth, start

FALLING = [(step, 3.0 / step) for step in range(1, 41)]


def test_overfitting_is_told_from_the_second_measurement_after_the_best() -> None:
    assert overfitting([(10, 1.0), (20, 1.2)], FALLING) is None
    assert overfitting([(10, 1.0), (20, 1.2), (30, 1.3)], FALLING) == (2, 10)


def test_a_rise_below_a_twentieth_is_none() -> None:
    assert overfitting([(10, 1.0), (20, 1.02), (30, 1.04)], FALLING) is None


def test_nothing_is_told_without_a_falling_training_loss() -> None:
    rising = [(step, float(step)) for step in range(1, 41)]
    assert overfitting([(10, 1.0), (20, 1.2), (30, 1.3)], rising) is None
    assert overfitting([], FALLING) is None
    assert overfitting([(10, 1.0), (20, 1.2), (30, 1.3)], []) is None


def test_means_of_ends_and_of_five_in_a_row() -> None:
    assert (start([3.0, 2.0, 1.0, 0.0]), end([3.0, 2.0, 1.0, 0.0])) == (2.0, 1.0)
    assert smooth([1.0, 2.0, 3.0, 4.0, 5.0, 11.0]) == [3.0, 5.0]
    assert smooth([1.0, 3.0]) == [2.0]
    assert rounded(0.00123456) == 0.00123
