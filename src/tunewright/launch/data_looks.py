"""A look at data that is held: the account, pages of rows as the model sees them, and rows mended without touching the files."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tunewright.config.load_config import LoadedConfig
from tunewright.config.run_config import DataSource, RunConfig
from tunewright.data.files.hub_datasets import offline
from tunewright.data.files.json_scanner import KEPT_CHARACTERS
from tunewright.data.files.readers import RawRow, fingerprint, read_rows, texts_of
from tunewright.data.files.row import Row
from tunewright.data.load_examples import data_fingerprint, rows_as_read
from tunewright.data.looked_rows import (
    CODE_OF_KIND,
    LookedRow,
    end_of_training,
    looked_rows,
    matching,
    repeated_rows,
)
from tunewright.data.row_fixes import RowChange, RowFix, RowFixer, changes_rows, mapping_of
from tunewright.data.row_tally import needed_length
from tunewright.data.summary import KINDS
from tunewright.data.tokenized.known_rows import KnownRows
from tunewright.data.tokenized.tokenized_cache import key_of
from tunewright.data.tokenized.tokenized_preview import PreviewPiece
from tunewright.data.train_eval_split import RowSource, TrainEvalSplit, files_of, for_each, sides_of
from tunewright.data.validation import judge
from tunewright.errors import error, system_faults
from tunewright.launch.checked_data import DataCheck
from tunewright.launch.inspect_inputs import look_at_data
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import fixed_data

PAGE_ROWS = 50
MOST_LOOKS = 3


@dataclass(frozen=True)
class ShownRow:
    """A row of a page: as the model sees it, in pieces for each text that it became; as it was written where it is not used.

    `original` is its number in the original data, where these are rows that were mended.
    """

    row: LookedRow
    original: int
    texts: tuple[tuple[PreviewPiece, ...], ...]
    written: str


@dataclass(frozen=True)
class RowsPage:
    """Some rows, and how many there are of them in all."""

    rows: tuple[ShownRow, ...]
    total: int
    page: int
    pages: int


@dataclass(frozen=True)
class DataLook:
    """What was found in data for a model and settings; `key` is a digest of all three."""

    key: str
    run: RunConfig
    check: DataCheck

    @cached_property
    def sides(self) -> TrainEvalSplit:
        """What is trained on and what is held out."""
        return sides_of(self.run.data)

    @property
    def sources(self) -> list[RowSource]:
        """What is trained on, and after that held-out rows in files of their own."""
        return [*self.sides.train, *([self.sides.held_out] if self.sides.held_out else [])]

    @cached_property
    def rows(self) -> list[LookedRow]:
        """The rows in memory and all that are left out, by number."""
        return looked_rows(self.check.validated, self.check.tokenizer)

    def original(self, row: LookedRow) -> int:
        """The number that a row has in the original data, where these are rows that were mended."""
        if row.file not in self._starts:
            made_of = fixed_data.made_of(row.file)
            original = made_of.originals.get(Path(row.file).name) if made_of else None
            self._starts[row.file] = original.start if original else None
        start = self._starts[row.file]
        return row.number if start is None else start + row.line

    @cached_property
    def _starts(self) -> dict[str, int | None]:
        """What is added to the lines of mended rows, by file; None for files that are not of mended rows."""
        return {}

    @cached_property
    def written(self) -> Mapping[int, str]:
        """The texts of the rows that are left out, by number, each cut where it becomes too long to be repaired by hand."""
        texts: dict[int, str] = {}
        end = end_of_training(self.check.validated) if self.sides.held_out else None
        left_out = [row for row in self.rows if not row.tokens]
        for source in self.sources:
            is_own = source is self.sides.held_out
            wanted = {
                (row.file, self.place(row)): row.number
                for row in left_out
                if end is None or (row.number > end) == is_own
            }
            for place, text in texts_of(source.path, wanted.keys(), source.reading) if wanted else ():
                texts.setdefault(wanted[place], text[:KEPT_CHARACTERS])
        return texts

    def place(self, row: LookedRow) -> int:
        """The number of a row in its own source."""
        if row.problems and isinstance(number := row.problems[0].values.get("row"), int):
            return number
        loaded = self.check.validated.loaded
        return (row.example.number if row.example else row.number) - loaded.starts.get(row.file, 0)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of the rows in memory that are used, before any is cut, in order."""
        task = self.check.validated.summary.task
        return sorted(needed_length(row.tokens[-1], task) for row in self.rows if row.tokens)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are of each kind of `data.summary.KINDS`, where any are."""
        counts = self.check.validated.summary.counts
        return {kind: counts[kind] for kind in KINDS if counts.get(kind)}

    def of_kind(self, kind: str) -> list[LookedRow]:
        """All rows in memory that are of a kind."""
        return [row for row in self.rows if kind in row.kinds]

    def numbers_of(self, kind: str) -> list[int]:
        """The numbers of all rows of a kind: of duplicates and conflicts in all data, of other kinds among the rows in memory."""
        return self._repeated.get(kind) or [row.number for row in self.of_kind(kind)]

    def numbers_with(self, code: str) -> list[int]:
        """The same of all rows with a code."""
        numbers = {row.number for row in self.rows if code in row.codes}
        return sorted(numbers.union(*(self._repeated[kind] for kind in self._repeated if CODE_OF_KIND[kind] == code)))

    @cached_property
    def _repeated(self) -> Mapping[str, list[int]]:
        return repeated_rows(self.check.validated)

    def originals(self, numbers: Sequence[int]) -> list[int]:
        """The numbers that these rows have in the original data. Cost: rows that are not in memory are read."""
        wanted = set(numbers)
        originals = {row.number: self.original(row) for row in self.rows if row.number in wanted}
        if wanted - originals.keys():
            originals |= {row.number: self.original(row) for row in self._read_rows() if row.number in wanted}
        return [originals[number] for number in numbers]

    def _read_rows(self) -> Iterator[LookedRow]:
        starts, task = self.check.validated.loaded.starts, self.check.validated.summary.task
        for source in self.sides.train:
            for item in rows_as_read(source, task):
                if isinstance(item, RawRow):
                    yield LookedRow(item.number + starts.get(item.file, 0), item.file, item.line)

    def page(self, kind: str = "", words: str = "", page: int = 1) -> RowsPage:
        """Fifty rows, those of a kind that hold these words; a page that is not there is the one next to it."""
        matches = list(matching(self.rows, self.written, kind, words))
        pages = max(1, -(-len(matches) // PAGE_ROWS))
        page = min(max(1, page), pages)
        shown = tuple(map(self.shown, matches[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]))
        return RowsPage(shown, len(matches), page, pages)

    def row(self, number: int) -> LookedRow:
        """The row with this number in the original data. Raises: DataError E265 where there is none."""
        numbered = next((row for row in self.rows if self.original(row) == number), None)
        if numbered is None:
            raise error("E265", row=number, count=1, rows=self.check.validated.summary.rows)
        return numbered

    def shown(self, row: LookedRow) -> ShownRow:
        """One row for a page."""
        texts = tuple(tuple(self.check.pieces(encoded_row)) for encoded_row in row.tokens)
        return ShownRow(row, self.original(row), texts, "" if texts else self.written.get(row.number, ""))

    def cells(self, number: int) -> Row | str:
        """The values of a row by column; the text of one that could not be read. Cost: the data are read up to there.

        Raises: DataError E265 for a row that is not there.
        """
        row = self.row(number)
        place, task = self.place(row), self.check.validated.summary.task
        for source in self.sources:
            for item in rows_as_read(source, task):
                if isinstance(item, RawRow) and (item.file, item.number) == (row.file, place):
                    return item.value
        return self.written.get(row.number, "")


class DataLooks:
    """The last few looks of a process, by digest of data, model and settings; for several threads."""

    def __init__(self, most: int = MOST_LOOKS) -> None:
        self._most, self._lock = most, threading.Lock()
        self._looks: OrderedDict[str, DataLook] = OrderedDict()
        self.known = KnownRows()

    def held(self, key: str, look: Callable[[], DataLook]) -> DataLook:
        """The look with this key, made where it is not held."""
        with self._lock:
            if key in self._looks:
                self._looks.move_to_end(key)
                return self._looks[key]
        new_look = look()
        with self._lock:
            self._looks[key] = new_look
            while len(self._looks) > self._most:
                self._looks.popitem(last=False)
        return new_look


@system_faults()
def look_at_rows(loaded: LoadedConfig, held: DataLooks, *, reporter: Reporter = SILENT) -> DataLook:
    """A look at the data of a config, made once while `held` has it. Raises: as `look_at_data`."""
    run = loaded.run
    with offline(run.run.offline):
        key = key_of({"data": data_fingerprint(run.data), "run": run.model_dump(mode="json")})

    def look() -> DataLook:
        validated, tokenizer = look_at_data(run, reporter=reporter, known=held.known)
        check = DataCheck(validated, tuple(judge(validated, run.data)), tuple(validated.warnings), tokenizer)
        return DataLook(key, run, check)

    return held.held(key, look)


def first_rows(run: RunConfig, limit: int) -> list[RawRow]:
    """The first rows of the data that can be read, as they are written. Raises: as `readers.read_rows`."""
    rows: list[RawRow] = []
    for source in sides_of(run.data).train:
        rows += read_rows(source.path, source.reading, limit=limit - len(rows)).rows if len(rows) < limit else []
    return rows


@dataclass(frozen=True)
class FixedRows:
    """Mended rows in files of their own: the settings that train on them, and what was changed, in the order of the changes.

    `paths` are those of the rows to be trained on.
    """

    folder: Path
    paths: tuple[str, ...]
    settings: Mapping[str, object]
    changes: tuple[RowChange, ...]
    fixes: tuple[RowFix, ...]


@system_faults()
def fix_rows(look: DataLook, fixes: Sequence[RowFix]) -> FixedRows:
    """The rows of a look with all changes made, written beside their record below the home folder, once for the same changes.

    The user's files are only read. Without changes of rows nothing is written.
    Raises: DataError E265 to E267 for a change that does not fit its row; TrainingError E517 where the disk refuses.
    """
    mapping = mapping_of(fixes)
    settings: dict[str, object] = {"data.map": {**look.run.data.map, **mapping}} if mapping else {}
    sources = look.sources
    if not changes_rows(fixes):
        return FixedRows(Path(sources[0].path).parent, look.run.data.paths, settings, (), tuple(fixes))
    starts = [source.start for source in look.check.validated.loaded.sources]
    starts += [end_of_training(look.check.validated)] if look.sides.held_out else []
    names = fixed_data.names_for([source.path for source in sources])
    digests = for_each(sources, lambda source: fingerprint(source.path, source.reading))
    made_of = fixed_data.FixedFolder(
        originals={
            name: fixed_data.OriginalRows(path=source.path, split=source.reading.split, fingerprint=digest, start=start)
            for name, source, digest, start in zip(names, sources, digests, starts, strict=True)
        },
        fixes=[fix.model_dump(mode="json") for fix in fixes],
    )
    folder = fixed_data.folder_of(made_of)
    if not fixed_data.is_whole(folder):
        _write(look, made_of, fixes, list(zip(names, sources, starts, strict=True)))
    paths = [str(folder / name) for name in names]
    settings |= _settings(look, paths)
    training = tuple(paths[: len(look.sides.train)])
    return FixedRows(folder, training, settings, tuple(fixed_data.changes_in(folder)), tuple(fixes))


def _write(
    look: DataLook,
    made_of: fixed_data.FixedFolder,
    fixes: Sequence[RowFix],
    sources: Sequence[tuple[str, RowSource, int]],
) -> None:
    fixer = RowFixer(fixes)
    summary = look.check.validated.summary
    places = {(row.file, look.place(row)) for row in look.rows if row.problems}
    lines = {}
    for name, source, start in sources:
        texts = dict(texts_of(source.path, places, source.reading)) if places else {}
        lines[name] = fixer.lines(rows_as_read(source, summary.task), start, texts)
    originals = [file for _name, source, _start in sources for file in files_of(source)]
    fixed_data.write_fixed(made_of, lines, fixer, originals, rows=summary.rows)


def _settings(look: DataLook, paths: list[str]) -> dict[str, object]:
    """What names the mended rows in place of the originals."""
    data = look.run.data
    settings: dict[str, object] = {"data.encoding": "utf-8"} if data.encoding != "utf-8" else {}
    if look.sides.held_out:
        *paths, settings["data.holdout"] = paths
    if data.has_only_paths:
        return {**settings, "data.train": paths[0] if len(paths) == 1 else paths}
    shares = [
        DataSource.model_validate({**source.model_dump(exclude_none=True), "path": path}).model_dump(
            exclude_defaults=True
        )
        for source, path in zip(data.sources, paths, strict=True)
    ]
    return {**settings, "data.train": shares}
