"""The summary of a data set: rows of each kind, lengths, tokens in the loss, and the warnings that follow from them."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tunewright.config.tasks import ProblemType, Task
from tunewright.data.files.column_names import UNUSED
from tunewright.data.histogram import Count, LengthHistogram, histogram
from tunewright.data.loaded_examples import LoadedExamples, is_of_held_out, place_of
from tunewright.data.row_tally import NumberedRows, RowTally, SortedCounts
from tunewright.data.tokenized.text_blocks import TEXT_BLOCK_TOKENS
from tunewright.errors import Problem

KIND_OF_CODE: Mapping[str, str] = {
    "E203": "empty",
    "E207": "missing_field",
    "E208": "role_order",
    "E209": "masked_out",
    "E214": "without_end_token",
    "E219": "refused_by_template",
    "E231": "refused_by_template",
    "E235": "refused_by_template",
    "E232": "nothing_learned",
}
KINDS = (
    "damaged", "empty", "missing_field", "role_order", "nothing_learned", "refused_by_template", "masked_out",
    "without_end_token", "truncated", "duplicate", "conflict", "leaked", "control_tokens", "mojibake",
    "unlearned_turns", "cut_turns", "turns_joined", "turn_lost", "tools_unseen", "thinking", "thinking_by_hand",
    "thinking_lost",
)  # fmt: skip
SHOWN_LABELS = 10
NO_LIMIT = 2**31 - 1
UNKNOWN_TOLD = 0.01
UNKNOWN_REFUSED = 0.2


def _field(default: Any = ..., *, description: str) -> Any:
    return Field(default, description=description)


class SequenceCounts(BaseModel):
    """Tokenized sequences on each side; a plain text may become several of them."""

    model_config = ConfigDict(frozen=True)

    train: Count = _field(description="sequences")
    held_out: Count = _field(description="sequences")


class SourceSummary(BaseModel):
    """One of several sources of training rows: `rows` = `used` + `held_out` + `dropped` + `not_drawn`."""

    model_config = ConfigDict(frozen=True)

    path: str = _field(description="a file, a folder or a Hub id")
    format: str = _field(description="the recognized format of its rows")
    columns: dict[str, str] = _field(description="column by role")
    start: Count = _field(description="its rows are numbered from here on, plus 1")
    last: Count = _field(description="the highest number of its rows, counted from `start`")
    rows: Count = _field(description="rows read, damaged ones included")
    used: Count = _field(description="its training rows, each once")
    held_out: Count = _field(description="of its rows, those held out by share")
    dropped: Count = _field(description="rows left out as damaged")
    not_drawn: Count = _field(description="rows left out by its `rows` or `weight`")
    sequences: Count = _field(description="tokenized sequences in an epoch, repeated ones as often as they are read")
    tokens: Count = _field(description="tokens of these")
    label_tokens: Count = _field(description="tokens of them in the loss; rows for seq_cls")


class DataSummary(BaseModel):
    """What the rows of a data set became: how many of each kind, how long they are, what is in the loss.

    It is stored as JSON in prepared.json, whose other keys are not part of it. Fields with a default are missing in files
    of earlier versions.
    """

    model_config = ConfigDict(frozen=True)

    task: Task = _field("causal_lm", description="the task the rows are tokenized for")
    format: str = _field(description="the recognized format of the rows")
    columns: dict[str, str] = _field({}, description="column by role")
    rows: Count = _field(description="rows read, damaged ones included: used + held_out + dropped + not_drawn")
    used: Count = _field(description="training rows, each once")
    looked_at: Count = _field(0, description="training rows in memory, which lengths and tokens are measured on")
    held_out: Count = _field(description="held-out rows")
    blocks: SequenceCounts = _field(SequenceCounts(train=0, held_out=0), description="tokenized sequences")
    dropped: Count = _field(description="rows left out: damaged, or also in the training rows")
    not_drawn: Count = _field(0, description="rows left out by the `rows` or `weight` of their source")
    sources: list[SourceSummary] = _field([], description="each source, where rows are mixed")
    counts: dict[str, Count] = _field(description="rows of each kind of KINDS")
    numbers: dict[str, list[Count]] = _field(description="row numbers of each kind, the first SHOWN_NUMBERS")
    lengths: dict[str, Count] = _field(description="tokens per row before truncation, by name of QUANTILES")
    histogram: LengthHistogram | None = _field(None, description="rows by length in tokens")
    max_length: Count = _field(description="the limit of a sequence, in tokens")
    common_prefix: Count = _field(0, description="tokens that all prompts begin with; 0 if too few to share")
    longest_prompt: Count = _field(0, description="tokens of the longest prompt")
    tokens: Count = _field(description="tokens of the training rows after truncation")
    label_tokens: Count = _field(description="tokens of them in the loss; rows for seq_cls")
    unknown_tokens: Count = _field(0, description="tokens of them that the tokenizer has no entry for")
    labels: dict[str, Count] = _field(description="training rows with each label; words for tags")
    problem_type: ProblemType | None = _field(description="the kind of labels, for seq_cls")
    unused: dict[str, Count] = _field({}, description="rows that hold something in each column or key that is not used")
    positions: Count = _field(NO_LIMIT, description="the largest max_length of the model, in tokens")

    @property
    def unknown_share(self) -> float:
        """The share of tokens that the tokenizer has no entry for, from 0 to 1."""
        return self.unknown_tokens / max(1, self.tokens)


def summarize(loaded: LoadedExamples, tally: RowTally, task: Task, max_length: int, positions: int) -> DataSummary:
    """Counts, lengths and tokens of the rows that were tokenized and of those that could not be."""
    kinds = {**_kinds_of_problems(loaded), **tally.kinds}
    lengths = SortedCounts(tally.lengths)
    return DataSummary(
        task=task,
        format=loaded.format.name,
        columns=dict(loaded.format.columns),
        rows=loaded.rows_in,
        used=loaded.num_train - (tally.num_examples["train"] - tally.num_rows["train"]),
        looked_at=tally.num_rows["train"],
        held_out=tally.num_rows["held out"],
        blocks=SequenceCounts(train=tally.num_sequences["train"], held_out=tally.num_sequences["held out"]),
        dropped=loaded.bad_rows + len(loaded.leaked),
        not_drawn=loaded.not_drawn,
        sources=list(_sources(loaded, tally)) if loaded.is_mixed else [],
        counts={kind: kinds[kind].count for kind in KINDS},
        numbers={kind: kinds[kind].smallest() for kind in KINDS if kinds[kind].count},
        lengths={name: quantile(lengths, share) for name, share in QUANTILES.items()},
        histogram=histogram(lengths, NO_LIMIT if loaded.format.name == "text" else max_length),  # texts are not cut
        max_length=max_length,
        common_prefix=tally.common_prefix(),
        longest_prompt=tally.longest_prompt,
        tokens=tally.tokens,
        label_tokens=tally.label_tokens,
        unknown_tokens=tally.unknown_tokens,
        labels=loaded.label_counts,
        problem_type=loaded.problem_type,
        unused=dict(loaded.unused),
        positions=positions,
    )


def longest_text(loaded: LoadedExamples, max_length: int | None, task: Task) -> int | None:
    """The length that a plain text counts as at most, beside rows of other forms, which are cut; None where it is its own.

    A text that goes on in further blocks has one length; no row of the others makes it necessary to read more than a block.
    """
    is_mixed = task == "causal_lm" and loaded.format.name == "mixed"
    return min(max_length or NO_LIMIT, TEXT_BLOCK_TOKENS) if is_mixed else None


def _sources(loaded: LoadedExamples, tally: RowTally) -> Iterator[SourceSummary]:
    """The account of each source."""
    bad = Counter(file for file, _number in {place_of(problem) for problem in loaded.problems})
    for source, counted in zip(loaded.sources, tally.of_sources, strict=True):
        held_out = sum(source.holds(example.number) for example in loaded.held_out) if loaded.share else 0
        dropped = sum(bad[file] for file in source.files)
        yield SourceSummary(
            path=source.path,
            format=source.format.name,
            columns=dict(source.format.columns),
            start=source.start,
            last=source.last,
            rows=source.rows_in,
            used=source.rows_in - source.not_drawn - dropped - held_out,
            held_out=held_out,
            dropped=dropped,
            not_drawn=source.not_drawn,
            sequences=counted.sequences,
            tokens=counted.tokens,
            label_tokens=counted.label_tokens,
        )


QUANTILES: Mapping[str, float] = {"median": 0.5, "p95": 0.95, "p99": 0.99, "longest": 1.0}


def quantile(ordered: Sequence[int], share: float) -> int:
    """The smallest value that at least this share of the ordered values does not exceed; 0 for no values."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else 0


