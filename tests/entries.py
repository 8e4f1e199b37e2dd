"""Ways into the package with a model folder of a stranger, for tests/security/test_remote_code.py."""

from pathlib import Path

import pytest

from tunewright import api
from tunewright.config.load_config import LoadedConfig


def _loaded(folder: str, rows: str) -> LoadedConfig:
    return api.load(named={"model.name": folder, "data.train": rows, "data.holdout": 0, "eval.rows": 0})


def plan(folder: str, rows: str) -> None:
    api.plan(_loaded(folder, rows))


def train(folder: str, rows: str) -> None:
    api.train(folder, rows)


def data_check(folder: str, rows: str) -> None:
    api.data_check(rows, model=folder)


def load_everything(folder: str, rows: str, adapter: str) -> None:
    """What a worker and a session open, without a worker or a session."""
    from tunewright.data.tokenized.tokenizer import load_tokenizer
    from tunewright.engine.models.load_model import load_adapter, load_base, load_hf_tokenizer
    from tunewright.errors import ModelError

    planned, text = api.plan(_loaded(folder, rows)), load_tokenizer(Path(folder))
    load_hf_tokenizer(Path(folder), text).save_pretrained(Path(adapter).parent / "saved")
    model = load_adapter(load_base(planned, text), Path(adapter))
    assert model.active_peft_config.r == 4
    model.generate(input_ids=model.dummy_inputs["input_ids"][:, :2], max_new_tokens=2)
    config = Path(adapter) / "adapter_config.json"
    config.write_text(config.read_text().replace('"megatron.core"', '"evil"'))
    with pytest.raises(ModelError, match="E307"):
        load_adapter(load_base(planned, text), Path(adapter))
