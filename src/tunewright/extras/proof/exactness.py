"""How close a deployed model has to come to its run, by the precision of its weights.

Measured with SmolLM2-135M, its run in fp32, through llama.cpp on two cores of a Xeon (November 2026): differences of the
log-probability of the run's next token, the largest and the mean of 950 places in 40 held-out rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """Differences of log-probabilities that are rounding. The largest grows with the number of places, the mean does not."""

    largest: float
    mean: float


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
TOLERANCES: Mapping[str, Tolerance] = {
    "f32": Tolerance(0.02, 0.001),
    "f16": Tolerance(0.02, 0.001),  # 0.007 and 0.00007
    "bf16": Tolerance(0.1, 0.005),  # 0.042 and 0.0004
    "q8_0": Tolerance(0.5, 0.01),  # 0.19 and 0.0018; one of 40 answers differs, where two tokens are 0.41 apart
    ORIGINAL: Tolerance(0.5, 0.01),
}
_NAMES = {"fp32": "f32", "fp16": "f16"}


def exactness_of(precision: str, run_precision: str = "fp32") -> Exactness:
    """Of weights in a precision as llama.cpp and torch name them; the run's own rounding counts, too."""
    name = _NAMES.get(precision.lower(), precision.lower())
    tolerance, own = TOLERANCES.get(name), TOLERANCES.get(_NAMES.get(run_precision, run_precision))
    if tolerance and own:
        tolerance = max(tolerance, own, key=lambda known: known.largest)
    return Exactness(name, tolerance)
