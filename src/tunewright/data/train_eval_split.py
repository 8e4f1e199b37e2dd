"""Which rows are trained on and which are held out, as the request says or, where it leaves that open, as the data are laid out."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from tunewright.config.run_config import DataConfig
from tunewright.config.section import AUTO
from tunewright.data.files.json_documents import splits_in
from tunewright.data.files.readers import TABLES, Layout, Reading, is_hub_id, layout_of
from tunewright.data.files.split_files import (
    EXTENSIONS,
    TEST,
    TEXTS,
    TRAIN,
    VALIDATION,
    data_files,
    list_folder,
    split_of,
)
from tunewright.data.files.text_file import open_text
from tunewright.errors import NOWHERE, Problem, TunewrightError, Where, errors_of
from tunewright.i18n import N_

USUAL_SHARE = 0.1
NAMES_SHOWN = 6
_UNITS: Mapping[Layout, str] = {"lines": N_("a line"), "paragraphs": N_("a paragraph"), "whole": N_("a whole file")}
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class RowSource:
    """Rows of a path, and how they are read; `map` corrects the recognised columns.

    `rows` or `weight` says how many of them are trained on (row_shares.py).
    """

    path: str
    reading: Reading
    map: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class TrainEvalSplit:
    """What is trained on; what is held out, with rows of its own or as a share of those; `notes` say what was chosen."""

    train: tuple[RowSource, ...]
    held_out: RowSource | None
    share: float
    notes: tuple[Problem, ...] = ()


def train_sources(config: DataConfig) -> tuple[RowSource, ...]:
    """The rows to be trained on, in the order in which they are read."""
    is_cleaned = config.control_characters == "remove"
    sources = []
    for source in config.sources:
        name, mapping = source.split or config.split, config.map if source.map is None else source.map
        split = name if is_hub_id(source.path) else split_of(name) or name
        reading = Reading(split, config.encoding, frozenset(mapping.values()), is_cleaned, config.sample_by)
        sources.append(RowSource(source.path, reading, mapping, source.rows, source.weight))
    return tuple(sources)


def for_each(sources: Sequence[RowSource], look: Callable[[RowSource], _Found]) -> list[_Found]:
    """What is found at each source.

    Raises: the problems of all sources at once; those that name no file of their own get the path of theirs.
    """
    results: list[_Found] = []
    problems: list[Problem] = []
    for source in sources:
        try:
            results.append(look(source))
        except TunewrightError as fault:
            if len(sources) == 1:
                raise
            place = Where(source.path)
            problems += [replace(p, where=place) if p.where == NOWHERE else p for p in fault.problems]
    if problems:
        raise errors_of(problems)
    return results


def sides_of(config: DataConfig) -> TrainEvalSplit:
    """Training and held-out rows. Rows for validation that the data bring along are held out if there is no other source.

    Raises: DataError E201 if there are no data, E264 for data that are named twice; ModelError E315 for links that lead away.
    """
    train = train_sources(config)
    refuse_repeated(train)
    names = for_each(train, _splits)
    if isinstance(config.holdout, float | int):
        sides = TrainEvalSplit(train, None, config.holdout)
    elif config.holdout != AUTO:
        sides = TrainEvalSplit(train, _second(config.holdout, train, config.map), 0)
    elif len(train) == 1 and VALIDATION in names[0] and train[0].reading.split != VALIDATION:
        reading = replace(train[0].reading, split=VALIDATION)
        sides = TrainEvalSplit(train, RowSource(train[0].path, reading, train[0].map), 0)
    else:
        sides = TrainEvalSplit(train, None, USUAL_SHARE)
    notes = [note for source, own in zip(train, names, strict=True) for note in _parts_note(source, sides, own)]
    return replace(
        sides, notes=(*notes, *(note for notes_of_one in for_each(train, _text_notes) for note in notes_of_one))
    )


def files_of(source: RowSource) -> list[Path]:
    """The files of a source; none for data on the Hub. Raises: DataError E201, E202, E237, E262."""
    return [] if is_hub_id(source.path) else data_files(source.path, source.reading.split)


def refuse_repeated(sources: Sequence[RowSource]) -> None:
    """Raises: DataError E264 for data that are named twice, whatever their paths; for missing ones as `files_of`."""
    if len(sources) < 2:
        return
    seen: set[tuple[str, str]] = set()
    problems = []
    for source, files in zip(sources, for_each(sources, files_of), strict=True):
        own = {(source.path, source.reading.split)} if is_hub_id(source.path) else {_place(f, source) for f in files}
        if own & seen:
            problems.append(Problem("E264", values={"path": source.path}))
        seen |= own
    if problems:
        raise errors_of(problems)


def _place(file: Path, source: RowSource) -> tuple[str, str]:
    """What distinguishes the rows of a file: a JSON document may hold several splits."""
    return str(file.resolve()), source.reading.split if file.suffix.lower() == ".json" else ""


def _second(path: str, train: Sequence[RowSource], mapping: Mapping[str, str]) -> RowSource:
    """Held-out rows that were named: of the same folder those for validation, of another its test files before those."""
    same = next((source for source in train if source.path == path), None)
    reading = same.reading if same else replace(train[0].reading, columns=frozenset(mapping.values()))
    names = {} if is_hub_id(path) else _splits(RowSource(path, reading))
    order = (VALIDATION, TEST) if same else (TEST, VALIDATION)
    split = next((split for split in order if split in names), TRAIN)
    split = TEST if is_hub_id(path) else split
    return RowSource(path, replace(reading, split=split), same.map if same else mapping)


def _splits(source: RowSource) -> dict[str, list[str]]:
    """The names of files, or of lists in a JSON document, that lie at a path, by split; "" has all that is of no split."""
    place = Path(source.path).expanduser()
    if is_hub_id(source.path):
        return {}
    if place.is_dir():
        folder = list_folder(place)
        names = {split: [str(file.relative_to(place)) for file in files] for split, files in folder.files.items()}
        if TRAIN not in names and "" in names:
            names[TRAIN] = names.pop("")
        rest = [*names.pop("", []), *folder.others, *(f"{inner.name}/" for inner in folder.folders)]
        return {**names, **({"": rest} if rest else {})}
    if place.suffix.lower() != ".json" or not place.is_file():
        return {}
    with open_text(place, source.reading.encoding, " ".join(EXTENSIONS)) as text:
        keys = splits_in(text.read())
    return {split: [key for key in keys if (split_of(key) or key) == split] for split in map(_key_split, keys)}


def _key_split(key: str) -> str:
    return split_of(key) or key


def _parts_note(source: RowSource, sides: TrainEvalSplit, names: dict[str, list[str]]) -> list[Problem]:
    """What is trained on and held out where the data have parts: W240 if all is used, W231 if something is left alone."""
    own = {source.reading.split}
    if sides.held_out and sides.held_out.path == source.path:
        own.add(sides.held_out.reading.split)
    alone = [name for split, files in names.items() if split not in own for name in files]
    if not alone and len(own) < 2:
        return []
    shares = {"share": f"{sides.share:.0%}"} if sides.share else {}
    held_out = names.get(sides.held_out.reading.split, [sides.held_out.path]) if sides.held_out else []
    values = {
        "trained": _listed(names.get(source.reading.split, [])),
        "held_out": _listed(held_out) if held_out else N_("a part of these rows") if shares else N_("nothing"),
        "alone": _listed(alone),
    }
    if not alone:
        return [Problem("W240", values={name: values[name] for name in ("trained", "held_out")})]
    unused = next((name for name in names.get(TEST, []) if TEST not in own), None)
    place = Path(source.path)
    test = {"test": shlex.quote(str(place / unused))} if unused and place.is_dir() else {}
    return [Problem("W231", values={**values, **test})]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f", ... (+{more})" if more > 0 else "")


def _text_notes(source: RowSource) -> list[Problem]:
    """W237 for plain text: whether a row is a line, a paragraph or a file."""
    notes: dict[str, Problem] = {}
    for file in files_of(source):
        if file.suffix.lower() in TEXTS:
            with open_text(file, source.reading.encoding, " ".join(EXTENSIONS)) as text:
                unit = _UNITS.get(layout_of(text, file.suffix.lower(), source.reading.sample_by))
            if unit:
                other = {} if unit == _UNITS["whole"] else {"other": "document"}
                notes.setdefault(unit, Problem("W237", values={"file": str(file), "unit": unit, **other}))
    return list(notes.values())


def reads_tables(config: DataConfig) -> bool:
    """Whether rows come from the Hub, or from files that `datasets` and pyarrow read."""
    sides = sides_of(config)
    return any(
        is_hub_id(source.path) or any(file.suffix.lower() in TABLES for file in files_of(source))
        for source in (*sides.train, sides.held_out)
        if source
    )
