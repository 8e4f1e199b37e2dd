"""Which rows are trained on and which are held out, as the request says or, where it leaves that open, as the data are laid out."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunewright.config.run_config import DataConfig
from tunewright.config.section import AUTO
from tunewright.data.files.json_documents import splits_in
from tunewright.data.files.readers import TABLES, Layout, Reading, is_hub_id, layout_of
from tunewright.data.files.split_files import EXTENSIONS, TEST, TRAIN, VALIDATION, data_files, list_folder, split_of
from tunewright.data.files.text_file import open_text
from tunewright.errors import Problem
from tunewright.i18n import N_

USUAL_SHARE = 0.1
NAMES_SHOWN = 6
_UNITS: Mapping[Layout, str] = {"lines": N_("a line"), "paragraphs": N_("a paragraph")}


@dataclass(frozen=True)
class RowSource:
    """Rows of a path, and how they are read."""

    path: str
    reading: Reading


@dataclass(frozen=True)
class TrainEvalSplit:
    """What is trained on; what is held out, with rows of its own or as a share of those; `notes` say what was chosen."""

    train: RowSource
    held_out: RowSource | None
    share: float
    notes: tuple[Problem, ...] = ()


def train_source(config: DataConfig) -> RowSource:
    """The rows to be trained on."""
    columns = frozenset(config.map.values())
    is_cleaned = config.control_characters == "remove"
    split = config.split if is_hub_id(config.train) else split_of(config.split) or config.split
    return RowSource(config.train, Reading(split, config.encoding, columns, is_cleaned))


def sides_of(config: DataConfig) -> TrainEvalSplit:
    """Training and held-out rows. Raises: DataError E201 if there are no data, ModelError E315 for links that lead away."""
    train = train_source(config)
    names = _splits(train)
    if isinstance(config.holdout, float | int):
        sides = TrainEvalSplit(train, None, config.holdout)
    elif config.holdout != AUTO:
        sides = TrainEvalSplit(train, _second(config.holdout, train), 0)
    elif VALIDATION in names and train.reading.split != VALIDATION:
        sides = TrainEvalSplit(train, replace(train, reading=replace(train.reading, split=VALIDATION)), 0)
    else:
        sides = TrainEvalSplit(train, None, USUAL_SHARE)
    return replace(sides, notes=(*_parts_note(sides, names), *_text_notes(train)))


def _second(path: str, train: RowSource) -> RowSource:
    """Held-out rows that were named: of the same folder those for validation, of another its test files before those."""
    names = {} if is_hub_id(path) else _splits(RowSource(path, train.reading))
    order = (VALIDATION, TEST) if path == train.path else (TEST, VALIDATION)
    split = next((split for split in order if split in names), TRAIN)
    return RowSource(path, replace(train.reading, split=TEST if is_hub_id(path) else split))


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


def _parts_note(sides: TrainEvalSplit, names: dict[str, list[str]]) -> list[Problem]:
    """What is trained on and held out where the data have parts: W240 if all is used, W231 if something is left alone."""
    own = {sides.train.reading.split}
    if sides.held_out and sides.held_out.path == sides.train.path:
        own.add(sides.held_out.reading.split)
    alone = [name for split, files in names.items() if split not in own for name in files]
    if not alone and len(own) < 2:
        return []
    shares = {"share": f"{sides.share:.0%}"} if sides.share else {}
    held_out = names.get(sides.held_out.reading.split, [sides.held_out.path]) if sides.held_out else []
    values = {
        "trained": _listed(names.get(sides.train.reading.split, [])),
        "held_out": _listed(held_out) if held_out else N_("a part of these rows") if shares else N_("nothing"),
        "alone": _listed(alone),
    }
    if not alone:
        return [Problem("W240", values={name: values[name] for name in ("trained", "held_out")})]
    unused = next((name for name in names.get(TEST, []) if TEST not in own), None)
    place = Path(sides.train.path)
    test = {"test": shlex.quote(str(place / unused))} if unused and place.is_dir() else {}
    return [Problem("W231", values={**values, **test})]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f", ... (+{more})" if more > 0 else "")


def _text_notes(source: RowSource) -> list[Problem]:
    """W237 for plain text: whether a row is a line or a paragraph."""
    if is_hub_id(source.path):
        return []
    notes: dict[str, Problem] = {}
    for file in data_files(source.path, source.reading.split):
        if file.suffix.lower() == ".txt":
            with open_text(file, source.reading.encoding, " ".join(EXTENSIONS)) as text:
                unit = _UNITS.get(layout_of(text, ".txt"))
            if unit:
                notes.setdefault(unit, Problem("W237", values={"file": str(file), "unit": unit}))
    return list(notes.values())


def reads_tables(config: DataConfig) -> bool:
    """Whether rows come from the Hub, or from files that `datasets` and pyarrow read."""
    sides = sides_of(config)
    return any(
        is_hub_id(source.path)
        or any(file.suffix.lower() in TABLES for file in data_files(source.path, source.reading.split))
        for source in (sides.train, sides.held_out)
        if source
    )
