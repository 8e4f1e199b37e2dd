"""The events of a run, one model for each kind; a line of events.jsonl is one of them.

All but the few that the parent adds are written by the worker. docs/run-folder.md is made from these.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from tunewright.config.stored_record import Count, Number, Scores, Stamp, StoredRecord
from tunewright.errors.exit_codes import EXIT_INTERRUPTED, EXIT_TERMINATED
from tunewright.rundir.records import RunResult, StoredPhrase, StoredProblem


class Event(StoredRecord):
    """What all events have. An event of a kind that only newer versions know is this alone."""

    seq: Count
    """number of the event in its run, from 0"""
    t: Stamp
    """when it was written"""
    step: Count
    """optimizer steps that were done by then"""
    kind: str
    """one of the kinds below"""


class PhaseBeginEvent(Event):
    """A phase begins."""

    kind: Literal["phase"]
    phase: str
    """prepare, load, rehearse, evaluate_before, train, evaluate_after, save"""
    state: Literal["begin"]
    """that it begins"""


class PhaseEndEvent(Event):
    """A phase has ended well."""

    kind: Literal["phase"]
    phase: str
    """as when it began"""
    state: Literal["end"]
    """that it has ended"""
    seconds: Number
    """its length"""


class ProgressEvent(Event):
    """How far a phase is that takes longer than a second."""

    kind: Literal["progress"]
    phase: str
    """the phase"""
    done: Count
    """units of work that are done: rows, or rows weighted by what they cost"""
    total: Count
    """units of work in all"""


class LogEvent(Event):
    """What was measured at a logged step; every `logging_steps`."""

    # There may be a million of them, and none is ever written again: to hold what is not known would cost a third of reading them.
    model_config = ConfigDict(extra="ignore")

    kind: Literal["log"]
    loss: Number | None
    """mean training loss of the steps since the last one"""
    learning_rate: Number | None
    """of the next step"""
    tokens_per_second: Number | None
    """tokens over the seconds of all steps, without padding"""
    eta_seconds: Number | None
    """until the last step, at the mean speed of this session"""
    rss_bytes: Count
    """the worker's memory now"""
    grad_norm: Number | None = None
    """norm of the gradient before it was clipped"""
    epoch: Number | None = None
    """epochs that are done, with a fraction"""
    tokens: Count | None = None
    """tokens of all steps, without padding"""
    train_seconds: Number | None = None
    """seconds in all steps, evaluations left out"""
    max_steps: Count | None = None
    """steps of the run"""
    padding_share: Number | None = None
    """of all positions, from 0 to 1"""
    row_wait_share: Number | None = None
    """of the time, waiting for rows, from 0 to 1"""
    core_wait_share: Number | None = None
    """of the threads' time, waiting for a core, from 0 to 1; 0 where the kernel does not count it"""


class EvalEvent(Event):
    """The held-out loss during training; every `eval_steps`."""

    kind: Literal["eval"]
    held_out_loss: Number | None
    """mean over the tokens in the loss"""
    is_best: bool
    """whether it is the lowest so far"""
    seconds: Number | None = None
    """what measuring it took"""


class ScoreEvent(Event):
    """The scores of an evaluation before or after training."""

    kind: Literal["score"]
    which: str
    """before or after"""
    scores: Scores
    """by the name of the metric"""
    rows: Count
    """held-out rows that were answered or labelled"""
    held_out_rows: Count
    """held-out rows in the loss"""
    seconds: Number
    """what measuring them took"""
    computed: Stamp | None = None
    """when an earlier run computed them for the same base, rows and settings; missing if this run did"""


class CheckpointEvent(Event):
    """A checkpoint was saved and sealed."""

    kind: Literal["checkpoint"]
    path: str
    """its folder, in the run's"""
    bytes: Count = 0
    """its size on disk"""


class NoteEvent(Event):
    """Something was decided or measured that a user wants to know."""

    kind: Literal["note"]
    text: str
    """a sentence, in English"""
    phrase: StoredPhrase | None = None
    """what makes it in any language: its template and the values in it; missing in notes of earlier versions"""

    def message(self) -> str:
        """The sentence in this process's language, where it is known in more than English."""
        return self.phrase.spoken() if self.phrase else self.text


class AlertEvent(Event):
    """Something is wrong, but the run goes on."""

    kind: Literal["alert"]
    problem: StoredProblem
    """a problem of the catalogue, docs/errors.md"""


class DoneEvent(Event):
    """The last event of a run that finished."""

    kind: Literal["done"]
    result: RunResult
    """what it measured"""


class FailedEvent(Event):
    """The last event of a session that ended early."""

    kind: Literal["failed"]
    problems: list[StoredProblem]
    """why"""
    exit_code: int
    """of the worker"""

    @property
    def was_stopped(self) -> bool:
        """Whether a user ended it, by request or signal."""
        return self.exit_code in (EXIT_INTERRUPTED, EXIT_TERMINATED)


_MODELS: Mapping[str, type[Event]] = {
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


KINDS = ("phase", *_MODELS)


def parse_event(record: Mapping[str, object]) -> Event:
    """The event that a JSON object is. Raises: pydantic.ValidationError."""
    kind = record.get("kind")
    if kind == "phase":
        return (PhaseEndEvent if record.get("state") == "end" else PhaseBeginEvent).model_validate(record)
    model = _MODELS.get(kind, Event) if isinstance(kind, str) else Event
    return model.model_validate(record)


_PhaseEvent = Annotated[PhaseBeginEvent | PhaseEndEvent, Field(discriminator="state")]
_KnownEvent = Annotated[
    _PhaseEvent | ProgressEvent | LogEvent | EvalEvent | ScoreEvent | CheckpointEvent | NoteEvent | AlertEvent | DoneEvent
    | FailedEvent,
    Field(discriminator="kind"),
]  # fmt: skip
_KNOWN: TypeAdapter[_KnownEvent] = TypeAdapter(_KnownEvent)


def parse_known(lines: Iterable[bytes]) -> list[Event]:
    """The events of lines of JSON that are all of kinds in KINDS, at a third of what `parse_event` costs for each.

    Fields that it does not know may hold NaN, which is no JSON. Raises: pydantic.ValidationError if any line is something else.
    """
    return list(map(_KNOWN.validator.validate_json, lines))


def with_logs_together(events: Iterable[Event]) -> Iterator[Event | list[LogEvent]]:
    """The same events; logs that follow each other as one list, which costs far less to take than each alone."""
    for kind, group in groupby(events, type):
        if issubclass(kind, LogEvent):
            yield [event for event in group if isinstance(event, LogEvent)]
        else:
            yield from group
