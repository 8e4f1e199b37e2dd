"""Several runs side by side: their settings, their scores on the same rows, and their cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from statistics import fmean
from typing import Any

from tunewright.config.dotted_paths import leaves
from tunewright.config.methods import rank_field
from tunewright.config.stored_record import Scores
from tunewright.config.tasks import Task
from tunewright.errors import TrainingError, error
from tunewright.metrics import paired_differences
from tunewright.metrics.evaluated_rows import ExampleLoss, Sample
from tunewright.metrics.metric_table import DECIDING, LOSS, AnswerKind, in_reading_order, is_loss
from tunewright.metrics.paired_differences import Estimate
from tunewright.metrics.per_example_scores import PerExampleScores, loss_marks, marks
from tunewright.report import formatting
from tunewright.report.run_record import RunRecord
from tunewright.report.run_record import read as read_record
from tunewright.rundir import file_names
from tunewright.rundir.records import BaselineRecord
from tunewright.rundir.run_dir import DAMAGED, RunDir, unfit

SEED = "train.seed"
Key = tuple[int, str, str]


@dataclass(frozen=True)
class Candidate:
    """One setting with its runs, which differ only by seed; without runs it is the base model.

    `samples` are its answers to the rows that all candidates answered, `losses` those of all held-out rows, for each seed.
    """

    name: str
    scores: tuple[Scores, ...]
    samples: tuple[tuple[Sample, ...], ...]
    losses: tuple[tuple[ExampleLoss, ...], ...]
    records: tuple[RunRecord, ...] = ()

    @property
    def method(self) -> str | None:
        return self.records[0].plan.run.method if self.records else None

    @property
    def rank(self) -> int | None:
        """The rank of a method that has one."""
        if not self.records:
            return None
        peft = self.records[0].plan.run.peft
        field = rank_field(peft.method)
        return dict(peft)[field] if field else None

    @property
    def seconds(self) -> float | None:
        """Of training alone, without loading and tests."""
        return self._mean(record.seconds.get("train") for record in self.records)

    @property
    def tokens_per_second(self) -> float | None:
        return self._mean(record.result.tokens_per_second for record in self.records)

    @property
    def peak_bytes(self) -> int | None:
        """The most that any of the runs held."""
        return max((record.peak_bytes for record in self.records if record.peak_bytes), default=None)

    @property
    def trainable_parameters(self) -> int | None:
        return self.records[0].result.trainable_parameters if self.records else None

    @property
    def adapter_bytes(self) -> int | None:
        return self.records[0].result.adapter_bytes if self.records else None

    @staticmethod
    def _mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if known else None


@dataclass(frozen=True)
class Comparison:
    """Candidates that were evaluated on the same rows, the base model first.

    `left_out` are runs without an end, `damaged` those that cannot be read.

    `prompted` is the base model with `shots` training rows in its prompt, where that was measured.
    """

    task: Task
    kind: AnswerKind
    base: Candidate
    prompted: Candidate | None
    shots: int
    tuned: tuple[Candidate, ...]
    baseline: BaselineRecord | None
    rows: int
    held_out_rows: int
    left_out: tuple[RunDir, ...] = ()
    damaged: tuple[RunDir, ...] = ()

    @property
    def absent(self) -> list[tuple[RunDir, str]]:
        """The runs that are not in the table, with their states."""
        return [*((run, run.state()) for run in self.left_out), *((run, DAMAGED) for run in self.damaged)]

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return (*self.untrained, *self.tuned)

    @property
    def untrained(self) -> tuple[Candidate, ...]:
        """The candidates without training: the base model, and the base model with examples in its prompt."""
        return (self.base, self.prompted) if self.prompted else (self.base,)

    @cached_property
    def metric(self) -> str:
        """What is compared: the score that decided the verdict of most worth in any of the runs, else the loss."""
        decided = {record.verdict.metric for candidate in self.tuned for record in candidate.records}
        deciding = [name for name in DECIDING[self.task] if name in decided]
        return next((name for name in deciding if self.marks(self.base, name)), LOSS)

    @property
    def measured_rows(self) -> int:
        """How many rows the score that is compared was measured on."""
        return self.held_out_rows if is_loss(self.metric) else self.rows

    def marks(self, candidate: Candidate, metric: str) -> list[PerExampleScores]:
        """The per-example scores of a metric, for each seed; empty for a metric that has none."""
        if metric == LOSS:
            per_seed = [loss_marks(losses) for losses in candidate.losses]
        else:
            per_seed = [marks(metric, self.kind, samples) for samples in candidate.samples]
        return [scores for scores in per_seed if scores is not None]

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """By name of the candidate and of the score: its value, with an interval where there are scores of single rows."""
        return {candidate.name: self._estimates(candidate) for candidate in self.candidates}

    def _estimates(self, candidate: Candidate) -> dict[str, Estimate]:
        estimates = {}
        for metric in in_reading_order({name: None for scores in candidate.scores for name in scores}):
            rows = self.marks(candidate, metric)
            known = [score for scores in candidate.scores if (score := scores.get(metric)) is not None]
            if rows:
                estimates[metric] = paired_differences.score(rows)
            elif known:
                estimates[metric] = Estimate(fmean(known))
        return estimates

    def value(self, candidate: Candidate) -> float | None:
        """The score that is compared."""
        estimate = self.estimates[candidate.name].get(self.metric)
        return estimate.value if estimate else None

    def difference(self, candidate: Candidate, other: Candidate) -> Estimate | None:
        """How much higher the other scores, with an interval corrected for the number of differences (Bonferroni).

        A loss has none where the losses of single rows were not kept.
        """
        if (candidate.name, other.name) not in self._differences:
            change = self._difference(candidate, other)
            self._differences[candidate.name, other.name] = change
            self._differences[other.name, candidate.name] = change and -change
        return self._differences[candidate.name, other.name]

    @cached_property
    def _differences(self) -> dict[tuple[str, str], Estimate | None]:
        """The differences computed so far, as each takes a while."""
        return {}

    def _difference(self, candidate: Candidate, other: Candidate) -> Estimate | None:
        values = self.value(candidate), self.value(other)
        if values[0] is None or values[1] is None:
            return None
        rows = self.marks(candidate, self.metric), self.marks(other, self.metric)
        if not all(rows):
            return Estimate(values[1] - values[0])
        sure = 1 - (1 - paired_differences.SURE) / (len(self.candidates) - 1)
        return paired_differences.difference(*rows, sure=sure)

    @cached_property
    def differing(self) -> dict[str, list[Any]]:
        """Keys of the config, as it was resolved, that differ between the candidates, with the value of each."""
        return differing_settings([candidate.records[0] for candidate in self.tuned])


def compare(runs: Sequence[RunDir], shots: int | None = None) -> Comparison:
    """The finished ones of these runs side by side.

    `shots` is the number of examples in the prompt of the base model that is compared too: none for 0; None takes what a
    run has measured.
    Raises: ConfigError E116 if none is finished, E125 if they were not tested on the same rows.
    """
    records, damaged = _read(runs)
    if damaged and not any(map(_is_finished, records)):
        raise damaged[0][1]
    return compare_records(records, shots, damaged=[run for run, _fault in damaged])


def compare_records(
    records: Sequence[RunRecord], shots: int | None = None, *, damaged: Sequence[RunDir] = ()
) -> Comparison:
    """The same of runs that were read, and those that could not be. Raises: as `compare`; TrainingError E525 for their rows."""
    records = _apart(records)
    finished = list(filter(_is_finished, records))
    if not finished:
        run = records[0].run
        raise unfit(run, "compare")
    first = finished[0]
    shared = _shared_rows(finished)
    read = _rows_read(finished)
    model = _base_record(finished, read).plan.facts.model.digest
    same_model = [record.run for record in finished if record.plan.facts.model.digest == model]
    prompted = _prompted(same_model, shots, shared, read)
    tuned = tuple(_candidate(name, of_it, shared, read) for name, of_it in _settings(finished).items())
    return Comparison(
        task=first.task,
        kind=first.kind,
        base=_base(finished, shared, read),
        prompted=prompted[0],
        shots=prompted[1],
        tuned=tuned,
        baseline=first.baseline,
        rows=len(shared),
        held_out_rows=first.after.held_out_rows if first.after else 0,
        left_out=tuple(record.run for record in records if not _is_finished(record)),
        damaged=tuple(damaged),
    )


def _is_finished(record: RunRecord) -> bool:
    return record.after is not None


def _read(runs: Sequence[RunDir]) -> tuple[list[RunRecord], list[tuple[RunDir, TrainingError]]]:
    """The runs that can be read, and those that cannot, with what is wrong."""
    records, damaged = [], []
    for run in runs:
        try:
            records.append(read_record(run))
        except TrainingError as fault:
            damaged.append((run, fault))
    return records, damaged


def _apart(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Each run once: one that is named twice, or by a link as well, would count as two seeds."""
    by_folder: dict[Path, RunRecord] = {}
    for record in records:
        by_folder.setdefault(record.run.path.resolve(), record)
    return list(by_folder.values())


