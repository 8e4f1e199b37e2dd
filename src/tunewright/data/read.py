"""Files to raw rows: json, jsonl, csv, tsv, txt and CoNLL with row numbers, by the standard library alone.

What the columns mean is for `formats.py`. A row that cannot be read becomes a problem with its place and never costs
its neighbours. Parquet, arrow and the Hub come through `hub.py`. Archives and pickles are not read.
"""

import csv
import hashlib
import json
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from tunewright.data import hub
from tunewright.data.conll import scan_conll
from tunewright.data.scan import (
    KEPT_CHARACTERS,
    MAX_ROW_BYTES,
    Damage,
    Found,
    Good,
    decode,
    scan_document,
    scan_line,
    size_damage,
    text_damage,
    value_damage,
    with_text,
)
from tunewright.errors import DataError, Problem, Where, error, errors_of
from tunewright.i18n import N_, Phrase

_CONLL = (".conll", ".conllu", ".bio", ".iob", ".iob2")
EXTENSIONS = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow", ".txt", *_CONLL)

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_PREFIX = "hf://datasets/"
_BOM = b"\xef\xbb\xbf"
# What `Dataset.save_to_disk` and Hub snapshots put beside the rows.
_NOT_ROWS = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"})
_ARCHIVES = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")

_Line = tuple[int, str, int]  # its number, its text, its size in bytes


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in the data: `number` over the whole data set, `line` in its file (0 if it has no lines)."""

    number: int
    file: str
    line: int
    value: dict[str, Any]


@dataclass
class Rows:
    """The rows that could be read, and one problem for each that could not; its values hold the row's number."""

    rows: list[RawRow]
    problems: list[Problem]


def read_rows(path: str, *, hub_split: str = "train", limit: int | None = None) -> Rows:
    """Rows of a file, of all data files of a folder in the order of their names, or of a data set on the Hub.

    At most `limit` rows, damaged ones counted. An empty file gives no row and no problem.
    Raises: DataError E201, E202, E205, E217, E220, HubError E702 if a whole file cannot be read.
    """
    result = Rows([], [])
    for found in iterate_rows(path, hub_split=hub_split, limit=limit):
        if isinstance(found, RawRow):
            result.rows.append(found)
        else:
            result.problems.append(found)
    return result


def iterate_rows(path: str, *, hub_split: str = "train", limit: int | None = None) -> Iterator[RawRow | Problem]:
    """The same one by one, in the order of the data; of a file of lines only one is in memory. Raises: as `read_rows`."""
    unreadable: list[Problem] = []
    number = 0
    for file, founds in _sources(path, hub_split):
        try:
            for found in islice(founds, None if limit is None else limit - number):
                number += 1
                if isinstance(found, Good):
                    yield RawRow(number, file, found.line, found.value)
                else:
                    where = Where(file, found.line, found.column)
                    yield Problem(found.code, where, {**found.values, "row": number})
        except DataError as fault:
            unreadable.extend(fault.problems)
    if unreadable:
        raise errors_of(unreadable)


def texts_of(
    path: str, wanted: Collection[tuple[str, int]], *, hub_split: str = "train"
) -> Iterator[tuple[tuple[str, int], str]]:
    """The text of the rows with these files and numbers: as it stands there, or as JSON where the row could be read.

    Cost: one more reading, with one row in memory.
    """
    number = 0
    for file, founds in _sources(path, hub_split):
        for found in founds:
            number += 1
            if (file, number) in wanted:
                yield (file, number), found.text if isinstance(found, Damage) else _as_json(found.value)


def _as_json(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, default=str)


