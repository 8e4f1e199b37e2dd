"""Models: fetching them, what the presets train in them, and a PEFT model in this very process.

Functions that load a model import the engine, and torch with it, when they are called.
"""

from pathlib import Path
from typing import Any

from tunewright.api.configs import Rows, load, named_values
from tunewright.api.run_handle import TrainedRun
from tunewright.api.training import plan
from tunewright.config.load_config import LoadedConfig
from tunewright.inspection.model_info import read_model
from tunewright.launch import quickstart_tasks
from tunewright.launch.resolve_model import fetch_model, fetch_weights, resolve_model
from tunewright.planning.preset_targets import PresetRow, all_rows, find_row, row_of, rows_of
from tunewright.reporting import SILENT, Reporter


def fetch(name: str, *, reporter: Reporter = SILENT) -> Path:
    """Download a model to this machine; its folder. Raises: HubError E701 to E705."""
    return fetch_model(name, reporter=reporter)


def preset_rows(word: str = "", *, model: str | None = None, reporter: Reporter = SILENT) -> list[PresetRow]:
    """The presets in detail: one of them by FAMILY/LEVEL, those of a model with what they train, or all.

    With both, the row of that level for that model, which must be of that family.
    Raises: ConfigError E123; ModelError and HubError for a model that cannot be read.
    """
    if not model:
        return [find_row(word)] if word else all_rows()
    folder, tensors = resolve_model(model, None, offline=False, reporter=reporter)
    rows = rows_of(read_model(folder, model, tensors))
    return [row_of(word, rows)] if word else rows


def stand_in_data() -> Path:
    """A small generated data file, for when only a model is needed."""
    return quickstart_tasks.write_demo(0)[1]


def peft_config(**fields: Any) -> Any:
    """PEFT's own LoraConfig."""
    from peft import LoraConfig

    return LoraConfig(**fields)


def load_model(model: str, data: Rows | None = None, **settings: Any) -> tuple[Any, Any]:
    """A PEFT model with a fresh adapter, and its tokenizer, in this process, for a stock `transformers.Trainer` or a loop.

    `settings` are those of `train`: method, task, preset, peft={...}. `data` is needed where the rows decide the shape of
    the model: their labels, for seq_cls and token_cls. Raises: every error of a plan.
    """
    return load_for_training(load(named=named_values(model, data or stand_in_data(), settings)))


def load_for_training(loaded: LoadedConfig) -> tuple[Any, Any]:
    """The same for a loaded config."""
    from tunewright.engine.models import python_models

    resolved = plan(loaded)
    model = resolved.run.model
    fetch_weights(model.name, model.revision, offline=resolved.run.run.offline, reporter=SILENT)
    return python_models.load_for_training(resolved)


def put_adapter(model: Any, run: TrainedRun) -> None:
    """Load the trained adapter of a run into such a model. Raises: ModelError E310."""
    from tunewright.engine.models.load_model import restore_adapter

    restore_adapter(model, run.adapter)


def count_parameters(model: Any) -> tuple[int, int]:
    """Trainable parameters of a model in this process, and all of them."""
    from tunewright.engine.models import python_models

    return python_models.count_parameters(model)


def continue_text(model: Any, tokenizer: Any, prompt: str, max_new_tokens: int = 20) -> str:
    """The prompt and its greedy continuation by a model in this process."""
    from tunewright.engine.models import python_models

    return str(python_models.continue_text(model, tokenizer, prompt, max_new_tokens))
