"""Rows as a person mended them: files in the cache, named by digest, with every change beside them. The originals are only read.

Each row has the line of its number in the original: the line of a row that was left out is empty.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from tunewright.config.frozen_model import FrozenModel
from tunewright.data.files.readers import Reading, fingerprint
from tunewright.data.row_fixes import RowChange, RowFixer
from tunewright.errors import TunewrightError
from tunewright.inspection.data_info import FixedRowsInfo
from tunewright.rundir import atomic_io
from tunewright.rundir.checkpoints import faults, read_manifest, seal
from tunewright.security import as_private_as, cache_faults, home

FIXES = "fixes.jsonl"
_RUN = "fixed data"


class OriginalRows(FrozenModel):
    """The source of a file of mended rows: its path and split, its digest, and what is added to the numbers of its rows."""

    path: str
    split: str
    fingerprint: str
    start: Annotated[int, Field(ge=0)]


class FixedFolder(FrozenModel):
    """What a folder of mended rows was made of: its sources by the name of their file, and the changes, in their order."""

    originals: dict[str, OriginalRows]
    fixes: list[dict[str, object]]


def names_for(paths: Sequence[str]) -> list[str]:
    """A name for the mended rows of each path, no two alike in whatever case: that of the original where no other has it."""
    names: list[str] = []
    in_use = {FIXES}
    for path in paths:
        stem = Path(path).stem or "rows"
        numbered = (f"{stem}-{number}.jsonl" for number in count(2))
        names.append(next(name for name in chain([f"{stem}.jsonl"], numbered) if name.casefold() not in in_use))
        in_use.add(names[-1].casefold())
    return names


def folder_of(made_of: FixedFolder) -> Path:
    """Where these rows lie, or are to lie."""
    text = json.dumps(made_of.model_dump(mode="json"), sort_keys=True)
    return home() / "fixed_data" / hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def is_whole(folder: Path) -> bool:
    """Whether everything is there as it was sealed."""
    return not list(faults(folder))


def write_fixed(
    made_of: FixedFolder, lines: Mapping[str, Iterable[str]], fixer: RowFixer, originals: Sequence[Path], *, rows: int
) -> Path:
    """The folder, with a file of `lines` for each name, what `fixer` did to them, and a seal; as private as the originals.

    `rows` are how many there are.
    Raises: DataError E265 for changes of rows that are not there, TrainingError E517 where the disk refuses, and what the
    lines raise; then nothing is left behind.
    """
    target = folder_of(made_of)
    with cache_faults(), as_private_as(originals), atomic_io.staging(target.parent) as staged:
        for name, own in lines.items():
            # Bytes that were no text stay what they were.
            atomic_io.write_lines(staged / name, (f"{line}\n".encode("utf-8", "surrogateescape") for line in own))
        fixer.raise_if_left(rows)
        changes = sorted(fixer.done, key=lambda change: (change.fix, change.row))
        atomic_io.write_lines(staged / FIXES, map(_as_line, changes))
        seal(staged, run_id=_RUN, step=0, identity=made_of.model_dump(mode="json"))
        atomic_io.publish_folder(staged, target)
    return target


def _as_line(change: RowChange) -> bytes:
    return json.dumps(dict(change), ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n"


def made_of(path: str) -> FixedFolder | None:
    """What the rows of a file were made of; None for any other file, and where the seal is broken."""
    folder = Path(path).parent
    if folder.parent != home() / "fixed_data":
        return None
    manifest = read_manifest(folder)
    if manifest is None or manifest.run != _RUN:
        return None
    try:
        return FixedFolder.model_validate(manifest.identity)
    except ValidationError:
        return None


def changed_originals(path: str) -> list[str]:
    """The paths whose rows are no longer those that the mended rows in a file were made of. Cost: they are read."""
    folder = made_of(path)
    return [original.path for original in folder.originals.values() if _has_changed(original)] if folder else []


def _has_changed(original: OriginalRows) -> bool:
    try:
        return fingerprint(original.path, Reading(split=original.split)) != original.fingerprint
    except TunewrightError:
        return True


def changes_in(folder: Path) -> list[RowChange]:
    """What was done to which row."""
    lines = (folder / FIXES).read_text(encoding="utf-8").split("\n")  # splitlines() also breaks inside of texts
    return [RowChange.model_validate_json(line) for line in lines if line]


def fixed_rows(paths: Sequence[str]) -> FixedRowsInfo | None:
    """The facts for plan and card about the first of these files that holds mended rows, and all in its folder."""
    path = next((path for path in paths if made_of(path)), None)
    folder = made_of(path) if path else None
    if path is None or folder is None:
        return None
    changes = changes_in(Path(path).parent)
    return FixedRowsInfo(
        originals={original.path: original.fingerprint for original in folder.originals.values()},
        num_fixes=len(folder.fixes),
        num_changed=len({change.row for change in changes if change.after is not None}),
        num_left_out=sum(change.after is None for change in changes),
    )