def _shared_rows(records: Sequence[RunRecord]) -> list[Key]:
    """The rows that all runs were evaluated on, in the order of the first."""
    first = records[0]
    tests = {(record.task, record.kind, record.after.held_out_rows) for record in records if record.after}
    keys_of_runs = [{_key(sample) for sample in record.samples[1]} for record in records]
    shared = [key for key in map(_key, first.samples[1]) if all(key in keys for keys in keys_of_runs)]
    has_rows = (
        all(keys_of_runs) if any(keys_of_runs) else len({record.plan.facts.data.fingerprint for record in records}) == 1
    )
    if len(tests) > 1 or not has_rows or (any(keys_of_runs) and not shared):
        raise error("E125", names=", ".join(record.run.name for record in records))
    return shared


def _rows_read(records: Sequence[RunRecord]) -> list[tuple[int, int]]:
    """Row numbers and units of the held-out rows whose losses all runs stored; empty where a run stored none, or other rows.

    Another tokenizer gives a row other units, and then losses cannot be compared.
    """
    read = [_units(record.losses[1]) for record in records]
    data = {record.plan.facts.data.fingerprint for record in records}
    return read[0] if len(data) == 1 and all(rows == read[0] for rows in read) else []


def _units(losses: Sequence[ExampleLoss]) -> list[tuple[int, int]]:
    return [(row.row, row.units) for row in losses]