def fingerprint(path: str, *, hub_split: str = "train") -> str:
    """sha256 of the data: of the bytes of a file, of the digests of a folder's files, of the rows of a Hub id.

    Raises: as `read_rows` if there is no data.
    """
    if is_hub_id(path):
        digest = hashlib.sha256()
        for row in hub.hub_rows(path.removeprefix(_HUB_PREFIX), hub_split):
            line = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
            digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()
    digests = [_file_digest(file) for file in _files(path)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _file_digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
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


def _sources(path: str, hub_split: str) -> Iterator[tuple[str, Iterator[Found]]]:
    if is_hub_id(path):
        yield path, _from_values(hub.hub_rows(hub_name(path), hub_split))
    else:
        for file in _files(path):
            yield str(file), _scan_file(file)


def _files(path: str) -> list[Path]:
    """The data files that a path names.

    Raises: DataError E201 if there is none, E202 if a single file has another type.
    """
    place = Path(path).expanduser()
    extensions = " ".join(EXTENSIONS)
    if place.is_file():
        if place.suffix.lower() not in EXTENSIONS:
            raise error("E202", Where(str(place)), extension=place.suffix or place.name, extensions=extensions)
        return [place]
    files = [f for f in sorted(place.iterdir()) if _is_data_file(f)] if place.is_dir() else []
    if not files:
        raise error("E201", path=path, extensions=extensions)
    return files


def _is_data_file(file: Path) -> bool:
    hidden = file.name.startswith(".")
    return file.suffix.lower() in EXTENSIONS and not hidden and file.name not in _NOT_ROWS and file.is_file()


def _scan_file(file: Path) -> Iterator[Found]:
    """Rows of one file, read as its extension says.

    Raises: DataError E202, E205, E217, E220 if the whole file cannot be read.
    """
    kind = file.suffix.lower()
    if kind in (".parquet", ".arrow"):
        yield from _from_values(hub.table_rows(file))
        return
    try:
        with file.open("rb") as opened:
            _refuse_foreign(opened.read(8), str(file))
            opened.seek(len(_BOM) if _starts_with_bom(opened) else 0)
            if kind == ".json" or (kind == ".jsonl" and _holds_document(opened)):
                yield from scan_document(decode(opened.read()), str(file))
            elif kind == ".jsonl":
                yield from _scan_jsonl(opened)
            elif kind == ".txt":
                yield from _scan_paragraphs(opened)
            elif kind in _CONLL:
                yield from scan_conll(_lines(opened), is_universal=kind == ".conllu")
            else:
                yield from _scan_table(opened, str(file), "\t" if kind == ".tsv" else "")
    except OSError as fault:
        raise _unreadable(file, fault) from fault


def _refuse_foreign(head: bytes, file: str) -> None:
    for magic, name in _ARCHIVES.items():
        if head.startswith(magic):
            raise error("E202", Where(file), extension=name, extensions=" ".join(EXTENSIONS))
    if head.startswith(_UTF16_BOMS):
        raise error("E205", Where(file, 1), reason=N_("the file is UTF-16"))


def _starts_with_bom(opened: BinaryIO) -> bool:
    opened.seek(0)
    return opened.read(len(_BOM)) == _BOM


def _holds_document(opened: BinaryIO) -> bool:
    """Whether a .jsonl file holds one list over several lines after all; the position is kept."""
    start = opened.tell()
    first = next((text.strip() for _line, text, _size in _lines(opened) if text.strip()), "")
    opened.seek(start)
    return first.startswith("[") and isinstance(scan_line(first, 1), Damage) and not first.endswith("]")


def _lines(opened: BinaryIO) -> Iterator[_Line]:
    """Number, text with its end, and size in bytes of each line; of a line above the limit only the beginning."""
    number = 0
    while first := opened.readline(MAX_ROW_BYTES + 1):
        number += 1
        size, part = len(first), first
        while not part.endswith(b"\n") and (part := opened.readline(MAX_ROW_BYTES + 1)):
            size += len(part)
        yield number, decode(first), size


def _scan_jsonl(opened: BinaryIO) -> Iterator[Found]:
    for number, text, size in _lines(opened):
        if text.strip():
            damage = size_damage(size, number)
            yield with_text(damage, text) if damage else scan_line(text, number)


def _scan_paragraphs(opened: BinaryIO) -> Iterator[Found]:
    """A row for each run of lines that are not blank."""
    part: list[str] = []
    start = size = 0
    for number, text, length in chain(_lines(opened), [(0, "", 0)]):
        if text.strip():
            start = start if part else number
            size += length
            if size <= MAX_ROW_BYTES or not part:
                part.append(text.rstrip("\r\n"))
        elif part:
            paragraph = "\n".join(part)
            damage = size_damage(size, start) or _paragraph_damage(part, start)
            yield with_text(damage, paragraph) if damage else Good(start, {"text": paragraph})
            part, size = [], 0


def _paragraph_damage(part: Iterable[str], start: int) -> Damage | None:
    return next((damage for line, text in enumerate(part, start) if (damage := text_damage(text, line))), None)


def _scan_table(opened: BinaryIO, file: str, delimiter: str) -> Iterator[Found]:
    """Rows of csv or tsv under the header of the first line; cells are text.

    Raises: DataError E205, E213, E221 if the header is damaged, E220 if a name stands in it twice.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))  # global, and 128 KiB from the start
    lines = _Lines(_lines(opened))
    first = next((line for line in lines if line[1].strip()), None)
    if first is None:
        return
    lines.give_back([first])
    delimiter = delimiter or _delimiter_of(first[1])
    header: list[str] = []
    while (read := _next_record(lines, delimiter)) is not None:
        number, record = read
        if isinstance(record, Damage) and not header:
            raise error(record.code, Where(file, number, record.column), **record.values)
        if isinstance(record, Damage):
            yield record
        elif not record:  # a blank line
            continue
        elif not header:
            header = _checked_header(record, file, number)
        elif len(record) != len(header):
            yield with_text(
                Damage("E218", number, 0, {"got": len(record), "wanted": len(header)}), delimiter.join(record)
            )
        else:
            yield Good(number, dict(zip(header, record, strict=True)))


class _Lines:
    """Lines of a file, some of which can be given back."""

    def __init__(self, source: Iterator[_Line]) -> None:
        self._source = source
        self._waiting: deque[_Line] = deque()

    def __iter__(self) -> Iterator[_Line]:
        return self

    def __next__(self) -> _Line:
        return self._waiting.popleft() if self._waiting else next(self._source)

    def give_back(self, lines: list[_Line]) -> None:
        self._waiting.extendleft(reversed(lines))


def _next_record(lines: _Lines, delimiter: str) -> tuple[int, list[str] | Damage] | None:
    """First line and cells of the next record, None at the end.

    A record that is not well quoted costs its first line only, so that one lost quote does not swallow what follows.
    """
    taken: list[_Line] = []

    def feed() -> Iterator[str]:
        size = 0
        for line in lines:
            taken.append(line)
            size += line[2]
            if size > MAX_ROW_BYTES:
                return
            yield line[1]

    try:
        cells = next(csv.reader(feed(), delimiter=delimiter, strict=True), [])
    except csv.Error as fault:
        lines.give_back(taken[1:])
        number, text, _size = taken[0]
        harm = text_damage(text, number) or Damage("E221", number, 0, {"reason": str(fault)})
        return number, replace(harm, text=text[:KEPT_CHARACTERS])
    if not taken:
        return None
    start = taken[0][0]
    flaw = next((damage for number, text, _size in taken if (damage := text_damage(text, number))), None)
    damage = size_damage(sum(size for _number, _text, size in taken), start) or flaw
    if damage is None:
        return start, cells
    return start, replace(damage, text="".join(text for _number, text, _size in taken)[:KEPT_CHARACTERS])


def _delimiter_of(header: str) -> str:
    """Comma, semicolon or tab: whichever the header has most of outside quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(",;\t", key=bare.count)


def _checked_header(names: list[str], file: str, line: int) -> list[str]:
    header = [name.strip() or f"column_{index}" for index, name in enumerate(names, 1)]
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        reason = Phrase(N_('the header names the column "{name}" twice'), name=twice[0])
        raise error("E220", Where(file, line), path=file, reason=reason)
    return header


def _from_values(rows: Iterable[dict[str, Any]]) -> Iterator[Found]:
    for row in rows:
        damage = value_damage(row, 0)
        yield with_text(damage, _as_json(row)) if damage else Good(0, row)
