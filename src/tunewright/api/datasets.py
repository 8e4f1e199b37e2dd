"""A data set: every row checked, rows as the model sees them, and all rows encoded ahead."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunewright.api.configs import Rows, load, named_values
from tunewright.config.load_config import LoadedConfig
from tunewright.data.validation import judge
from tunewright.launch import inspect_inputs, prepare_rows
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


def prepare(
    model: str | LoadedConfig | None = None,
    data: Rows | None = None,
    *,
    config: str | Path | None = None,
    reporter: Reporter = SILENT,
    **settings: Any,
) -> prepare_rows.Prepared:
    """All rows encoded as `train` would with the same arguments, by all cores: `prepare("smollm2", "my.jsonl")`.

    They lie in the cache, where plan, train and compare find them by content. Rows that are there already are checked, file by
    file. A loaded config replaces all other arguments.
    Raises: every error that can be known before a run; DataError for what must stop one; TrainingError E517 where the disk refuses.
    """
    loaded = (
        model if isinstance(model, LoadedConfig) else load(config=config, named=named_values(model, data, settings))
    )
    return prepare_rows.prepare(loaded, reporter=reporter)
