"""Signs in curves: pure functions on numbers, used by the rules and by the alerts of a live run."""

from collections.abc import Sequence
from statistics import fmean, median

# An evaluation reads the same rows every time, so a rise is not noise of sampling rows; below a twentieth keeping the best step is
# remedy enough.
RISE = 1.05
EVALUATIONS_SINCE_BEST = 2  # one may be a slip
WINDOW = 20  # logged steps on each side of the best
SMOOTHED = 5  # rows differ: single steps jump by half, means of five hardly do

LossCurve = Sequence[tuple[int, float]]


def beginning(values: Sequence[float]) -> float:
    """Median of the first three steps, when even a wild learning rate has hardly begun; one of them may have jumped."""
    return median(values[:3])


def start(values: Sequence[float]) -> float:
    """Mean of the first fifth, at least three values."""
    return fmean(values[: max(3, len(values) // 5)])


def end(values: Sequence[float]) -> float:
    """Mean of the last fifth, at least three values."""
    return fmean(values[-max(3, len(values) // 5) :])


def smooth(values: Sequence[float]) -> list[float]:
    """Means of five values in a row."""
    return [fmean(values[i : i + SMOOTHED]) for i in range(max(1, len(values) - SMOOTHED + 1))]


def overfitting(held_out: LossCurve, train: LossCurve) -> tuple[int, int] | None:
    """Evaluations since the best and the step of the best, if held-out loss rose since then while training loss fell."""
    if not held_out:
        return None
    best_step, best = min(held_out, key=lambda pair: pair[1])
    since = [loss for step, loss in held_out if step > best_step]
    earlier = [loss for step, loss in train if step <= best_step][-WINDOW:]
    later = [loss for step, loss in train if step > best_step][-WINDOW:]
    if len(since) < EVALUATIONS_SINCE_BEST or not earlier or not later:
        return None
    has_risen, has_fallen = since[-1] >= RISE * best, fmean(later) < fmean(earlier)
    return (len(since), best_step) if has_risen and has_fallen else None


def rounded(value: float) -> float:
    """Three digits: what a person reads, and still a number for programs."""
    return float(f"{value:.3g}")
