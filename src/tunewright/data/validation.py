"""The data gate: every row accounted for, before anything is trained.

rows in = used + held out + dropped, and each dropped row has file, line and reason. Damaged data stop the run unless
leaving such rows out was asked for.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from tunewright.config.run_config import DataConfig
from tunewright.config.tasks import TASKS, Task
from tunewright.data.examples.formats import Example
from tunewright.data.loaded_examples import LoadedExamples, of_held_out, place_of
from tunewright.data.row_tally import RowTally, Side
from tunewright.data.summary import NO_LIMIT, UNKNOWN_REFUSED, DataSummary, longest_text, summarize, warnings_of
from tunewright.data.tokenized.known_rows import KnownRows
from tunewright.data.tokenized.tokenization import EncodedChunk, EncodingRules, TokenizedExample, encode_chunks
from tunewright.data.tokenized.tokenized_cache import Store
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.data.tokenized.vocabulary_check import EmbeddingRows, beyond_problem
from tunewright.errors import DataError, Problem
from tunewright.i18n import N_
from tunewright.reporting import SILENT, Reporter

MOST_TRUNCATED = 0.25


class RowSink(Protocol):
    """Takes the encoded rows of a side as they come: a list, or what writes them away."""

    def extend(self, rows: Iterable[TokenizedExample], /) -> None:
        """Take some more."""


@dataclass
class ValidatedData:
    """The data as the model sees them, with the account of every row; encoded rows are not here where a sink has them."""

    loaded: LoadedExamples
    summary: DataSummary
    warnings: list[Problem]
    outside: Problem | None = None  # tokens in use that the model has no row for
    train: Sequence[TokenizedExample] = ()
    held_out: Sequence[TokenizedExample] = ()


def validate_data(
    loaded: LoadedExamples,
    config: DataConfig,
    tokenizer: TextTokenizer,
    *,
    task: Task = "causal_lm",
    max_length: int,
    positions: int = NO_LIMIT,
    embedding: EmbeddingRows | None = None,
    label_last: bool = False,
    reporter: Reporter = SILENT,
    store: Store | None = None,
    known: KnownRows | None = None,
) -> ValidatedData:
    """Encode the rows in memory and account for each of them. Nothing is refused here; `judge` does that.

    `positions` are the most that `max_length` could be with this model; ids are checked against its `embedding`.
    `label_last` puts a word's tag on its last token, for models that only look back. `store` keeps encoded rows,
    `known` those of this process.
    """
    rules = rules_for(loaded, config, tokenizer, task=task, max_length=max_length, label_last=label_last)
    encode = known.encode if known and tokenizer.digest else encode_chunks
    chunks = partial(encode, rules=rules, store=store)
    train: list[TokenizedExample] = []
    held_out: list[TokenizedExample] = []
    account = validate_rows(
        loaded, (loaded.train, len(loaded.train)), rules, chunks, (train, held_out),
        positions=positions, embedding=embedding, reporter=reporter,
    )  # fmt: skip
    return replace(account, train=train, held_out=held_out)


def rules_for(
    loaded: LoadedExamples,
    config: DataConfig,
    tokenizer: TextTokenizer,
    *,
    task: Task,
    max_length: int,
    label_last: bool,
) -> EncodingRules:
    """How the rows of a config are encoded."""
    classes = {name: number for number, name in enumerate(loaded.labels)}
    return EncodingRules(
        tokenizer, max_length, config.train_on, config.thinking, config.turns, classes, label_last, task
    )


def validate_rows(
    loaded: LoadedExamples,
    train: tuple[Iterable[Example], int],
    rules: EncodingRules,
    encode: Callable[[Iterable[Example]], Iterator[EncodedChunk]],
    sinks: tuple[RowSink, RowSink],
    *,
    positions: int = NO_LIMIT,
    embedding: EmbeddingRows | None = None,
    reporter: Reporter = SILENT,
) -> ValidatedData:
    """The account of these training rows, and how many they are, and of those held out: all pass by once, into the sinks."""
    tally = RowTally(
        rules.tokenizer,
        rules.task,
        sources=loaded.sources if loaded.is_mixed else (),
        longest_text=longest_text(loaded, rules.max_length, rules.task),
        embedding_rows=embedding.rows if embedding else None,
    )
    problems, done, total = list(loaded.problems), 0, train[1] + len(loaded.held_out)
    sides: tuple[tuple[Side, Iterable[Example], RowSink], ...] = (
        ("train", train[0], sinks[0]),
        ("held out", loaded.held_out, sinks[1]),
    )
    for side, examples, sink in sides:
        for chunk in encode(examples):
            rows = chunk.rows
            if side == "train" and loaded.is_mixed:
                rows = [row for row in rows for _time in range(loaded.times(row.number))]
            tally.add(side, chunk.examples, rows)
            sink.extend(rows)
            new_problems = [_in_its_source(_without_vain_advice(bad, positions), loaded) for bad in chunk.problems]
            problems += map(of_held_out, new_problems) if side == "held out" and not loaded.share else new_problems
            done += len(chunk.examples)
            reporter.progress(done, total)
    problems.sort(key=lambda p: (p.where.file, p.where.line, p.where.column))
    loaded = replace(loaded, problems=problems)
    summary = summarize(loaded, tally, rules.task, rules.max_length or 0, positions)
    ids = sorted(tally.beyond)
    outside = beyond_problem(ids, rules.tokenizer, rules.task, embedding) if ids and embedding else None
    warnings = [*loaded.notes, *warnings_of(summary)]
    if rules.train_on == "all" and summary.counts["unlearned_turns"]:
        warnings.append(Problem("W249", values={"count": summary.counts["unlearned_turns"]}))
    return ValidatedData(loaded, summary, warnings, outside)


def _without_vain_advice(problem: Problem, positions: int) -> Problem:
    """A problem that offers no max_length which the model does not have."""
    needed = problem.values.get("needed")
    values = {name: value for name, value in problem.values.items() if name != "needed"}
    return replace(problem, values=values) if isinstance(needed, int) and needed > positions else problem


def _in_its_source(problem: Problem, loaded: LoadedExamples) -> Problem:
    """A problem of an encoded row with the number that the row has in its own source."""
    file, number = place_of(problem)
    return replace(problem, values={**problem.values, "row": number - loaded.starts.get(file, 0)})


def most_truncated(config: DataConfig, task: Task) -> float:
    """The share of rows that may be cut: a text to be labelled is usually clear from its beginning, an answer is not."""
    if config.max_truncated != "auto":
        return config.max_truncated
    return MOST_TRUNCATED if TASKS[task].writes else 1.0


def judge(validated: ValidatedData, config: DataConfig) -> list[Problem]:
    """What must stop the run: damaged rows that were not knowingly left out, and thresholds that are passed."""
    loaded, counts = validated.loaded, validated.summary.counts
    problems: list[Problem] = []
    if loaded.problems and not config.skip_bad:
        problems += loaded.problems
        problems.append(Problem("E216", values={"count": loaded.bad_rows, "rows": loaded.rows_in}))
    if not validated.summary.blocks.train:
        none_drawn = [Problem("E270", values=note.values) for note in loaded.notes if note.code == "W252"]
        problems += none_drawn or [Problem("E210", values={"path": config.name})]
    if validated.outside:
        problems.append(validated.outside)
    longest, task = validated.summary.lengths["longest"], validated.summary.task
    is_room = longest <= validated.summary.positions
    longer = f"--set data.max_length={longest}" if is_room else "--set data.max_truncated=1"
    skipped = loaded.bad_rows if config.skip_bad else 0
    most_bad = config.max_bad if validated.summary.blocks.train else 1.0  # where no row is left, that is what is wrong
    repeated = _repeated_answers(loaded)
    looked_at = validated.summary.looked_at + validated.summary.held_out
    limits = (
        (N_("damaged"), skipped, most_bad, loaded.rows_in, "--set data.max_bad=1"),
        (N_("truncated"), counts["truncated"], most_truncated(config, task), looked_at, longer),
        (N_("duplicate"), repeated, config.max_duplicates, loaded.rows_in, "--set data.max_duplicates=1"),
    )
    for kind, count, limit, rows, fix in limits:
        if rows and count / rows > limit:
            values = {
                "count": count,
                "rows": rows,
                "percent": f"{count / rows:.0%}",
                "what": kind,
                "limit": f"{limit:.0%}",
                "fix": fix,
            }
            problems.append(Problem("E215", values=values))
    if validated.summary.unknown_share > UNKNOWN_REFUSED:
        share = validated.summary.unknown_share
        values = {"percent": f"{share:.0%}", "path": config.name, "task": task}
        problems.append(Problem("E225", values=values))
    if validated.summary.blocks.train and _all_the_same(loaded):
        problems.append(Problem("E226"))
    return problems


def _repeated_answers(loaded: LoadedExamples) -> int:
    """Rows that repeat an earlier row; texts repeat lines, answers should not."""
    if loaded.format.name == "text":
        return 0
    texts = [source for source in loaded.sources if source.format.name == "text"]
    return sum(not any(source.holds(number) for source in texts) for number in loaded.duplicates)


def _all_the_same(loaded: LoadedExamples) -> bool:
    """Whether the labels of all training rows are one and the same, so that there is nothing to tell apart."""
    if loaded.labels and loaded.problem_type != "multi_label_classification":
        return sum(count > 0 for count in loaded.label_counts.values()) < 2
    return loaded.problem_type is not None and len({example.target for example in loaded.train}) < 2


def raise_if_stopped(validated: ValidatedData, config: DataConfig) -> None:
    """Raises: DataError with everything that must stop the run."""
    problems = judge(validated, config)
    if problems:
        raise DataError(problems)
