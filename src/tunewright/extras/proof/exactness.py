"""How close a deployed model has to come to its run, by the precision of its weights.

Measured with SmolLM2-135M, its run in fp32, through llama.cpp on two cores of a Xeon (November 2026), on all places of 40 held-out
rows: differences of the log-probability of the run's own token (960 places), and of all tokens that both name among the likeliest
(4,800). The likeliest token of a model that is sure hardly moves, so the second finds more; its errors are larger, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """Differences of log-probabilities that are rounding. The largest grows with the number of places, the mean does not."""

    tie: float
    """Of two tokens of the run: so near, another one may be written."""
    largest: float
    """Of a likely token."""
    mean: float
    """Of all likely tokens."""


@dataclass(frozen=True)
class Exactness:
    """Of one precision; without a tolerance answers may change, and are judged by their score."""

    precision: str
    tolerance: Tolerance | None

    @property
    def is_exact(self) -> bool:
        """Whether answers must be those of the run."""
        return self.tolerance is not None


ORIGINAL = "original"
"""The base's own file, of a run whose base came quantized, with the adapter beside it."""
# Measured, largest: of the run's own token f16 0.007, bf16 0.04, q8_0 0.19, SmolLM2's own Q4_1 0.08; of all likely ones f16 0.04
# (mean 0.005), q8_0 1.7 (mean 0.13). On 240 rows of two seeds the largest of all likely ones was 0.09 in f16 and 2.5 in q8_0, and
# answers differed where the run's two tokens are 0.021 and 0.61 apart: a quarter of that, so a tie is about a quarter of the limit.
# In f32 it was 0.07 (mean 0.003), as llama.cpp keeps keys and values in 16 bits.
# An adapter at 0.8 of its scale has a mean of 0.69 and is noticed in q8_0, one at 0.9 has 0.30 and is noticed in f16.
TOLERANCES: Mapping[str, Tolerance] = {
    "f32": Tolerance(tie=0.05, largest=0.15, mean=0.01),
    "f16": Tolerance(tie=0.05, largest=0.15, mean=0.02),
    "bf16": Tolerance(tie=0.2, largest=0.8, mean=0.1),
    "q8_0": Tolerance(tie=1.0, largest=4.0, mean=0.4),
    ORIGINAL: Tolerance(tie=1.0, largest=4.0, mean=0.4),
}
_NAMES = {"fp32": "f32", "mixed": "bf16", "fp16": "f16"}


def exactness_of(precision: str, run_precision: str = "fp32") -> Exactness:
    """Of weights in a precision as llama.cpp and torch name them; the run's own rounding counts, too."""
    name = _NAMES.get(precision.lower(), precision.lower())
    tolerance, own = TOLERANCES.get(name), TOLERANCES.get(_NAMES.get(run_precision, run_precision))
    if tolerance and own:
        tolerance = max(tolerance, own, key=lambda known: known.mean)
    return Exactness(name, tolerance)
