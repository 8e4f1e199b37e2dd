"""A look at data that is held: pages of its rows as the model sees them, and rows mended beside the files they came from."""

from collections.abc import Sequence
from typing import Any

from tunewright.api.configs import Rows, load, named_values
from tunewright.config.load_config import LoadedConfig
from tunewright.data.files.readers import RawRow
from tunewright.data.row_fixes import RowFix
from tunewright.launch import data_looks
from tunewright.launch.data_looks import DataLook, DataLooks, FixedRows
from tunewright.reporting import SILENT, Reporter

FIRST_ROWS = 100


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
