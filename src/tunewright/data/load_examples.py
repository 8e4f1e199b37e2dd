"""Data to examples: read, recognised, split, and compared row by row, with the problems found on the way."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path

from tunewright.config.run_config import DataConfig
from tunewright.config.section import AUTO, Auto
from tunewright.config.tasks import TASKS, Task
from tunewright.data import deduplication, stored_examples
from tunewright.data.examples.convert import to_examples
from tunewright.data.examples.foreign_exports import refuse_foreign
from tunewright.data.examples.formats import SAMPLE_ROWS, Example, Format, looks_like, sniff
from tunewright.data.examples.label_kind import LabelKind, label_kind
from tunewright.data.examples.label_names import count_labels, label_names, notes_of_tags
from tunewright.data.examples.preference_rows import refuse_preferences
from tunewright.data.examples.reading_notes import remarks_of
from tunewright.data.examples.row_cells import cell
from tunewright.data.examples.word_tables import grouped, sentence_column
from tunewright.data.files.readers import RawRow, fingerprint, is_hub_id, iterate_rows
from tunewright.data.loaded_examples import LoadedExamples, LoadedSource, common_format, of_held_out, place_of
from tunewright.data.row_shares import ALL, RowShare, is_whole, share_of
from tunewright.data.tokenized.tokenized_cache import Store, key_of
from tunewright.data.train_eval_split import RowSource, files_of, for_each, sides_of, train_sources
from tunewright.errors import DataError, Problem, Where, error, errors_of
from tunewright.i18n import N_
from tunewright.reporting import SILENT, Reporter

ROWS_AT_ONCE = 1000
ROWS_IN_MEMORY = 20_000  # that a plan looks at, and that a run has as texts
KEPT_FROM_BYTES = 2**20
NOTED_FROM_BYTES = 2**27  # which take some seconds


@dataclass(frozen=True)
class _Recognised:
    """A source, what its rows are, and its rows: those it was recognised by, and the rest."""

    source: RowSource
    format: Format
    grouped_by: str
    head: Sequence[RawRow | Problem]
    rest: Iterator[RawRow | Problem]

    def rows(self) -> Iterator[RawRow | Problem]:
        """All rows, once; where each is one word, those of a sentence as one."""
        return self._sentences(chain(self.head, self.rest))

    def again(self) -> Iterator[RawRow | Problem]:
        """The same, read once more."""
        return self._sentences(iterate_rows(self.source.path, self.source.reading))

    def _sentences(self, rows: Iterator[RawRow | Problem]) -> Iterator[RawRow | Problem]:
        return grouped(rows, self.format, self.grouped_by) if self.grouped_by else rows


@dataclass(frozen=True)
class _Reading:
    """How rows become examples, the same in all sources, and where the account is kept."""

    loaded: LoadedExamples
    system: str | None
    kind: LabelKind | None
    reporter: Reporter = SILENT


def load_examples(
    config: DataConfig,
    seed: int,
    task: Task = "causal_lm",
    *,
    keep: int | None = None,
    store: Store | None = None,
    reporter: Reporter = SILENT,
    reading: Reporter = SILENT,
) -> LoadedExamples:
    """Read, recognise and split the rows; held-out rows that are also in training are removed.

    With `keep` only about the first `keep` training rows are held in memory, of several sources each its part of them; all
    others are read, counted and compared. What came of more rows than that is kept in `store`, by the content of the data.
    `reading` hears how many rows were read so far.
    Raises: DataError E201, E202, E210, E211, E212, E217, E220, E229, E233, E234, E237 to E241, E243, E246, E251 to E254, E264.
    """
    key, paths, size = _place(config, seed, task, keep) if store is not None and keep else ("", [], 0)
    content = store.read(key) if store is not None and key else None
    if content is not None and (stored := stored_examples.parse(content, key, paths)):
        return stored
    if size >= NOTED_FROM_BYTES:
        reporter.note(N_("Reading and comparing all rows; of the same data it is done once"))
    loaded = _read_examples(config, seed, task, keep, reading)
    if store is not None and key and loaded.num_train > len(loaded.train):
        store.write(key, stored_examples.dump(loaded, key, paths))
    return loaded


def _place(config: DataConfig, seed: int, task: Task, keep: int | None) -> tuple[str, list[str], int]:
    """Digest of the data, wherever they lie, and of what shapes their examples; the paths that examples name; and bytes.

    No digest for files so small that they are read at once, nor for the Hub.
    """
    sides = sides_of(config)
    sources = [source for source in (*sides.train, sides.held_out) if source]
    try:
        files = [files_of(source) for source in sources]
        size = sum(file.stat().st_size for own in files for file in own)
    except (DataError, OSError):  # it is reported where it is read
        return "", [], 0
    if any(is_hub_id(source.path) for source in sources) or size < KEPT_FROM_BYTES:
        return "", [], size
    facts = {
        "data": data_fingerprint(config),
        "sources": [_how(source, own) for source, own in zip(sources, files, strict=True)],
        "share": sides.share,
        "rules": [config.system, config.problem_type, seed, task, keep],
    }
    paths = [path for source, own in zip(sources, files, strict=True) for path in (source.path, *map(str, own))]
    return key_of(facts), paths, size


def _how(source: RowSource, files: Sequence[Path]) -> list[object]:
    """How a source is read, but for where it is."""
    reading = {**asdict(source.reading), "columns": sorted(source.reading.columns)}
    return [reading, dict(source.map), source.rows, source.weight, [file.name for file in files]]


def _read_examples(config: DataConfig, seed: int, task: Task, keep: int | None, reporter: Reporter) -> LoadedExamples:
    sides = sides_of(config)
    parts = for_each(sides.train, lambda source: _recognised(source, task))
    kind = _label_kind(parts, config)
    loaded = LoadedExamples(common_format([part.format for part in parts]), kind=kind)
    prints = deduplication.RowHashes()
    reading = _Reading(loaded, config.system, kind, reporter)
    room = None if keep is None else keep + deduplication.MAX_HELD_OUT_ROWS
    in_memory: dict[int, Example] = {}
    for part in parts:
        source = _begun(loaded, part)
        share, last = _share(part, config, seed, kind), (room or 0) + len(in_memory)
        for example in _taken(part, source, share, reading):
            if room is None or len(in_memory) < last:
                in_memory[len(prints)] = example
            prints.add(example)
    places: set[int] = set()
    if sides.held_out:
        _read_held_out(reading, prints, sides.held_out, task)
    elif sides.share:
        loaded.share = sides.share
        places = _with_training_rows(deduplication.held_out(prints, sides.share, seed), prints, loaded.sources)
        loaded.held_out = _held_out(in_memory, places, prints, parts, reading)
    loaded.num_train = len(prints) - len(loaded.held_out)
    loaded.train = _first(loaded, [example for place, example in in_memory.items() if place not in places], keep)
    loaded.duplicates, loaded.conflicts = deduplication.duplicates(prints), deduplication.conflicts(prints)
    loaded.labels = label_names(prints.names)
    loaded.label_counts = count_labels(loaded.labels, prints.names, loaded.held_out)
    loaded.problem_type = kind.problem_type if kind else None
    of_tags = notes_of_tags(loaded.labels) if task == "token_cls" else []
    loaded.notes = [*sides.notes, *_notes(loaded, sides.train), *(kind.notes if kind else of_tags)]
    return loaded


def each_training_example(loaded: LoadedExamples, config: DataConfig, seed: int) -> Iterator[Example]:
    """All training rows in their order; where not all are in memory they are read once more, and one chunk is."""
    if loaded.num_train <= len(loaded.train):
        yield from loaded.train
        return
    held_out = {example.number for example in loaded.held_out} if loaded.share else set[int]()
    for source, own in zip(sides_of(config).train, loaded.sources, strict=True):
        part = _Recognised(source, own.format, own.grouped_by, (), iter(()))
        share = ALL if is_whole(source) else share_of(source, own.num_taken + own.not_drawn, seed)
        place = 0
        rows = (row for row in part.again() if isinstance(row, RawRow))
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            examples, _problems = to_examples(chunk, own.format, config.system, loaded.kind)
            for example in examples:
                if share.times(place) and own.start + example.number not in held_out:
                    yield _shifted(example, own.start)
                place += 1


def rows_as_read(source: RowSource, task: Task) -> Iterator[RawRow | Problem]:
    """The rows of a source, and a problem for each that could not be read, before anything becomes of them.

    Raises: as `load_examples`.
    """
    return _recognised(source, task).rows()


def recognise(config: DataConfig, task: Task | Auto = AUTO) -> tuple[dict[str, object], Format]:
    """The settings a config needs for these data, by path: their encoding and their task where they show it; and their format.

    Raises: as `load_examples`.
    """
    values: dict[str, object] = {}
    try:
        heads = _heads(config)
    except DataError as fault:
        encodings = {problem.values["encoding"] for problem in fault.problems if problem.code == "E239"}
        if len(encodings) != 1 or any(problem.code != "E239" for problem in fault.problems):
            raise
        values["data.encoding"] = encodings.pop()
        heads = _heads(config.model_copy(update={"encoding": values["data.encoding"]}))
    sources = train_sources(config)
    shown_tasks = [looks_like(rows, source.map) for source, rows in zip(sources, heads, strict=True)]
    recognized_task = next((shown for shown in shown_tasks if shown), None) if task == AUTO else None
    if recognized_task:
        values["task"] = recognized_task
    known: Task = recognized_task or ("causal_lm" if task == AUTO else task)
    formats = for_each(sources, lambda source: _format(source, heads[sources.index(source)], known))
    return values, common_format(formats)


def _heads(config: DataConfig) -> list[list[RawRow]]:
    """Of each source the first rows that could be read."""

    def head(source: RowSource) -> list[RawRow]:
        rows = _head(iterate_rows(source.path, source.reading), source)
        return [row for row in rows if isinstance(row, RawRow)]

    return for_each(train_sources(config), head)


def _recognised(source: RowSource, task: Task) -> _Recognised:
    rows = iterate_rows(source.path, source.reading)
    head = _head(rows, source)
    sample = [row for row in head if isinstance(row, RawRow)]
    fmt = _format(source, sample, task)
    return _Recognised(source, fmt, sentence_column(sample, fmt) or "", head, rows)


def _format(source: RowSource, sample: Sequence[RawRow], task: Task) -> Format:
    """Raises: DataError E211, E212, E229, E240; E233, E234, E251 to E255 for rows that are not examples on their own."""
    if TASKS[task].writes:
        refuse_preferences(sample, source.map)
        refuse_foreign(sample, source.map)
    return sniff(sample, source.map, task)


def _head(rows: Iterator[RawRow | Problem], source: RowSource) -> list[RawRow | Problem]:
    """The first rows, as many as a format is recognised by. Raises: DataError E210, or what is wrong with all rows."""
    head: list[RawRow | Problem] = []
    num_good = 0
    while num_good < SAMPLE_ROWS and (row := next(rows, None)) is not None:
        head.append(row)
        num_good += isinstance(row, RawRow)
    if not num_good:
        problems = [row for row in head if isinstance(row, Problem)]
        raise errors_of(problems) if problems else error("E210", path=source.path)
    return head


def _begun(loaded: LoadedExamples, part: _Recognised) -> LoadedSource:
    """The account of a source that is read next."""
    start = max((source.start + source.last for source in loaded.sources), default=0)
    source = LoadedSource(part.source.path, part.format, start, grouped_by=part.grouped_by)
    loaded.sources.append(source)
    return source


def _share(part: _Recognised, config: DataConfig, seed: int, kind: LabelKind | None) -> RowShare:
    """How often each row of a source is trained on. Cost: one more reading, unless that is once for all."""
    if is_whole(part.source):
        return ALL
    scratch = _Reading(LoadedExamples(part.format), config.system, kind)
    num_rows = sum(1 for _example in _examples(part.again(), scratch, part.format, _begun(scratch.loaded, part)))
    return share_of(part.source, num_rows, seed)


def _taken(part: _Recognised, source: LoadedSource, share: RowShare, reading: _Reading) -> Iterator[Example]:
    """The examples of a source that are used, each once."""
    source.each = max(1, share.each)
    for place, example in enumerate(_examples(part.rows(), reading, part.format, source)):
        times = share.times(place)
        if times > source.each:
            source.once_more.add(example.number)
        source.num_taken += times > 0
        source.not_drawn += times == 0
        if times:
            yield example


def _examples(
    items: Iterable[RawRow | Problem], reading: _Reading, fmt: Format, source: LoadedSource
) -> Iterator[Example]:
    """The sound rows as examples; the others, and how many there are of all, go into the account."""
    rest, loaded = iter(items), reading.loaded
    while part := list(islice(rest, ROWS_AT_ONCE)):
        rows = [row for row in part if isinstance(row, RawRow)]
        examples, problems = to_examples(rows, fmt, reading.system, reading.kind)
        loaded.problems += [*(row for row in part if isinstance(row, Problem)), *problems]
        loaded.rows_in += len(part)
        reading.reporter.progress(loaded.rows_in, 0)
        loaded.remarks.update(remarks_of(rows, fmt))
        loaded.unused.update(_unused(rows, examples, fmt))
        places = [(row.file, row.number) if isinstance(row, RawRow) else place_of(row) for row in part]
        source.files.update(file for file, _number in places)
        source.rows_in += len(part)
        source.last = max(source.last, *(number for _file, number in places))
        loaded.starts.update(dict.fromkeys(source.files, source.start))
        yield from (_shifted(example, source.start) for example in examples)


def _shifted(example: Example, start: int) -> Example:
    return replace(example, number=start + example.number) if start else example


def _unused(rows: Sequence[RawRow], examples: Sequence[Example], fmt: Format) -> Iterator[str]:
    """Once for each row, what it holds and is not used: columns, and keys of turns as `turns[].KEY`."""
    for row in rows:
        yield from (column for column in fmt.unused if cell(row.value, column) not in (None, "", [], {}))
    for example in examples:
        yield from (f"turns[].{key}" for key in example.unused_keys)


def _notes(loaded: LoadedExamples, sources: Sequence[RowSource]) -> Iterator[Problem]:
    """What people should know of how rows were read: objects as JSON, turns without speakers, words as sentences, too few rows."""
    yield from (Problem(code, values={"count": count}) for code, count in sorted(loaded.remarks.items()))
    for own, source in zip(loaded.sources, sources, strict=True):
        where = Where(own.path) if len(sources) > 1 else Where()
        if own.grouped_by:
            yield Problem("W239", where, {"count": own.rows_in, "column": own.grouped_by})
        if source.rows is not None and own.num_taken < source.rows:
            yield Problem("W246", where, {"path": own.path, "count": own.num_taken, "rows": source.rows})
        if own.not_drawn and not own.num_taken:
            values = {"path": own.path, "count": own.not_drawn, "weight": source.weight}
            yield Problem("W252", where, values)


def _read_held_out(reading: _Reading, prints: deduplication.RowHashes, source: RowSource, task: Task) -> None:
    """Held-out rows from files of their own; those that are trained on are set aside."""
    items = iterate_rows(source.path, source.reading)
    head = list(islice(items, ROWS_IN_MEMORY))
    sample = [row for row in head if isinstance(row, RawRow)]
    fmt = _format(source, sample, task)
    part = _Recognised(source, fmt, sentence_column(sample, fmt) or "", head, items)
    loaded, own = reading.loaded, LoadedSource(source.path, fmt, 0)  # their numbers begin anew
    num_before = len(loaded.problems)
    examples = list(_examples(part.rows(), reading, fmt, own))
    loaded.problems[num_before:] = map(of_held_out, loaded.problems[num_before:])
    leaked = set(deduplication.leaks(prints, deduplication.RowHashes(examples)))
    for example in examples:
        if example.number in leaked:
            loaded.leaked.append(example)
        else:
            loaded.held_out.append(example)
            prints.add(example)


def _with_training_rows(places: set[int], prints: deduplication.RowHashes, sources: Sequence[LoadedSource]) -> set[int]:
    """The places to hold out, without those of a source that would be left without any row to train on."""
    start = 0
    for source in sources:
        own = range(start, start + source.num_taken)
        start = own.stop
        if len(sources) > 1 and own and places.issuperset(own):
            last = prints.row_hash(own[-1])
            places = {place for place in places if prints.row_hash(place) != last}
    return places


def _held_out(
    in_memory: Mapping[int, Example],
    places: set[int],
    prints: deduplication.RowHashes,
    parts: Sequence[_Recognised],
    reading: _Reading,
) -> list[Example]:
    """The training rows at these places; those that were not kept are read once more."""
    missing = {prints.numbers[place] for place in places if place not in in_memory}
    read: dict[int, Example] = {}
    for part, source in zip(parts, reading.loaded.sources, strict=True):
        own = {number - source.start for number in missing if source.holds(number)}
        if own:
            again = [row for row in part.again() if isinstance(row, RawRow) and row.number in own]
            examples, _problems = to_examples(again, part.format, reading.system, reading.kind)
            read |= {source.start + example.number: _shifted(example, source.start) for example in examples}
    return [in_memory[place] if place in in_memory else read[prints.numbers[place]] for place in sorted(places)]


def _first(loaded: LoadedExamples, train: list[Example], keep: int | None) -> list[Example]:
    """The first of the training rows; of several sources of each as many as it has a part in all rows."""
    if keep is None or len(loaded.sources) == 1:
        return train[:keep]
    total = max(1, sum(source.num_taken for source in loaded.sources))
    own = [[example for example in train if source.holds(example.number)] for source in loaded.sources]
    most = [keep * source.num_taken // total + 1 for source in loaded.sources]
    return [example for rows, count in zip(own, most, strict=True) for example in rows[:count]]


def _label_kind(parts: Sequence[_Recognised], config: DataConfig) -> LabelKind | None:
    """What the labels of the training rows are; held-out rows have to follow. Cost: one more reading."""
    if not any("label" in part.format.columns for part in parts):
        return None
    cells = (
        cell(row.value, part.format.columns["label"])
        for part in parts
        for row in iterate_rows(part.source.path, part.source.reading)
        if isinstance(row, RawRow)
    )
    return label_kind(cells, config.problem_type)


def data_fingerprint(config: DataConfig) -> str:
    """sha256 of all data of a run: of the training rows, and of the held-out rows where they have files of their own."""
    sides = sides_of(config)
    sources = [source for source in (*sides.train, sides.held_out) if source]
    parts = for_each(sources, lambda source: fingerprint(source.path, source.reading))
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()