def _losses(losses: Sequence[ExampleLoss], read: Sequence[tuple[int, int]]) -> tuple[ExampleLoss, ...]:
    return tuple(losses) if _units(losses) == read else ()


def _key(sample: Sample) -> Key:
    return sample.row, sample.prompt, sample.reference


def _picked(samples: Sequence[Sample], shared: Sequence[Key]) -> tuple[Sample, ...]:
    by_key = {_key(sample): sample for sample in samples}
    return tuple(by_key[key] for key in shared if key in by_key)


def _candidate(
    name: str, records: Sequence[RunRecord], shared: Sequence[Key], read: Sequence[tuple[int, int]]
) -> Candidate:
    return Candidate(
        name=name,
        scores=tuple(record.after.scores for record in records if record.after),
        samples=tuple(_picked(record.samples[1], shared) for record in records),
        losses=tuple(_losses(record.losses[1], read) for record in records),
        records=tuple(records),
    )


def _base(records: Sequence[RunRecord], shared: Sequence[Key], read: Sequence[tuple[int, int]]) -> Candidate:
    """The base model as the first run measured it; a randomly initialized head differs from seed to seed."""
    first = _base_record(records, read)
    name = first.references[0]
    if first.before is None:
        return Candidate(name, (), (), ())
    samples, losses = _picked(first.samples[0], shared), _losses(first.losses[0], read)
    scores = (first.before.scores,)
    return Candidate(name, scores, (samples,) if len(samples) == len(shared) else (), (losses,))


def _base_record(records: Sequence[RunRecord], read: Sequence[tuple[int, int]]) -> RunRecord:
    """The first run that measured the base model, with the losses of single rows where one has them."""
    measured = [record for record in records if record.before]
    with_losses = [record for record in measured if _losses(record.losses[0], read)]
    return (with_losses or measured or list(records))[0]


def _prompted(
    runs: Sequence[RunDir], shots: int | None, shared: Sequence[Key], read: Sequence[tuple[int, int]]
) -> tuple[Candidate | None, int]:
    """The base model with examples in its prompt, from the first run that measured it on the same rows; and how many."""
    for run in runs:
        record = run.few_shot()
        samples = _picked(run.samples(file_names.PROMPTED), shared)
        if record and shots in (None, record.requested_shots) and len(samples) == len(shared):
            losses = _losses(run.losses(file_names.PROMPTED), read)
            return Candidate(file_names.PROMPTED, (record.scores,), (samples,), (losses,)), record.shots
    return None, 0


def _settings(records: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Runs grouped by their settings: those that differ only by seed are one group."""
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        values = {key: value for key, value in _flat(record).items() if key != SEED}
        groups.setdefault(repr(values), []).append(record)
    named: dict[str, list[RunRecord]] = {}
    for group in groups.values():
        name = _name(group)
        is_ambiguous = name in named or name in formatting.REFERENCES
        named[f"{name} ({len(named) + 1})" if is_ambiguous else name] = group
    return named


def _name(group: Sequence[RunRecord]) -> str:
    """The name of the only run, or the common prefix of several names; the method if there is none."""
    names = [record.run.name for record in group]
    prefix = [letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))]
    return "".join(prefix).removesuffix("-s").strip("-.") or formatting.method(group[0].plan.run)


def differing_settings(records: Sequence[RunRecord]) -> dict[str, list[Any]]:
    """Keys of the resolved config that differ between runs, with the value of each."""
    flat = [_flat(record) for record in records]
    keys = dict.fromkeys(key for values in flat for key in values)
    columns = {key: [values.get(key) for values in flat] for key in keys}
    return {key: values for key, values in columns.items() if any(value != values[0] for value in values)}


def _flat(record: RunRecord) -> dict[str, object]:
    """The resolved config by dotted path, without the section that names the run."""
    return {path: value for path, value in leaves(record.plan.run) if not path.startswith("run.")}
