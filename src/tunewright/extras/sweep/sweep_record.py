"""What a search knows of its trials, as a file in its folder: for whoever looks at it without the search, which needs Optuna."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tunewright.config.stored_record import Count, Measured, StoredRecord
from tunewright.metrics.metric_table import METRICS
from tunewright.rundir import atomic_io, file_names
from tunewright.rundir.record_reader import read_optional

SWEEP_FILE = "sweep.json"
TRIALS_FILE = "trials.json"
FEWEST_FOR_IMPORTANCE = 4
TrialState = Literal["complete", "pruned", "failed", "running"]


def _known(metric: str) -> str:
    if metric not in METRICS:
        raise ValueError("not a score")
    return metric


Share = Annotated[float, Field(ge=0, le=1.001)]  # sums of shares are rounded


class StoredTrial(StoredRecord):
    """trials.json: one trial."""

    number: Count
    """counted from 0"""
    state: TrialState
    """`running` is every trial without an end, whether somebody works on it or not"""
    value: Measured = None
    """the score that decides, of a complete trial"""
    params: dict[str, object]
    """what was picked, by path of the config"""
    run: str | None = None
    """the folder of its run"""
    seconds: Measured = None
    """from the run's start to its end"""
    train_seconds: Measured = None
    """of training alone, of a complete trial"""
    trainable_parameters: Count | None = None
    """of a complete trial"""
    reason: str | None = None
    """why a trial failed, in English"""


class SweepRecord(StoredRecord):
    """trials.json: the trials of a sweep as they were when the last of them ended."""

    metric: Annotated[str, AfterValidator(_known)]
    """the score that decides"""
    trials: list[StoredTrial]
    """by number"""
    best: Count | None = None
    """the number of the best trial"""
    config: str | None = None
    """the file that trains the best again"""
    importance: dict[str, Share] = Field(default_factory=dict)
    """how much each searched setting had to do with a good score, in shares of 1; empty for few trials"""


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (folder / SWEEP_FILE).is_file()


def write_record(folder: Path, record: SweepRecord) -> None:
    """Write the record, whole or not at all."""
    atomic_io.write_json(folder / TRIALS_FILE, {"schema": file_names.SCHEMA, **record.model_dump(mode="json")})


def read_record(folder: Path) -> SweepRecord | None:
    """The record in a sweep's folder; None before its first trial has ended. Raises: TrainingError E525."""
    return read_optional(folder / TRIALS_FILE, SweepRecord)
