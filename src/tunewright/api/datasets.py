"""A data set: every row checked, and rows as the model sees them."""

from collections.abc import Sequence
from typing import Any

from tunewright.api.configs import Rows, load, named_values, silent
from tunewright.api.run_handle import no_progress
from tunewright.data.validation import judge
from tunewright.launch import inspect_inputs
from tunewright.launch.checked_data import DataCheck
from tunewright.launch.resolve_model import Notify
from tunewright.launch.session_client import Progress


def data_check(
    data: Rows,
    model: str = "smollm2",
    *,
    sets: Sequence[str] = (),
    note: Notify = silent,
    progress: Progress = no_progress,
    **settings: Any,
) -> DataCheck:
    """Every row accounted for, without training: `data_check("my.csv", task="seq_cls")`.

    Nothing is raised for bad rows: they are in the result.
    Raises: DataError for a file that cannot be read at all; ModelError for the tokenizer's model.
    """
    loaded = load(named=named_values(model, data, settings), sets=sets)
    validated, tokenizer = inspect_inputs.look_at_data(loaded.run, note=note, progress=progress)
    return DataCheck(validated, tuple(judge(validated, loaded.run.data)), tuple(validated.warnings), tokenizer)
