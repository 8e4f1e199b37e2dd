"""Data that somebody brought to the page: where they are, for what model and task, and the changes to their rows.

Each has a file of its own below the home folder, so that an address stays good when the server is started anew. `settings` gives
what a plan needs: the values of a config by dotted path.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from starlette.exceptions import HTTPException

from tunewright import api
from tunewright.config.frozen_model import FrozenModel
from tunewright.data.row_fixes import mapping_of
from tunewright.inspection.builtin_models import DEFAULT_MODEL
from tunewright.rundir import atomic_io
from tunewright.security import as_private_as, cache_faults, home

_ID = re.compile(r"[0-9a-f]{16}")


class DataEntry(FrozenModel):
    """Data under an id. `fixed` are the settings that the changes give: another path, a mapping."""

    id: str
    name: str
    train: str
    holdout: str | float | None = None
    model: str = DEFAULT_MODEL
    task: str = "auto"
    max_length: int | None = None
    encoding: str | None = None
    fixes: list[dict[str, Any]] = Field(default_factory=list)
    fixed: dict[str, object] = Field(default_factory=dict)

    def changed(self, **values: object) -> "DataEntry":
        """The same with other values, written down. Raises: TrainingError E517."""
        entry = DataEntry.model_validate({**self.model_dump(), **values})
        _write(entry)
        return entry

    @property
    def row_fixes(self) -> list[api.RowFix]:
        return api.fixes_from(self.fixes)

    @property
    def left_out(self) -> set[int]:
        """The numbers of the rows that are left out."""
        return {number for fix in self.row_fixes if isinstance(fix, api.LeaveOut) for number in fix.rows}

    @property
    def mended(self) -> list[str]:
        """The file of mended rows, where rows were changed."""
        path = self.fixed.get("data.train")
        return [path] if isinstance(path, str) else []

    @property
    def mapping(self) -> dict[str, str]:
        """The columns by role, as they were corrected."""
        return mapping_of(self.row_fixes)


def add(train: str, name: str, **values: object) -> DataEntry:
    """Data at a path; the same path has the same id, and keeps its changes. Raises: TrainingError E517."""
    data_id = id_of(train)
    path = _path(data_id)
    entry = _read(path) if path.is_file() else None
    if entry is None or entry.train != train:
        entry = DataEntry.model_validate({"id": data_id, "name": name, "train": train, **values})
        _write(entry)
    return entry


def is_held(train: str) -> bool:
    """Whether data at a path have an id already."""
    known = _read(_path(id_of(train)))
    return known is not None and known.train == train


def entry(data_id: str) -> DataEntry:
    """The data with this id. Raises: HTTPException 404 for an id that was never given."""
    stored_entry = _read(_path(data_id)) if _ID.fullmatch(data_id) else None
    if stored_entry is None:
        raise HTTPException(404)
    return stored_entry


def every() -> list[DataEntry]:
    """All data, those that were changed last first."""
    folder = _path("").parent
    paths = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [stored_entry for path in paths if (stored_entry := _read(path))]


def original_settings(data: DataEntry) -> dict[str, object]:
    """The values of a config that looks at the data as they were brought, by dotted path.

    Columns are named as they were corrected: without that some rows cannot be understood at all.
    """
    values: dict[str, object] = {"model.name": data.model, "data.train": data.train}
    values |= {"task": data.task} if data.task != "auto" else {}
    values |= {"data.max_length": data.max_length} if data.max_length else {}
    values |= {"data.holdout": data.holdout} if data.holdout is not None else {}
    values |= {"data.encoding": data.encoding} if data.encoding else {}
    return values | ({"data.map": mapping} if (mapping := data.mapping) else {})


def settings(data_id: str) -> dict[str, object]:
    """The values of a config for the data with this id, with all changes made: model, data, task, mapping.

    Raises: HTTPException 404.
    """
    return settings_of(entry(data_id))


def settings_of(data: DataEntry) -> dict[str, object]:
    """The same for data that were read already."""
    return {**original_settings(data), **data.fixed}


def id_of(train: str) -> str:
    """The id of data at a path."""
    return hashlib.sha256(train.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _path(data_id: str) -> Path:
    return home() / "studio" / "data" / f"{data_id}.json"


def _write(data: DataEntry) -> None:
    path = _path(data.id)
    with cache_faults(), as_private_as([Path(data.train)]):  # changes hold texts of rows
        atomic_io.make_folder(path.parent)
        atomic_io.write_json(path, data.model_dump(mode="json"))


def _read(path: Path) -> DataEntry | None:
    """None for a file that is not there, or is damaged."""
    try:
        return DataEntry.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None
