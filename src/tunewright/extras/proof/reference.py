"""What the run itself answers: the measure of everything that is deployed of it."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tunewright.extras.session_requests import ReferenceRequest, ReferenceResult
from tunewright.launch.session_client import SessionClient
from tunewright.reporting import SILENT, Reporter

NextTokens = list[tuple[int, float]]
"""The most likely next tokens with their log-probabilities, the likeliest first."""


class _Exchanged(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReferencePrompt(_Exchanged):
    """A prompt as the run's own session writes it."""

    turns: list[dict[str, Any]]
    """In the form in which the template takes them; none for a plain text, which is continued."""
    tools: list[dict[str, Any]] = Field(default_factory=list)
    text: str
    """What the model reads."""
    ids: list[int]


class ReferenceRow(_Exchanged):
    """A row with the run's greedy answer."""

    number: int
    prompt: ReferencePrompt
    reference: str
    """What stands in the data; empty for a plain text."""
    answer: str
    answer_ids: list[int]
    """Without the end token."""
    end_id: int | None
    """The end token that closed the answer; None where it was cut."""
    base: str
    """What the base answers."""
    next_tokens: Annotated[list[NextTokens], Field(min_length=1)]
    """At each token of the answer, and where it ended: what the run gives."""
    base_logprobs: list[float]
    """At the same places the base's log-probability of the run's token; of some rows alone."""

    @property
    def ids(self) -> list[int]:
        """The answer with its end token, if it has one."""
        return [*self.answer_ids, *([] if self.end_id is None else [self.end_id])]


class Reference(_Exchanged):
    """What a deployed model is compared with."""

    rows: list[ReferenceRow]
    is_held_out: bool
    """Whether the rows were held out; rows of the training otherwise."""
    prompts: dict[str, ReferencePrompt]
    """One prompt with a system turn (`system`), one without (`plain`), one of several turns (`turns`): those that the
    template takes."""
    end_tokens: dict[int, str]
    """All tokens that end generation, by id."""
    bos: str
    """The beginning token as text; empty if there is none."""
    vocabulary: dict[int, str]
    """The texts of all tokens in `next_tokens`, by id, as single tokens are written."""
    max_new_tokens: int
    precision: str
    """The precision that the run computes in."""


def reference_of(session: SessionClient, rows: int, reporter: Reporter = SILENT) -> Reference:
    """The run's own answers on up to `rows` held-out rows, of the training where none were held out.

    Raises: ConfigError E116; ExportError E663 for a task that writes no answers in turns; DataError E210; TrainingError E502,
    E506, E515.
    """
    result = session.request(ReferenceRequest(rows), ReferenceResult, reporter)
    return Reference.model_validate(result.reference)


def spread(items: Sequence[int], limit: int) -> list[int]:
    """At most this many, evenly from the first to the last."""
    count = min(limit, len(items))
    return [items[i * len(items) // count] for i in range(count)]
