"""How sure a score and a difference of two scores are, by the held-out rows they were measured on.

All runs answered the same rows, so differences are computed row by row: what a hard row costs both cancels out. Shares of
rows have closed forms; every other score is bootstrapped, with a seed of its own, so that the same rows always give
the same interval. Several seeds of one setting count as one score, their mean.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import NormalDist, fmean

from tunewright.metrics.confidence_intervals import FEW_ROWS, Interval, of_share
from tunewright.metrics.per_example_scores import PerExampleScores

SURE = 0.95
RESAMPLES = 2000
FEWEST_RESAMPLES = 500
MOST_DRAWS = 500_000  # rows drawn for one interval: a tenth of a second
_NORMAL = NormalDist()

Statistic = Callable[[Sequence[float]], float]  # of the sums of all columns


@dataclass(frozen=True)
class Estimate:
    """A number and the interval around it; None where the rows tell none."""

    value: float
    interval: Interval | None = None

    def __neg__(self) -> "Estimate":
        """The reversed difference."""
        return Estimate(0.0 - self.value, (0.0 - self.interval[1], 0.0 - self.interval[0]) if self.interval else None)

    @property
    def low(self) -> float | None:
        return self.interval[0] if self.interval else None

    @property
    def high(self) -> float | None:
        return self.interval[1] if self.interval else None


def score(seeds: Sequence[PerExampleScores]) -> Estimate:
    """The score of one setting, the mean over its seeds, with its 95 % interval."""
    mean = fmean(seed.value for seed in seeds)
    rows = len(seeds[0])
    if len(seeds) == 1 and seeds[0].is_right_or_wrong:
        return Estimate(mean, of_share(mean, rows))
    interval = _bootstrap(_columns(seeds), _mean_of(seeds), SURE)
    if interval is None and seeds[0].is_share and rows >= FEW_ROWS:
        interval = of_share(mean, rows)  # all rows equal: with more rows some would differ
    return Estimate(mean, interval)


def difference(
    first: Sequence[PerExampleScores], second: Sequence[PerExampleScores], *, sure: float = SURE
) -> Estimate:
    """How much more the second setting scores than the first on the same rows."""
    change = fmean(seed.value for seed in second) - fmean(seed.value for seed in first)
    both = (*first, *second)
    if len(first) == len(second) == 1 and all(seed.is_right_or_wrong for seed in both):
        pairs = list(zip(first[0].tops, second[0].tops, strict=True))
        won, lost = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
        return Estimate(change, of_paired_shares(won, lost, len(pairs), sure))
    before, after = _mean_of(first), _mean_of(second)
    split = 2 * len(first)

    def change_of(sums: Sequence[float]) -> float:
        return after(sums[split:]) - before(sums[:split])

    interval = _bootstrap(_columns(both), change_of, sure)
    rows = len(both[0])
    if interval is None and all(seed.is_share for seed in both) and rows >= FEW_ROWS:
        low, high = of_paired_shares(0, 0, rows, sure)  # no row differs
        interval = (change + low, change + high)
    if interval is None and rows >= FEW_ROWS and list(first) == list(second):
        interval = (0.0, 0.0)  # the same model twice
    return Estimate(change, interval)


def of_paired_shares(won: int, lost: int, rows: int, sure: float = SURE) -> Interval:
    """Interval of the change of a share of rows, of which `won` became right and `lost` became wrong.

    Source: Bonett and Price (2012), Adjusted Wald confidence interval for a difference of binomial proportions based
    on paired data, J. Educ. Behav. Stat. 37(4).
    """
    gain, loss = (won + 1) / (rows + 2), (lost + 1) / (rows + 2)
    margin = _NORMAL.inv_cdf((1 + sure) / 2) * math.sqrt((gain + loss - (gain - loss) ** 2) / (rows + 2))
    return max(-1.0, gain - loss - margin), min(1.0, gain - loss + margin)


def _columns(seeds: Sequence[PerExampleScores]) -> list[tuple[float, ...]]:
    return list(chain.from_iterable((seed.tops, seed.bottoms) for seed in seeds))


def _mean_of(seeds: Sequence[PerExampleScores]) -> Statistic:
    """The mean score of seeds from the sums of their columns, tops and bottoms in turn."""
    return lambda sums: fmean(seed.of(sums[2 * i], sums[2 * i + 1]) for i, seed in enumerate(seeds))


def _bootstrap(columns: Sequence[Sequence[float]], statistic: Statistic, sure: float) -> Interval | None:
    """Bias-corrected and accelerated interval over rows; None if there are few rows or none of them makes a difference.

    Source: Efron (1987), Better bootstrap confidence intervals, JASA 82(397).
    """
    rows = len(columns[0])
    if rows < FEW_ROWS:
        return None
    sums = [math.fsum(column) for column in columns]
    estimate = statistic(sums)
    left_out = [statistic([s - c[i] for s, c in zip(sums, columns, strict=True)]) for i in range(rows)]
    centre = fmean(left_out)
    spread = math.fsum((centre - value) ** 2 for value in left_out)
    if spread < 1e-18:
        return None
    acceleration = math.fsum((centre - value) ** 3 for value in left_out) / (6 * spread**1.5)
    drawn = sorted(_resampled(columns, statistic))
    below = sum(value < estimate for value in drawn) + sum(value == estimate for value in drawn) / 2
    bias = _NORMAL.inv_cdf(min(max(below, 1), len(drawn) - 1) / len(drawn))
    ends = []
    for share in ((1 - sure) / 2, (1 + sure) / 2):
        z = bias + _NORMAL.inv_cdf(share)
        ends.append(_quantile(drawn, _NORMAL.cdf(bias + z / (1 - acceleration * z))))
    return ends[0], ends[1]


def _resampled(columns: Sequence[Sequence[float]], statistic: Statistic) -> list[float]:
    rows = len(columns[0])
    source = random.Random(0)
    times = max(FEWEST_RESAMPLES, min(RESAMPLES, MOST_DRAWS // rows))
    statistics = []
    for _time in range(times):
        drawn = source.choices(range(rows), k=rows)
        statistics.append(statistic([sum(map(column.__getitem__, drawn)) for column in columns]))
    return statistics


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share of the values lies, between two of them where it falls there."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
