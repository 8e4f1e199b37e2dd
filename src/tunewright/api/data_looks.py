"""A look at data that is held: pages of its rows as the model sees them, and rows mended beside the files they came from."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.api.configs import Rows, load, named_values
from tunewright.config.load_config import LoadedConfig
from tunewright.config.tasks import Task
from tunewright.data import histogram
from tunewright.data.examples import formats
from tunewright.data.files.readers import RawRow
from tunewright.data.row_fixes import RowChange, RowFix
from tunewright.errors import Problem, errors_of
from tunewright.launch import data_looks, run_data
from tunewright.launch.data_looks import DataLook, DataLooks, FixedRows
from tunewright.launch.run_data import RunData
from tunewright.report import sections
from tunewright.report.sections import DataAccount
from tunewright.reporting import SILENT, Reporter
from tunewright.rundir import fixed_data
from tunewright.rundir.run_dir import RunDir

FIRST_ROWS = 100
ROLES: Mapping[Task, tuple[str, ...]] = formats.ROLES
"""What a column can be, for each task."""


def look_at_rows(
    data: Rows | LoadedConfig,
    model: str = "smollm2",
    *,
    held: DataLooks | None = None,
    sets: Sequence[str] = (),
    reporter: Reporter = SILENT,
    **settings: Any,
) -> DataLook:
    """The account of `data_check`, and each row with what was found: `look_at_rows("my.csv").page(kind="empty")`.

    `held` keeps the last looks, so that the next one at the same data, model and settings costs nothing. What `reporter` raises
    ends the look. A loaded config replaces all other arguments.
    Raises: DataError for a file that cannot be read at all; ModelError for the tokenizer's model.
    """
    loaded = data if isinstance(data, LoadedConfig) else load(named=named_values(model, data, settings), sets=sets)
    return data_looks.look_at_rows(loaded, held or DataLooks(), reporter=reporter)


def first_rows(loaded: LoadedConfig, limit: int = FIRST_ROWS) -> list[RawRow]:
    """The first rows of the data of a config that can be read, as they are written, however large the files are.

    Raises: DataError for a file that cannot be read at all.
    """
    return data_looks.first_rows(loaded.run, limit)


def fix_rows(look: DataLook, fixes: Sequence[RowFix]) -> FixedRows:
    """The rows of a look with changes made: `fix_rows(look, [LeaveOut(rows=(3,))]).settings` trains on them.

    They are written below the home folder, named by digest, with every change beside them in fixes.jsonl; the files of the look
    are only read. A change is undone by leaving it out of the list.
    Raises: DataError E265 to E267 for a change that does not fit its row; TrainingError E517 where the disk refuses.
    """
    return data_looks.fix_rows(look, fixes)


def changes_in(fixed: str) -> list[RowChange]:
    """What was done to which row of the original, in the order of the changes; none for a file that holds no mended rows."""
    return fixed_data.changes_in(Path(fixed).parent) if fixed_data.made_of(fixed) else []


def refuse_changed(mended: Iterable[str]) -> None:
    """Raises: DataError E271 where files hold mended rows whose originals are others by now."""
    changed = dict.fromkeys(path for name in mended for path in fixed_data.changed_originals(name))
    if changed:
        raise errors_of([Problem("E271", values={"path": path}) for path in changed])


def data_of_run(run: RunDir) -> RunData:
    """What a run read its rows from, as somebody brought them, and what stands in the way of leaving single rows out.

    Raises: TrainingError E525 for a run that is damaged.
    """
    return run_data.data_of_run(run)


def number_in_data(look: DataLook, row: int) -> int:
    """The number of a held-out row in the data as they were brought, for `LeaveOut`; `row` is its number among the answers.

    `look` is at what the run read: `look_at_rows(data_of_run(run.dir).loaded)`. Raises: DataError E265 for no such row.
    """
    return run_data.number_in_data(look, row)


def data_account(look: DataLook, max_length: int | None = None) -> DataAccount:
    """The account of a look as the report shows it, in the reader's language; lengths as another `max_length` would cut them."""
    summary = look.check.validated.summary
    if max_length is not None:
        bars = histogram.histogram(look.lengths, max_length)
        summary = summary.model_copy(update={"max_length": max_length, "histogram": bars})
    return sections.data_account(summary)
