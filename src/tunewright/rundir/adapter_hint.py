"""An adapter's folder that is named where a model or a run is meant: what it is, and what to do."""

import shlex
from pathlib import Path

from tunewright.config.tasks import TASKS
from tunewright.errors import Problem, Where
from tunewright.rundir import file_names
from tunewright.security import python_line, read_json

CONFIG = "adapter_config.json"
UNKNOWN = "?"
# How PEFT loads an adapter of a generating task; classification heads also need the number of labels.
LOADERS = {
    TASKS["causal_lm"].task_type: "AutoPeftModelForCausalLM",
    TASKS["seq2seq"].task_type: "AutoPeftModelForSeq2SeqLM",
}


def adapter_in(folder: Path) -> Path | None:
    """The adapter that a folder is, or that the run in it has; None for any other folder."""
    places = (folder, *([folder / file_names.ADAPTER] if (folder / file_names.RUN_JSON).is_file() else []))
    return next((place for place in places if (place / CONFIG).is_file()), None)


def adapter_problem(code: str, folder: Path) -> Problem:
    """The problem of a folder that is an adapter: its method, rank and base, and commands that work for it.

    Raises: ModelError E309 for a config that cannot be read.
    """
    config = read_json(folder / CONFIG)
    base = str(config.get("base_model_name_or_path") or UNKNOWN)
    rank = config.get("r") or config.get("init_r") or "-"
    values: dict[str, object] = {
        "folder": str(folder),
        "method": str(config.get("peft_type") or UNKNOWN),
        "rank": rank,
        "base": base,
    }
    if run := _run_of(folder):
        values["run"] = shlex.quote(str(run))
    elif base != UNKNOWN and (loader := LOADERS.get(str(config.get("task_type")))):
        values["command"] = _merge_command(folder, base, loader)
    return Problem(code, Where(str(folder / CONFIG)), values)


def _run_of(folder: Path) -> Path | None:
    """The run that the folder is the adapter, or a checkpoint, of."""
    here = folder.resolve()
    return next((above for above in here.parents[:2] if (above / file_names.RUN_JSON).is_file()), None)


def _merge_command(folder: Path, base: str, loader: str) -> str:
    tokenizer = str(folder) if (folder / "tokenizer_config.json").is_file() else base
    return python_line(
        f"from peft import {loader}",
        "from transformers import AutoTokenizer",
        f"{loader}.from_pretrained({str(folder)!r}).merge_and_unload().save_pretrained('merged')",
        f"AutoTokenizer.from_pretrained({tokenizer!r}).save_pretrained('merged')",
    )
