"""Files to raw rows: json, jsonl, csv, tsv, txt and CoNLL with row numbers, by the standard library alone.

What the columns mean is for `formats.py`, which files of a folder are read for `split_files.py`. A row that cannot be read becomes
a problem with its place and never costs its neighbours. Parquet, arrow and the Hub come through `hub_datasets.py`. Archives and
pickles are not read.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeGuard

from tunewright.data.files import hub_datasets, plain_text
from tunewright.data.files.column_names import are_names
from tunewright.data.files.conll import is_universal, scan_conll, separator_of, tags_come_first
from tunewright.data.files.control_characters import cleaned
from tunewright.data.files.csv_tables import NUMBERED, has_even_tabs, has_named_columns, scan_table
from tunewright.data.files.json_documents import begins_a_document, holds_objects, scan_document
from tunewright.data.files.json_scanner import (
    DamagedRow,
    ParsedRow,
    ScanItem,
    checked_values,
    scan_line,
    size_damage,
    with_text,
)
from tunewright.data.files.nested_rows import unnested
from tunewright.data.files.row import Row
from tunewright.data.files.split_files import CONLL, EXTENSIONS, TRAIN, data_files
from tunewright.data.files.text_encodings import UTF8
from tunewright.data.files.text_file import TextFile, TextLine, open_text
from tunewright.errors import DataError, Problem, Where, error, errors_of
from tunewright.i18n import N_

Layout = Literal["document", "objects", "words", "table", "labels", "lines", "paragraphs", "whole"]
SampleBy = Literal["auto", "line", "paragraph", "document"]

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_PREFIX = "hf://datasets/"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class Reading:
    """How data are read: which split of a folder, a document or a Hub data set, in which encoding.

    `columns` are those that `--map` names; `is_cleaned` takes control characters out of all texts; `sample_by` says what is a
    row of plain text.
    """

    split: str = TRAIN
    encoding: str = UTF8
    columns: frozenset[str] = frozenset()
    is_cleaned: bool = False
    sample_by: SampleBy = "auto"


PLAIN = Reading()
TABLES = (".parquet", ".arrow")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row of the data, unchanged: `number` over the whole data set, `line` in its file (0 if it has no lines)."""

    number: int
    file: str
    line: int
    value: dict[str, Any]


@dataclass
class RowStream:
    """The rows that could be read, and one problem for each that could not; its values hold the row's number."""

    rows: list[RawRow]
    problems: list[Problem]


def read_rows(path: str, reading: Reading = PLAIN, *, limit: int | None = None) -> RowStream:
    """Rows of a file, of the data files of a folder in the order of their names, or of a data set on the Hub.

    At most `limit` rows, damaged ones counted. An empty file gives no row and no problem.
    Raises: DataError E201, E202, E205, E217, E220, E237, E239, E241, E243, HubError E702 if a whole file cannot be read.
    """
    result = RowStream([], [])
    for item in iterate_rows(path, reading, limit=limit):
        if isinstance(item, RawRow):
            result.rows.append(item)
        else:
            result.problems.append(item)
    return result


def iterate_rows(path: str, reading: Reading = PLAIN, *, limit: int | None = None) -> Iterator[RawRow | Problem]:
    """The same one by one, in the order of the data; of a file of lines only one is in memory. Raises: as `read_rows`."""
    unreadable: list[Problem] = []
    number = 0
    for file, items in _sources(path, reading):
        try:
            for item in islice(items, None if limit is None else limit - number):
                number += 1
                if isinstance(item, ParsedRow):
                    yield RawRow(number, file, item.line, cleaned(item.value) if reading.is_cleaned else item.value)
                else:
                    where = Where(file, item.line, item.column)
                    yield Problem(item.code, where, {**item.values, "row": number})
        except DataError as fault:
            unreadable.extend(fault.problems)
    if unreadable:
        raise errors_of(unreadable)


def texts_of(
    path: str, places: Collection[tuple[str, int]], reading: Reading = PLAIN
) -> Iterator[tuple[tuple[str, int], str]]:
    """The text of the rows with these files and numbers: unchanged, or as JSON where the row could be read.

    Cost: one more reading, with one row in memory.
    """
    number = 0
    for file, items in _sources(path, reading):
        for item in items:
            number += 1
            if (file, number) in places:
                yield (file, number), item.text if isinstance(item, DamagedRow) else _as_json(item.value)


def _as_json(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, default=str)


