"""What the sessions of the extras are asked, beyond `rundir/session_protocol.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.rundir.session_protocol import SessionRequest, SessionResult


@dataclass(frozen=True)
class PromptedRequest(SessionRequest):
    """The base model's evaluation with training rows in its prompt."""

    do = "prompted"
    shots: int
    """How many training rows stand before each question."""


@dataclass(frozen=True)
class PromptedResult(SessionResult):
    """Scores of the base on the run's held-out rows, and what they were computed from."""

    shots: int
    """How many training rows were shown: fewer than requested where the model reads no more."""
    scores: dict[str, float]
    rows: int
    """How many rows were answered."""
    held_out_rows: int
    """How many rows the loss is over."""
    seconds: float
    samples: list[dict[str, object]]
    """As in eval/before.jsonl of a run."""
    losses: list[dict[str, Any]]
    """As in eval/before.losses.jsonl of a run."""


@dataclass(frozen=True)
class ProveRequest(SessionRequest):
    """The numerical equalities that a run relies on. The model is used up."""

    do = "prove"


@dataclass(frozen=True)
class ProveResult(SessionResult):
    """All checks on a few rows."""

    rows: int
    """How many training rows were used."""
    checks: Sequence[Mapping[str, object]]
    """Each a `ParityCheck` as JSON."""


@dataclass(frozen=True)
class BenchmarkRequest(SessionRequest):
    """Tasks of lm-evaluation-harness for base and tuned model."""

    do = "benchmark"
    tasks: Sequence[str]
    """Their names in the harness, or in the folder."""
    rows: int | None
    """How many rows of each task are asked; all if None."""
    include_path: str | None
    """An absolute path of a folder with more tasks."""


@dataclass(frozen=True)
class BenchmarkResult(SessionResult):
    """What the harness measured."""

    harness: str
    """Its version."""
    tasks: Mapping[str, object]
    """By the task's name: `version`, `num_fewshot`, `rows`, and `metrics` with the values of base and tuned model."""


@dataclass(frozen=True)
class ReferenceRequest(SessionRequest):
    """What a deployed model is compared with: prompts, greedy answers and next tokens of the run, answers of its base."""

    do = "reference"
    rows: int
    """The most rows."""


@dataclass(frozen=True)
class ReferenceResult(SessionResult):
    """The run's answers."""

    reference: Mapping[str, object]
    """A `Reference` as JSON."""