def _kinds_of_problems(loaded: LoadedExamples) -> dict[str, NumberedRows]:
    """Rows that were left out or that repeat others, each once; two files may have a row of the same number each."""
    places: dict[str, set[tuple[bool, str, int]]] = {kind: set() for kind in KINDS}
    for problem in loaded.problems:
        places[KIND_OF_CODE.get(problem.code, "damaged")].add((is_of_held_out(problem), *loaded.row_of(problem)))
    places["leaked"] = {(True, example.file, example.number) for example in loaded.leaked}
    kinds = {kind: NumberedRows(number for *_file, number in own) for kind, own in places.items()}
    return {**kinds, "duplicate": NumberedRows(loaded.duplicates), "conflict": NumberedRows(loaded.conflicts)}


WARNED: Mapping[str, str] = {
    "W211": "duplicate",
    "W212": "conflict",
    "W213": "leaked",
    "W215": "control_tokens",
    "W247": "mojibake",
    "W221": "tools_unseen",
    "W223": "thinking_by_hand",
    "W224": "turn_lost",
    "W227": "thinking_lost",
}


def warnings_of(summary: DataSummary) -> list[Problem]:
    counts = summary.counts
    problems = []
    if counts["truncated"]:
        problems.append(
            cut_warning(counts["truncated"], summary.max_length, summary.lengths["longest"], summary.positions)
        )
    for code, kind in WARNED.items():
        if counts[kind]:
            problems.append(Problem(code, values={"count": counts[kind]}))
    if UNKNOWN_TOLD < summary.unknown_share <= UNKNOWN_REFUSED:
        values = {"count": summary.unknown_tokens, "percent": f"{summary.unknown_share:.1%}"}
        problems.append(Problem("W214", values=values))
    problems += _of_turns(summary)
    for code, rare in (("W216", 0), ("W217", 1)):
        names = [name for name, count in summary.labels.items() if count == rare]
        if names:
            problems.append(Problem(code, values={"count": len(names), "labels": _listed(names)}))
    return problems


def _of_turns(summary: DataSummary) -> Iterator[Problem]:
    """Rows of two kinds in one file, and columns that people expect to be used."""
    count, rows = summary.counts["thinking"], summary.looked_at + summary.held_out
    if 0 < count < rows:
        yield Problem("W222", values={"count": count, "rows": rows})
    for code, names in UNUSED.items():
        columns = [column for column in summary.unused if column.rpartition(".")[2].casefold() in names]
        if columns:
            values = {"columns": ", ".join(columns), "count": max(summary.unused[column] for column in columns)}
            yield Problem(code, values=values)


def cut_warning(count: int, max_length: int, longest: int, positions: int) -> Problem:
    """W201, with the max_length that would cut nothing where the model has it."""
    fix = {"needed": longest} if longest <= positions else {}
    return Problem("W201", values={"count": count, "max_length": max_length, **fix})


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_LABELS]) + (", ..." if len(names) > SHOWN_LABELS else "")