def fingerprint(path: str, reading: Reading = PLAIN) -> str:
    """sha256 of the data: of the bytes of a file, of the digests of a folder's files, of the rows of a Hub id.

    Raises: as `read_rows` if there is no data.
    """
    if is_hub_id(path):
        digest = hashlib.sha256()
        for row in hub_datasets.hub_rows(hub_name(path), reading.split):
            line = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
            digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()
    digests = [_file_digest(file) for file in data_files(path, reading.split)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


_DIGESTS: dict[tuple[str, int, int, int], str] = {}
SETTLED_SECONDS = 2  # a file that was written just now may be written again without another time


def _file_digest(file: Path) -> str:
    """sha256 of a file, computed once by this process while its number, size and time stay what they are."""
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            place = (str(file), status.st_ino, status.st_size, status.st_mtime_ns)
            if place not in _DIGESTS:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
                if time.time() - status.st_mtime < SETTLED_SECONDS:
                    return digest
                _DIGESTS[place] = digest
            return _DIGESTS[place]
    except OSError as fault:
        raise _unreadable(file, fault) from fault


def _unreadable(file: Path, fault: OSError) -> Exception:
    return error("E220", Where(str(file)), path=str(file), reason=fault.strerror or str(fault))


def is_hub_id(path: str) -> bool:
    """True for data that lie on the Hub and not here."""
    if path.startswith(_HUB_PREFIX):
        return True
    looks_like = _HUB_ID.fullmatch(path) and not path.startswith(".") and Path(path).suffix.lower() not in EXTENSIONS
    return bool(looks_like) and not Path(path).exists()


def hub_name(path: str) -> str:
    """What the Hub calls data that lie there."""
    return path.removeprefix(_HUB_PREFIX)


def _sources(path: str, reading: Reading) -> Iterator[tuple[str, Iterator[ScanItem]]]:
    if is_hub_id(path):
        yield path, _from_values(hub_datasets.hub_rows(hub_name(path), reading.split))
    else:
        for file in data_files(path, reading.split):
            yield str(file), _scan_file(file, reading)


def _scan_file(file: Path, reading: Reading) -> Iterator[ScanItem]:
    """Rows of one file, read as its extension says and its beginning shows.

    Raises: DataError E202, E205, E217, E220, E237, E239, E241, E243 if the whole file cannot be read.
    """
    kind = file.suffix.lower()
    _refuse_pointer(file)
    if kind in TABLES:
        yield from _from_values(hub_datasets.table_rows(file))
        return
    try:
        with open_text(file, reading.encoding, " ".join(EXTENSIONS)) as text:
            yield from _scan_text(text, kind, str(file), reading)
    except OSError as fault:
        raise _unreadable(file, fault) from fault


def _refuse_pointer(file: Path) -> None:
    """Raises: DataError E220 for what a clone without Git LFS has in the place of a file."""
    try:
        with file.open("rb") as opened:
            is_pointer = opened.read(len(_LFS_POINTER)) == _LFS_POINTER
    except OSError as fault:
        raise _unreadable(file, fault) from fault
    if is_pointer:
        reason = N_("it is a pointer of Git LFS and not the file; fetch it with: git lfs pull")
        raise error("E220", Where(str(file)), path=str(file), reason=reason)


def _scan_text(text: TextFile, kind: str, file: str, reading: Reading) -> Iterator[ScanItem]:
    match layout_of(text, kind, reading.sample_by):
        case "document":
            yield from _under_names(scan_document(text.read(), file, reading.split), reading.columns)
        case "objects":
            items = _under_names(_scan_jsonl(text.lines()), reading.columns)
            yield from (row for item in items for row in unnested(item))
        case "words":
            lines = text.head_lines()
            separator = "" if kind in CONLL else separator_of(lines)
            has_ten_columns = kind == ".conllu" or is_universal(lines)
            tag_first = tags_come_first(lines, separator)
            yield from scan_conll(text.lines(), separator, is_universal=has_ten_columns, tag_first=tag_first)
        case "table":
            yield from scan_table(text.lines(), file, "" if kind == ".csv" else "\t", reading.columns)
        case "labels":
            yield from plain_text.scan_labelled(
                text.lines(), are_lists=plain_text.have_several_labels(text.head_lines())
            )
        case "lines":
            yield from plain_text.scan_lines(text.lines())
        case "paragraphs":
            yield from plain_text.scan_paragraphs(text.lines())
        case "whole":
            yield from plain_text.scan_whole(text)


def layout_of(text: TextFile, kind: str, sample_by: SampleBy = "auto") -> Layout:
    """How the rows of a text file are laid out, by its extension and, where others use that too, by its beginning.

    `sample_by` says it of plain text, unless that holds an object in each line and each line was asked for.
    """
    if kind == ".md" or (kind == ".txt" and sample_by != "auto"):
        if sample_by == "line":
            return "objects" if holds_objects(text.head_lines()) else "lines"
        return "paragraphs" if sample_by == "paragraph" else "whole"
    if kind in (".json", ".jsonl", ".ndjson"):
        return "document" if kind == ".json" or begins_a_document(text.head) else "objects"
    lines = text.head_lines()
    if kind in CONLL or separator_of(lines) or is_universal(lines):
        return "words"
    if kind in (".csv", ".tsv"):
        return "table"
    if holds_objects(lines):
        return "objects"
    if plain_text.are_labelled(lines):
        return "labels"
    if has_even_tabs(lines) or has_named_columns(lines):
        return "table"
    return "lines" if plain_text.rows_are_lines(lines) else "paragraphs"


def _scan_jsonl(lines: Iterable[TextLine]) -> Iterator[ScanItem]:
    for number, text, size in lines:
        if text.strip():
            damage = size_damage(size, number)
            yield with_text(damage, text) if damage else scan_line(text, number)


def _under_names(items: Iterator[ScanItem], columns: Collection[str]) -> Iterator[ScanItem]:
    """Lists of cells under their names, if the first list has names of columns and none is mapped by its number."""
    first = next(items, None)
    if first is None:
        return
    names = list(first.value.values()) if _has_cells(first) and not any(map(NUMBERED.fullmatch, columns)) else []
    if not are_names(names):
        yield first
    for item in items:
        if are_names(names) and _has_cells(item) and list(item.value.values()) == names:
            yield with_text(DamagedRow("E242", item.line), _as_json(item.value))
        elif are_names(names) and _has_cells(item) and len(item.value) == len(names):
            yield ParsedRow(item.line, dict(zip(names, item.value.values(), strict=True)))
        else:
            yield item


def _has_cells(item: ScanItem) -> TypeGuard[ParsedRow]:
    """Whether a row is a list of cells, whose columns have only numbers."""
    return isinstance(item, ParsedRow) and all(map(NUMBERED.fullmatch, item.value))


def _from_values(rows: Iterable[dict[str, Any]]) -> Iterator[ScanItem]:
    return (checked_values(row, 0) for row in rows)
