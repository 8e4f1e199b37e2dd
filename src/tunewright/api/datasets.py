"""A data set: every row checked, and rows as the model sees them."""

from collections.abc import Sequence
from typing import Any

from tunewright.api.configs import Rows, load, named_values
from tunewright.data.validation import judge
from tunewright.launch import inspect_inputs
from tunewright.launch.checked_data import DataCheck
from tunewright.reporting import SILENT, Reporter


def data_check(
    data: Rows,
    model: str = "smollm2",
    *,
    sets: Sequence[str] = (),
    reporter: Reporter = SILENT,
    **settings: Any,
) -> DataCheck:
    """Every row accounted for, without training: `data_check("my.csv", task="seq_cls")`.

    Nothing is raised for bad rows: they are in the result.
    Raises: DataError for a file that cannot be read at all; ModelError for the tokenizer's model.
    """
    loaded = load(named=named_values(model, data, settings), sets=sets)
    validated, tokenizer = inspect_inputs.look_at_data(loaded.run, reporter=reporter)
    return DataCheck(validated, tuple(judge(validated, loaded.run.data)), tuple(validated.warnings), tokenizer)
