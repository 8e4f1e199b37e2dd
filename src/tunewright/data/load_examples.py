"""Data to examples: read, recognised, split, and compared row by row, with the problems found on the way."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from tunewright.config.run_config import DataConfig
from tunewright.config.section import AUTO, Auto
from tunewright.config.tasks import TASKS, ProblemType, Task
from tunewright.data import deduplication
from tunewright.data.examples.convert import to_examples
from tunewright.data.examples.foreign_exports import refuse_foreign
from tunewright.data.examples.formats import SAMPLE_ROWS, Example, Format, looks_like, sniff
from tunewright.data.examples.label_kind import LabelKind, label_kind
from tunewright.data.examples.label_names import count_labels, label_names
from tunewright.data.examples.preference_rows import refuse_preferences
from tunewright.data.examples.reading_notes import remarks_of
from tunewright.data.examples.row_cells import cell
from tunewright.data.examples.word_tables import grouped, sentence_column
from tunewright.data.files.readers import RawRow, fingerprint, iterate_rows
from tunewright.data.train_eval_split import RowSource, TrainEvalSplit, sides_of, train_source
from tunewright.errors import DataError, Problem, error, errors_of

ROWS_AT_ONCE = 1000


@dataclass
class LoadedExamples:
    """The data as examples: what was read, how it was understood, what was wrong.

    `train` may hold the first of `num_train` rows alone. `labels` are the names of all labels or tags, in held-out rows too;
    `label_counts` says how many training rows have each (for tags: how many words), 0 for those that appear in held-out rows
    only. `duplicates` and `conflicts` are numbers of rows, `remarks` counts the rows with a warning, by the code of
    the warning, `grouped_by` is the column that identifies the sentence of each word, `share` what part of the training
    rows was to be held out; `notes` are warnings about the reading, `unused` counts the rows that hold something in a column,
    or in a key of their turns, that is not used.
    """

    format: Format
    train: list[Example]
    held_out: list[Example]
    problems: list[Problem]
    rows_in: int
    num_train: int = 0
    leaked: list[Example] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    conflicts: list[int] = field(default_factory=list)
    labels: tuple[str, ...] = ()
    label_counts: dict[str, int] = field(default_factory=dict)
    problem_type: ProblemType | None = None
    unused: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    grouped_by: str = ""
    share: float = 0
    notes: list[Problem] = field(default_factory=list)

    @property
    def bad_rows(self) -> int:
        return len({place_of(problem) for problem in self.problems})


def place_of(problem: Problem) -> tuple[str, int]:
    """File and number of the row that a problem speaks of; rows of several files may have one number."""
    row = problem.values.get("row")
    return problem.where.file, row if isinstance(row, int) else problem.where.line


def load_examples(
    config: DataConfig, seed: int, task: Task = "causal_lm", *, keep: int | None = None
) -> LoadedExamples:
    """Read, recognise and split the rows; held-out rows that are also in training are removed.

    With `keep` only the first `keep` training rows are held in memory; all others are read, counted and compared.
    Raises: DataError E201, E202, E210, E211, E212, E217, E220, E229, E233, E234, E237 to E241, E243, E246, E251 to E254.
    """
    sides = sides_of(config)
    rows = iterate_rows(sides.train.path, sides.train.reading)
    head = _head(rows, config)
    sample = [row for row in head if isinstance(row, RawRow)]
    if TASKS[task].writes:
        _refuse(sample, config)
    fmt = sniff(sample, config.map, task)
    kind = _label_kind(fmt, config, sides.train)
    loaded, prints = LoadedExamples(fmt, [], [], [], 0), deduplication.RowHashes()
    room = None if keep is None else keep + deduplication.MAX_HELD_OUT_ROWS
    for example in _examples(_sentences(head, rows, fmt, loaded), loaded, config, kind):
        if room is None or len(prints) < room:
            loaded.train.append(example)
        prints.add(example)
    if sides.held_out:
        _read_held_out(loaded, prints, config, sides.held_out, task, kind)
    elif sides.share:
        loaded.share = sides.share
        _split(loaded, prints, config, sides, seed, kind)
    loaded.num_train = len(prints) - len(loaded.held_out)
    loaded.train = loaded.train[:keep]
    loaded.duplicates, loaded.conflicts = deduplication.duplicates(prints), deduplication.conflicts(prints)
    loaded.labels = label_names(prints.names)
    loaded.label_counts = count_labels(loaded.labels, prints.names, loaded.held_out)
    loaded.problem_type = kind.problem_type if kind else None
    loaded.notes = [*sides.notes, *_notes(loaded), *(kind.notes if kind else ())]
    return loaded


def recognise(config: DataConfig, task: Task | Auto = AUTO) -> tuple[dict[str, object], Format]:
    """The settings a config needs for these data, by path: their encoding and their task where they show it; and their format.

    Raises: as `load_examples`.
    """
    values: dict[str, object] = {}
    try:
        head = _first_rows(config)
    except DataError as fault:
        encodings = {problem.values["encoding"] for problem in fault.problems if problem.code == "E239"}
        if len(encodings) != 1 or any(problem.code != "E239" for problem in fault.problems):
            raise
        values["data.encoding"] = encodings.pop()
        head = _first_rows(config.model_copy(update={"encoding": values["data.encoding"]}))
    rows = [row for row in head if isinstance(row, RawRow)]
    recognized_task = looks_like(rows, config.map) if task == AUTO else None
    if recognized_task:
        values["task"] = recognized_task
    known: Task = recognized_task or ("causal_lm" if task == AUTO else task)
    if TASKS[known].writes:
        _refuse(rows, config)
    return values, sniff(rows, config.map, known)


def _first_rows(config: DataConfig) -> list[RawRow | Problem]:
    source = train_source(config)
    return _head(iterate_rows(source.path, source.reading), config)


def _refuse(rows: Sequence[RawRow], config: DataConfig) -> None:
    """Raises: DataError E233, E234, E251 to E254 for rows that are not examples on their own."""
    refuse_preferences(rows, config.map)
    refuse_foreign(rows, config.map)


def _head(rows: Iterator[RawRow | Problem], config: DataConfig) -> list[RawRow | Problem]:
    """The first rows, as many as a format is recognised by. Raises: DataError E210, or what is wrong with all rows."""
    head: list[RawRow | Problem] = []
    num_good = 0
    while num_good < SAMPLE_ROWS and (row := next(rows, None)) is not None:
        head.append(row)
        num_good += isinstance(row, RawRow)
    if not num_good:
        problems = [row for row in head if isinstance(row, Problem)]
        raise errors_of(problems) if problems else error("E210", path=config.train)
    return head


def _sentences(
    head: Sequence[RawRow | Problem], rest: Iterator[RawRow | Problem], fmt: Format, loaded: LoadedExamples
) -> Iterator[RawRow | Problem]:
    """The rows; where each is one word, those of a sentence as one. Raises: DataError E246."""
    column = sentence_column([row for row in head if isinstance(row, RawRow)], fmt)
    loaded.grouped_by = column or ""
    rows = chain(head, rest)
    return grouped(rows, fmt, column) if column else rows


def _examples(
    items: Iterable[RawRow | Problem],
    loaded: LoadedExamples,
    config: DataConfig,
    kind: LabelKind | None,
    fmt: Format | None = None,
) -> Iterator[Example]:
    """The sound rows as examples; the others, and how many there are of all, go into the account."""
    rest, form = iter(items), fmt or loaded.format
    while part := list(islice(rest, ROWS_AT_ONCE)):
        rows = [row for row in part if isinstance(row, RawRow)]
        examples, problems = to_examples(rows, form, config.system, kind)
        loaded.problems += [*(row for row in part if isinstance(row, Problem)), *problems]
        loaded.rows_in += len(part)
        loaded.remarks.update(remarks_of(rows, form))
        loaded.unused.update(_unused(rows, examples, form))
        yield from examples


def _unused(rows: Sequence[RawRow], examples: Sequence[Example], fmt: Format) -> Iterator[str]:
    """Once for each row, what it holds and is not used: columns, and keys of turns as `turns[].KEY`."""
    for row in rows:
        yield from (column for column in fmt.unused if cell(row.value, column) not in (None, "", [], {}))
    for example in examples:
        yield from (f"turns[].{key}" for key in example.unused_keys)


def _notes(loaded: LoadedExamples) -> Iterator[Problem]:
    """What people should know of how rows were read: objects as JSON, turns without speakers, words as sentences."""
    yield from (Problem(code, values={"count": count}) for code, count in sorted(loaded.remarks.items()))
    if loaded.grouped_by:
        yield Problem("W239", values={"count": loaded.rows_in, "column": loaded.grouped_by})


def _read_held_out(
    loaded: LoadedExamples,
    prints: deduplication.RowHashes,
    config: DataConfig,
    source: RowSource,
    task: Task,
    kind: LabelKind | None,
) -> None:
    """Held-out rows from files of their own; those that are trained on are set aside."""
    second = list(iterate_rows(source.path, source.reading))
    fmt = sniff([row for row in second if isinstance(row, RawRow)], config.map, task)
    rows = _sentences(second, iter(()), fmt, loaded)
    examples = list(_examples(rows, loaded, config, kind, fmt))
    leaked = set(deduplication.leaks(prints, deduplication.RowHashes(examples)))
    for example in examples:
        if example.number in leaked:
            loaded.leaked.append(example)
        else:
            loaded.held_out.append(example)
            prints.add(example)


def _split(
    loaded: LoadedExamples,
    prints: deduplication.RowHashes,
    config: DataConfig,
    sides: TrainEvalSplit,
    seed: int,
    kind: LabelKind | None,
) -> None:
    """Some of the training rows to held-out; those that were not kept are read once more."""
    places, train = deduplication.held_out(prints, sides.share, seed), loaded.train
    loaded.train = [example for place, example in enumerate(train) if place not in places]
    loaded.held_out = [example for place, example in enumerate(train) if place in places]
    missing = {prints.numbers[place] for place in places if place >= len(train)}
    if missing:
        rows = iterate_rows(sides.train.path, sides.train.reading)
        rows = grouped(rows, loaded.format, loaded.grouped_by) if loaded.grouped_by else rows
        again = [row for row in rows if isinstance(row, RawRow) and row.number in missing]
        loaded.held_out += to_examples(again, loaded.format, config.system, kind)[0]


def _label_kind(fmt: Format, config: DataConfig, source: RowSource) -> LabelKind | None:
    """What the labels of the training rows are; held-out rows have to follow. Cost: one more reading."""
    column = fmt.columns.get("label")
    if not column:
        return None
    rows = iterate_rows(source.path, source.reading)
    return label_kind((cell(row.value, column) for row in rows if isinstance(row, RawRow)), config.problem_type)


def data_fingerprint(config: DataConfig) -> str:
    """sha256 of all data of a run: of the training rows, and of the held-out rows where they have files of their own."""
    sides = sides_of(config)
    parts = [fingerprint(source.path, source.reading) for source in (sides.train, sides.held_out) if source]
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()
