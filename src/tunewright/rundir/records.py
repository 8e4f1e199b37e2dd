"""What the files of a run hold, one model for each kind of record; docs/run-folder.md is made from these.

Whoever reads a run gets these models, from `rundir.run_dir.RunDir` alone: report, diagnose, comparison, sweep, CLI and API.
Events are in rundir/events.py, single rows of an evaluation in metrics/evaluated_rows.py.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PlainSerializer, PlainValidator

from tunewright.config.stored_record import Count, Measured, Number, Scores, Stamp, StoredRecord
from tunewright.data.summary import DataSummary
from tunewright.errors import Problem
from tunewright.i18n import Phrase


def _restored_problem(record: object) -> Problem:
    """The problem of a stored record. Raises: ValueError for a record that is none, or that cannot be shown."""
    if isinstance(record, Problem):
        return record
    try:
        if not isinstance(record, dict):
            raise TypeError(record)
        problem = Problem.from_record(record)
        problem.message(), problem.fixes(), problem.to_json()
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as fault:
        raise ValueError("not a problem of the catalogue") from fault
    return problem


StoredProblem = Annotated[
    Problem,
    PlainValidator(_restored_problem),
    PlainSerializer(lambda problem: problem.to_record(), return_type=dict[str, object]),
]


def _restored_phrase(record: object) -> Phrase:
    """The sentence of a stored record. Raises: ValueError for a record that is none, or that cannot be spoken."""
    if isinstance(record, Phrase):
        return record
    try:
        if not isinstance(record, dict):
            raise TypeError(record)
        phrase = Phrase.from_record(record)
        phrase.spoken()
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as fault:
        raise ValueError("not a sentence with its values") from fault
    return phrase


StoredPhrase = Annotated[
    Phrase,
    PlainValidator(_restored_phrase),
    PlainSerializer(lambda phrase: phrase.to_record(), return_type=dict[str, object]),
]


class ProcessRecord(StoredRecord):
    """A process as people are shown it. Whether it lives is never asked of it, but of the run's lock."""

    pid: Annotated[int, Field(ge=0, lt=2**31)]
    """process id, in its own namespace"""
    host: str = "?"
    """the name of the machine"""


class BaselineRecord(StoredRecord):
    """The constant prediction that the tuned model has to beat."""

    name: str
    """what is predicted for each row: `majority class` or `mean`"""
    scores: Scores
    """its scores on the held-out rows"""


class RunResult(StoredRecord):
    """The figures of a finished run."""

    before: Scores | None = None
    """scores of the base model on the held-out rows; missing without held-out rows"""
    after: Scores | None = None
    """scores of the tuned model on the same rows"""
    baseline: BaselineRecord | None = None
    """the constant prediction; missing where the task has none"""
    rows: Count = 0
    """held-out rows that were answered or labelled"""
    held_out_rows: Count = 0
    """held-out rows in the loss"""
    seconds: dict[str, Number] = Field(default_factory=dict)
    """seconds of `train`, `evaluate_before`, `evaluate_after` and in `total`, of the last session"""
    tokens: Count | None = None
    """tokens that were trained on, without padding"""
    tokens_per_second: Number | None = None
    """tokens over the seconds of the steps"""
    peak_rss_bytes: Count | None = None
    """the worker's peak memory, as the kernel counts it"""
    peak_device_bytes: Count | None = None
    """the peak of the accelerator's memory; missing on CPUs"""
    steps: Count | None = None
    """optimizer steps"""
    best_step: Count | None = None
    """the step whose adapter was kept"""
    trainable_parameters: Count | None = None
    """parameters of the adapter, and of heads and embeddings that are trained with it"""
    adapter: str | None = None
    """the adapter's folder"""
    adapter_bytes: Count | None = None
    """the size of its weights"""


class FallbackRecord(StoredRecord):
    """A change that was made after an out-of-memory, so that the run could continue."""

    code: str = "D101"
    """the alert that says so"""
    time: Stamp = 0.0
    """when it was made"""
    phase: str = ""
    """the phase in which memory ran out"""
    step: Count = 0
    """optimizer steps that were done by then"""
    evidence: str = ""
    """how it is known, in English"""
    peak: str = ""
    """the most memory that the worker held, with its unit"""
    total: str = ""
    """the memory that it could have, with its unit"""
    what: str = ""
    """what was changed, in English"""
    was: Any = None
    """its value before"""
    now: Any = None
    """its value from then on"""
    start: Count = 0
    """the step of the checkpoint from which the run continued"""
    batch: Count = 0
    """rows in an optimizer step, which does not change"""


class RunInfo(StoredRecord):
    """run.json: what a run is and how it stands. Written by the process that owns the run."""

    schema_: Count = Field(alias="schema")
    """the version of the format"""
    id: str
    """a random name that no other run has; checkpoints carry it"""
    name: str
    """the name that the user or the plan chose"""
    state: str
    """waiting, queued, preparing, running, stopping, finished, stopped, failed; read `RunDir.state`, which asks the lock"""
    created: Stamp
    """when the folder was made"""
    queued: Stamp | None = None
    """when it was last queued, if it was resumed"""
    started: Stamp | None = None
    """when the last session began"""
    ended: Stamp | None = None
    """when it ended"""
    seconds: Number | None = None
    """length of the last session, of a clock that does not jump"""
    seconds_before: Number = 0.0
    """length of all sessions before it"""
    parent: ProcessRecord | None = None
    """the supervisor"""
    worker: ProcessRecord | None = None
    """the process that trains"""
    model: str | None = None
    """the base model as the config names it"""
    data: dict[str, str] = Field(default_factory=dict)
    """path and fingerprint of the training rows"""
    generated_data: bool = False
    """whether Tunewright generated them"""
    seeds: dict[str, int] = Field(default_factory=dict)
    """`seed` and `data_seed`"""
    versions: dict[str, str] = Field(default_factory=dict)
    """of Python, Tunewright and the libraries, by name"""
    exit_code: int | None = None
    """of the worker; missing before its end"""
    test_halvings: Count = 0
    """how often the batches of evaluations were halved for want of memory"""
    remedies: list[FallbackRecord] = Field(default_factory=list)
    """memory fallbacks in the order in which they were applied"""
    problems: list[StoredProblem] | None = None
    """why the last session ended"""
    result: RunResult | None = None
    """what it measured, if it finished"""
    is_launched: bool = False
    """for a trial of a sweep: whether its training was begun"""


