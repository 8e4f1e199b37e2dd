"""What the sessions of the extras are asked, beyond `rundir/session_protocol.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from tunewright.rundir.session_protocol import Sampling, SessionRequest, SessionResult, TextInput, Turn, WordsInput


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
    losses: list[dict[str, object]]
    """As in eval/before.losses.jsonl of a run."""


@dataclass(frozen=True)
class ProveRequest(SessionRequest):
    """The numerical equalities that a run relies on. The model is used up."""

    do = "prove"


class ComparedRecord(TypedDict):
    """A `ParityResult` as JSON: what differs, by which share, and by how much it may."""

    what: str
    difference: float | None
    """None where it is not finite."""
    tolerance: float


class CheckRecord(TypedDict):
    """A `ParityCheck` as JSON."""

    name: str
    outcome: str
    """ok, failed or not_applicable."""
    reason: str
    """Why nothing was compared, or what broke."""
    compared: Sequence[ComparedRecord]


class ProofRecord(TypedDict):
    """All checks, and how many training rows they used."""

    rows: int
    checks: Sequence[CheckRecord]


@dataclass(frozen=True)
class ProveResult(SessionResult):
    """All checks on a few rows."""

    rows: int
    """How many training rows were used."""
    checks: Sequence[CheckRecord]

    def to_record(self) -> ProofRecord:
        return {"rows": self.rows, "checks": self.checks}


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


@dataclass(frozen=True)
class ReplyRequest(SessionRequest):
    """The answer to one conversation, sent as text while it is generated, with what a server has to tell about it."""

    do = "reply"
    needs_same_base = False
    turns: Sequence[Turn]
    max_new_tokens: int | None
    """As many as the model reads beside the prompt, if None."""
    sampling: Sampling
    of_base: bool = False
    """Whether the base answers, and not the tuned model."""


@dataclass(frozen=True)
class ReplyResult(SessionResult):
    """The answer."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    """The end token not counted."""
    is_cut: bool
    """Whether it had to stop at its longest."""


@dataclass(frozen=True)
class LabelRequest(SessionRequest):
    """The tuned model's labels of texts or of rows of words, with the probability of each."""

    do = "label"
    inputs: Sequence[TextInput | WordsInput]


@dataclass(frozen=True)
class LabelResult(SessionResult):
    """What each input was given, in their order."""

    labels: Sequence[str]
    """All there are, in the order of the probabilities; empty for a number."""
    assigned: Sequence[Sequence[str]]
    """One label, several, or one a word."""
    probabilities: Sequence[Sequence[float]]
    """One a label, of tasks that label a whole text; empty for words."""
    numbers: Sequence[float]
    """The values of a task that gives a number; empty for labels."""
    tokens: int
    """How many were read."""
