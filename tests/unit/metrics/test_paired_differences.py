"""Intervals that hold what they promise: the truth lies in about 95 of 100 of them, and no other claim is made.

Each kind of score is drawn many times from a population whose truth is known. With 1,000 draws the share that covers
the truth has a standard error of 0.7 points, so 93 to 97 % is what an honest 95 % interval shows; the discrete ones may
be wider.
"""

import math
import random
from collections.abc import Callable

import pytest

from tunewright.metrics import paired_differences
from tunewright.metrics.paired_differences import Estimate, difference, of_paired_shares, score
from tunewright.metrics.per_example_scores import PerExampleScores

DRAWS = 1000
ROWS = 80
Row = tuple[float, float]
Draw = Callable[[random.Random], Row]


def marks(rows: list[Row], **kind: bool) -> PerExampleScores:
    return PerExampleScores(tuple(top for top, _bottom in rows), tuple(bottom for _top, bottom in rows), **kind)


def shares(*right: int, rows: int = 100) -> PerExampleScores:
    """A share of rows, of which those named by number are right."""
    return marks([(float(i in right), 1.0) for i in range(rows)])


def covered(truth: float, estimate: Estimate) -> bool:
    assert estimate.low is not None and estimate.high is not None
    return estimate.low <= truth <= estimate.high


def f1_row(source: random.Random) -> Row:
    """One to four entities in a row, each found three times out of four; some that are none are found too."""
    gold = source.randint(1, 4)
    equal = sum(source.random() < 0.75 for _entity in range(gold))
    return 2.0 * equal, gold + equal + (source.random() < 0.3)


def overlap_row(source: random.Random) -> Row:
    """How many words an answer shares with its reference: often most of them, sometimes few."""
    return source.betavariate(4, 1.5), 1.0


def error_row(source: random.Random) -> Row:
    return source.gauss(0, 1.5) ** 2, 1.0


TRUTHS: dict[str, tuple[Draw, float, dict[str, bool]]] = {
    "F1": (f1_row, 2 * 2.5 * 0.75 / (2.5 + 2.5 * 0.75 + 0.3), {}),
    "mean of common words": (overlap_row, 4 / 5.5, {}),
    "RMSE": (error_row, 1.5, {"is_root": True, "is_share": False}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUTHS)
def test_95_of_100_bootstrapped_intervals_hold_the_truth(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired_differences, "RESAMPLES", 500)
    draw, truth, kind = TRUTHS[name]
    source = random.Random(7)
    hits = sum(covered(truth, score([marks([draw(source) for _ in range(ROWS)], **kind)])) for _ in range(DRAWS))
    assert 0.93 <= hits / DRAWS <= 0.97


@pytest.mark.parametrize("truth", [0.5, 0.85])
def test_95_of_100_intervals_of_a_share_hold_the_truth(truth: float) -> None:
    source = random.Random(7)
    drawn = (marks([(float(source.random() < truth), 1.0) for _ in range(120)]) for _ in range(DRAWS))
    assert 0.93 <= sum(covered(truth, score([first])) for first in drawn) / DRAWS <= 0.97


@pytest.mark.parametrize(("won", "lost"), [(0.10, 0.05), (0.05, 0.05), (0.30, 0.10)])
def test_95_of_100_intervals_of_a_paired_difference_hold_the_truth(won: float, lost: float) -> None:
    """Most rows go the same way in both runs, as they do when two ranks are compared."""
    source = random.Random(7)
    hits = 0
    for _ in range(DRAWS):
        places = [source.random() for _ in range(120)]
        low, high = of_paired_shares(sum(p < won for p in places), sum(p > 1 - lost for p in places), 120)
        hits += low <= won - lost <= high
    assert 0.93 <= hits / DRAWS <= 0.975


@pytest.mark.slow
def test_95_of_100_intervals_of_a_bootstrapped_difference_hold_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired_differences, "RESAMPLES", 500)
    source = random.Random(7)
    hits = 0
    for _ in range(DRAWS):
        first = [overlap_row(source) for _ in range(ROWS)]
        second = [(min(1.0, top * source.uniform(0.9, 1.3)), 1.0) for top, _bottom in first]
        hits += covered(TRUE_GAIN, difference([marks(first)], [marks(second)]))
    assert 0.93 <= hits / DRAWS <= 0.97


def _true_gain() -> float:
    source = random.Random(1)
    gains = []
    for _ in range(200_000):
        top = overlap_row(source)[0]
        gains.append(min(1.0, top * source.uniform(0.9, 1.3)) - top)
    return math.fsum(gains) / len(gains)


TRUE_GAIN = 0.0566  # _true_gain(), whose own error is below 0.0002


def test_rows_that_are_hard_for_both_cancel_out() -> None:
    """Two runs that differ in 6 of 100 rows differ for sure, though their own intervals overlap widely."""
    base, tuned = shares(*range(60)), shares(*range(68))
    around_base, around_tuned = score([base]), score([tuned])
    assert around_base.high is not None and around_tuned.low is not None and around_base.high > around_tuned.low
    change = difference([base], [tuned])
    assert change.value == pytest.approx(0.08)
    assert change.low is not None and change.low > 0


def test_the_same_answers_are_no_difference_and_still_have_an_interval() -> None:
    same = difference([shares(*range(60))], [shares(*range(60))])
    assert same.value == 0
    assert same.low is not None and same.high is not None and same.low < 0 < same.high


def test_a_difference_is_turned_round_with_its_sides() -> None:
    first, second = shares(*range(50)), shares(*range(40, 95))
    there, back = difference([first], [second]), difference([second], [first])
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -(back.high or 0), -(back.low or 0)))


def test_more_comparisons_at_once_ask_for_wider_intervals() -> None:
    first, second = shares(*range(50)), shares(*range(60))
    narrow, wide = difference([first], [second]), difference([first], [second], sure=0.99)
    assert wide.low is not None and narrow.low is not None and wide.low < narrow.low


def test_seeds_of_one_setting_count_as_their_mean() -> None:
    seeds = [shares(*range(60)), shares(*range(70)), shares(*range(10, 90))]
    mean = score(seeds)
    assert mean.value == pytest.approx(0.7)
    assert covered(0.7, mean)
    assert covered(0.1, difference([shares(*range(60))], seeds))


def test_the_same_rows_always_give_the_same_interval() -> None:
    rows = [f1_row(random.Random(i)) for i in range(50)]
    assert score([marks(rows)]) == score([marks(rows)])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_rows_that_are_all_alike_leave_room_for_others(share: float) -> None:
    around = score([marks([(2.0 * share, 2.0)] * 40)])
    assert around.value == share and around.low is not None and around.high is not None
    assert around.high - around.low > 0.05


def test_few_rows_tell_no_interval_of_a_mean() -> None:
    assert score([marks([(0.3, 1.0), (0.9, 1.0)])]).interval is None
    assert difference([marks([(0.3, 1.0)] * 3)], [marks([(0.9, 1.0)] * 3)]).interval is None