class DataRecord(DataSummary):
    """prepared.json: the data summary, and where the tokenized rows are."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    key: str = Field(description="of the tokenized rows in the cache")
    from_cache: bool = Field(False, description="whether they were read from there")


class FewShotRecord(StoredRecord):
    """eval/prompted.json: the base model with training rows in its prompt."""

    requested_shots: Count = Field(alias="asked")
    """examples that were to be in each prompt"""
    shots: Count
    """examples that all prompts had room for"""
    scores: Scores
    """scores on the held-out rows"""
    rows: Count = 0
    """held-out rows that were answered"""


class BenchmarkValue(StoredRecord):
    """One measurement by lm-evaluation-harness."""

    value: Number | None
    """the metric"""
    stderr: Number | None
    """its standard error, if the task has one"""


class BenchmarkMetric(StoredRecord):
    """One metric of a task, of base and tuned model."""

    metric: str
    """its name in lm-evaluation-harness"""
    filter: str
    """how answers were extracted"""
    is_higher_better: bool | None
    """None where the task does not say"""
    before: BenchmarkValue
    """of the base model"""
    after: BenchmarkValue
    """of the tuned model"""


class BenchmarkTask(StoredRecord):
    """One task of lm-evaluation-harness."""

    rows: Count | None
    """rows that were asked"""
    metrics: list[BenchmarkMetric]
    """what was measured"""


class BenchmarkRecord(StoredRecord):
    """eval/benchmark.json: base and tuned model under lm-evaluation-harness."""

    tasks: dict[str, BenchmarkTask]
    """by the name of the task"""


CheckName = Literal["template", "ids", "end", "answers", "logits", "tuned", "score"]
CheckOutcome = Literal["ok", "failed", "measured", "not_applicable"]


class ProofCheck(StoredRecord):
    """One of the checks of a deployed model."""

    name: CheckName
    """`template` (the text of the prompt), `ids` (its tokens), `end`, `answers`, `logits`, `tuned` (not the base), `score`"""
    outcome: CheckOutcome
    """`ok`, `failed`, `measured` (a figure that decides nothing for weights in so few bits), `not_applicable`"""
    held: Count = 0
    """rows, prompts or places where it holds"""
    total: Count = 0
    """rows, prompts or places that were compared"""
    rows: list[Count] = Field(default_factory=list)
    """numbers of held-out rows where it does not hold, the first twenty"""
    prompts: list[str] = Field(default_factory=list)
    """kinds of prompts where it does not hold: `system` (with a system turn), `plain`, `turns`"""
    figures: dict[str, Measured] = Field(default_factory=dict)
    """what was measured, by name: `largest_gap`, `ties`, `run_score`, `low`, `high`, ..."""
    reason: str = ""
    """what is wrong, or why it does not apply; English, no text of a row"""


class Proof(StoredRecord):
    """proof.json of an export: whether the deployed model answers as the run. It holds no text of a row."""

    schema_: Count = Field(alias="schema")
    """the version of the format"""
    run: str
    """id of the run"""
    name: str
    """name of the run"""
    what: str
    """what was checked: the kind of export, or the address of an endpoint"""
    created: Stamp
    """when it was checked"""
    engine: str
    """what answered, as far as it says"""
    precision: str
    """of the deployed weights: f16, q8_0, ...; the checks are judged by it"""
    compared_rows: Count
    """rows that were answered"""
    is_held_out: bool
    """whether these were held out; rows of the training otherwise"""
    checks: list[ProofCheck]
    """in the order in which they are read"""
    files: dict[str, str] = Field(default_factory=dict)
    """sha256 of the deployed files by name, where they are here"""
    versions: dict[str, str] = Field(default_factory=dict)
    """of the packages that served and checked, by name"""
    seconds: Number = 0.0
    """how long the checks took"""

    @property
    def failed(self) -> list[ProofCheck]:
        """The checks that did not hold; what was deployed answers as trained if there is none."""
        return [check for check in self.checks if check.outcome == "failed"]


class ProofsRecord(StoredRecord):
    """eval/proof.json: what was deployed of this run and checked against it."""

    proofs: dict[str, Proof]
    """the last one of each export or endpoint, by what it is of"""


class TagsRecord(StoredRecord):
    """tags.json: words by which somebody finds the run again. A run without tags has no such file."""

    tags: list[str]
    """in the order in which they were given"""


class SettingRecord(StoredRecord):
    """equal.json of a comparison: settings that all of its runs share."""

    ask: str
    """what is compared"""
    values: dict[str, object]
    """settings by path"""


class ComparisonIdentity(StoredRecord):
    """sweep.json: what a sweep searches."""

    id: str
    """of the search"""
    ask: Any
    """its config and search space"""
