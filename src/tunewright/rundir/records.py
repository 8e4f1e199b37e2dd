"""What the files of a run hold, as far as anybody reads it: a file is checked against this once, when it is read.

Fields beyond these are let through, so that an older version reads the runs of a newer one. Numbers are bounded: a square of
them is finite, and a time is a date.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tunewright.data.summary import DataSummary
from tunewright.errors import Problem

Number = Annotated[float, Field(ge=-1e150, le=1e150)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Stamp = Annotated[float, Field(ge=0, lt=1e11)]  # seconds since 1970
Scores = dict[str, float | None]


def _is_problem(record: dict[str, Any]) -> dict[str, Any]:
    """A record from which the sentence and the fixes can be formed. Raises: ValueError for any other."""
    try:
        problem = Problem.from_record(record)
        problem.message(), problem.fixes(), problem.to_json()
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as fault:
        raise ValueError("not a problem of the catalogue") from fault
    return record


ProblemRecord = Annotated[dict[str, Any], AfterValidator(_is_problem)]


class Record(BaseModel):
    """The fields of one kind of record."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class ProcessRecord(Record):
    pid: Annotated[int, Field(ge=0, lt=2**31)]


class BaselineRecord(Record):
    name: str
    scores: Scores


class RunResult(Record):
    """The figures of a finished run."""

    before: Scores | None = None
    after: Scores | None = None
    baseline: BaselineRecord | None = None
    rows: Count = 0
    held_out_rows: Count = 0
    seconds: dict[str, Number] = Field(default_factory=dict)
    tokens: Count | None = None
    tokens_per_second: Number | None = None
    peak_rss_bytes: Count | None = None
    peak_device_bytes: Count | None = None
    steps: Count | None = None
    best_step: Count | None = None
    trainable_parameters: Count | None = None
    adapter: str | None = None
    adapter_bytes: Count | None = None


class RunInfo(Record):
    """run.json"""

    schema_: Count = Field(alias="schema")
    id: str
    name: str
    state: str
    created: Stamp
    queued: Stamp | None = None
    started: Stamp | None = None
    ended: Stamp | None = None
    seconds: Number | None = None
    seconds_before: Number = 0.0
    parent: ProcessRecord | None = None
    worker: ProcessRecord | None = None
    model: str | None = None
    data: dict[str, str] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    exit_code: int | None = None
    test_halvings: Count = 0
    remedies: list[Any] = Field(default_factory=list)
    problems: list[ProblemRecord] | None = None
    result: RunResult | None = None


class EventRecord(Record):
    """What all events have."""

    seq: Count
    t: Stamp
    step: Count
    kind: str


class PhaseEvent(EventRecord):
    phase: str
    state: Literal["begin"]


class PhaseEndEvent(EventRecord):
    phase: str
    state: Literal["end"]
    seconds: Number


class ProgressEvent(EventRecord):
    phase: str
    done: Count
    total: Count


class LogEvent(EventRecord):
    loss: Number | None
    learning_rate: Number | None
    tokens_per_second: Number | None
    eta_seconds: Number | None
    rss_bytes: Count
    grad_norm: Number | None = None
    epoch: Number | None = None
    tokens: Count | None = None
    train_seconds: Number | None = None
    max_steps: Count | None = None
    padding_share: Number | None = None
    row_wait_share: Number | None = None
    core_wait_share: Number | None = None


class EvalEvent(EventRecord):
    held_out_loss: Number | None
    is_best: bool


class ScoreEvent(EventRecord):
    which: str
    scores: Scores
    rows: Count
    held_out_rows: Count
    seconds: Number


class CheckpointEvent(EventRecord):
    path: str


class NoteEvent(EventRecord):
    text: str


class AlertEvent(EventRecord):
    problem: ProblemRecord


class DoneEvent(EventRecord):
    result: RunResult


class FailedEvent(EventRecord):
    problems: list[ProblemRecord]
    exit_code: int


_OF_KIND: Mapping[str, type[EventRecord]] = {
    "progress": ProgressEvent,
    "log": LogEvent,
    "eval": EvalEvent,
    "score": ScoreEvent,
    "checkpoint": CheckpointEvent,
    "note": NoteEvent,
    "alert": AlertEvent,
    "done": DoneEvent,
    "failed": FailedEvent,
}
KINDS = ("phase", *_OF_KIND)


def event_shape(event: Mapping[str, Any]) -> type[EventRecord]:
    """The shape of this event, by its kind; of one that this version does not know, what all events have."""
    if event.get("kind") == "phase":
        return PhaseEndEvent if event.get("state") == "end" else PhaseEvent
    kind = event.get("kind")
    return _OF_KIND.get(kind, EventRecord) if isinstance(kind, str) else EventRecord


class DataRecord(DataSummary):
    """prepared.json: the data summary, and the key of the tokenized rows in the cache."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    key: str


class PieceRecord(Record):
    text: str
    is_learned: bool


class PreviewRow(Record):
    """rows.seen.jsonl"""

    row: Count
    tokens: Count
    label_tokens: Count
    pieces: list[PieceRecord]


class SampleRecord(Record):
    """eval/*.jsonl: an answer that was written"""

    row: Count
    prompt: str
    reference: str
    answer: str
    probability: Number | None = None


class RowLossRecord(Record):
    """eval/*.losses.jsonl: the loss of one held-out row"""

    row: Count
    loss: Number
    units: Annotated[int, Field(ge=1, lt=2**63)]


class FewShotRecord(Record):
    """eval/prompted.json"""

    asked: Count
    shots: Count
    scores: Scores


class BenchmarkValue(Record):
    value: Number | None
    stderr: Number | None


class BenchmarkMetric(Record):
    metric: str
    filter: str
    is_higher_better: bool | None
    before: BenchmarkValue
    after: BenchmarkValue


class BenchmarkTask(Record):
    rows: Count | None
    metrics: list[BenchmarkMetric]


class BenchmarkRecord(Record):
    """eval/benchmark.json"""

    tasks: dict[str, BenchmarkTask]


class SettingRecord(Record):
    """equal.json of a comparison"""

    ask: str
    values: dict[str, Any]


class ComparisonIdentity(Record):
    """sweep.json"""

    id: str
    ask: Any
