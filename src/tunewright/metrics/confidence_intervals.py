"""How sure a score is: 95 % intervals, made from the rows it was measured on.

Where two measurements are compared they are treated as independent; they are of the same rows, so the interval of their
difference is rather too wide than too narrow. Words and entities of one row count as if they were independent.
"""

import math
from collections.abc import Sequence
from typing import Final

Interval = tuple[float, float]

Z95: Final = 1.959963984540054

FEW_ROWS = 10  # below, an error or a loss may be that of one odd row


def wilson(successes: int, n: int) -> Interval:
    """Wilson's 95 % interval of a share, (0.0, 1.0) for no trials.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    if n == 0:
        return 0.0, 1.0
    share, square = successes / n, Z95 * Z95
    centre = share + square / (2 * n)
    margin = Z95 * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    scale = 1 + square / n
    # The formula gives these two ends exactly; rounding of the square root does not.
    low = 0.0 if successes == 0 else (centre - margin) / scale
    high = 1.0 if successes == n else (centre + margin) / scale
    return low, high


def of_share(share: float, trials: int) -> Interval | None:
    """Wilson's interval; too wide for a mean of values between 0 and 1, whose spread is at most that of a share."""
    return wilson(round(share * trials), trials) if trials else None


def of_f1(equal: int, predicted: int, gold: int) -> Interval | None:
    """Interval of 2 * equal / (found + gold), through the share of all items, found or gold, that are both.

    Source: Lam, Gopal and Qian (2023), Confidence intervals for the F1 score, arXiv:2309.14621, Wilson indirect.
    """
    items = predicted + gold - equal
    if not items:
        return None
    low, high = wilson(equal, items)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def of_rmse(errors: Sequence[float]) -> Interval | None:
    """Interval of the root of the mean squared error, by the spread of the squares."""
    if len(errors) < FEW_ROWS:
        return None
    squares = [error * error for error in errors]
    mean = math.fsum(squares) / len(squares)
    variance = math.fsum((square - mean) ** 2 for square in squares) / (len(squares) - 1)
    margin = Z95 * math.sqrt(variance / len(squares))
    return math.sqrt(max(0.0, mean - margin)), math.sqrt(mean + margin)


def of_difference(before: float, around_before: Interval, after: float, around_after: Interval) -> Interval:
    """Interval of after - before from the intervals of both.

    Source: Newcombe (1998), Interval estimation for the difference between independent proportions, method 10.
    """
    change = after - before
    low = change - math.hypot(after - around_after[0], around_before[1] - before)
    high = change + math.hypot(around_after[1] - after, before - around_before[0])
    return low, high
