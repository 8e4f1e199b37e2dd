"""The resolved config beside the one that was asked for: the same fields in the same order, and no `auto`."""

from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from tunewright.config.dotted_paths import leaves, options_of, value_at
from tunewright.config.load_config import load, patch
from tunewright.config.methods import METHODS
from tunewright.config.resolved_config import ResolvedConfig, ResolvedPeft
from tunewright.config.run_config import RunConfig
from tunewright.errors import ConfigError

# Of tasks without such labels; of files, each of which is read as it is.
MAY_STAY_AUTO = {"ResolvedDataConfig.problem_type", "ResolvedDataConfig.sample_by"}
RESOLVED = {
    "model": {"name": "smollm2", "precision": "fp32", "quantization": "none"},
    "task": "causal_lm",
    "data": {"train": "rows.jsonl", "max_length": 64, "max_truncated": 0.25},
    "peft": {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": ["q_proj"], "use_dora": True},
    "train": {
        "num_train_epochs": 1.0, "learning_rate": 1e-4, "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2, "activation_checkpointing": False, "eval_steps": 5, "optim": "adamw_torch",
    },
    "eval": {"rows": 6, "max_new_tokens": 32},
    "fast_paths": {"packing": False},
}  # fmt: skip


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models of an annotation: itself, or the members of its union, in their order."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for part in get_args(annotation) for model in models_in(part)]


def pairs(config: type[BaseModel], resolved: type[BaseModel]) -> list[tuple[type[BaseModel], type[BaseModel]]]:
    """A model and its resolved form, with those of all sections."""
    models = [(config, resolved)]
    for name, field in config.model_fields.items():
        models += zip(models_in(field.annotation), models_in(resolved.model_fields[name].annotation), strict=True)
    return models


@pytest.mark.parametrize(("config", "resolved"), pairs(RunConfig, ResolvedConfig))
def test_every_field_is_resolved_and_none_is_lost(config: type[BaseModel], resolved: type[BaseModel]) -> None:
    assert issubclass(resolved, config)
    assert list(resolved.model_fields) == list(config.model_fields)
    may_be_auto = {
        f"{resolved.__name__}.{name}"
        for name, field in resolved.model_fields.items()
        if "auto" in str(field.annotation)
    }
    assert may_be_auto <= MAY_STAY_AUTO


def test_every_method_has_a_resolved_form() -> None:
    resolved = models_in(ResolvedPeft)
    assert [model.model_fields["method"].default for model in resolved] == list(METHODS)
    assert all(issubclass(model, row.model) for model, row in zip(resolved, METHODS.values(), strict=True))


@pytest.mark.parametrize("path", ["train.learning_rate", "peft.r", "data.max_length", "task", "model.precision"])
def test_auto_is_refused(path: str) -> None:
    run = ResolvedConfig.model_validate(RESOLVED)
    with pytest.raises(ConfigError):
        patch(run, {path: "auto"})


def test_what_is_not_resolved_is_missing() -> None:
    with pytest.raises(ValidationError, match=r"train\.num_train_epochs"):
        ResolvedConfig.model_validate({**RESOLVED, "train": {"learning_rate": 1e-4}})


def test_a_patch_keeps_the_type_and_the_json_is_that_of_a_config() -> None:
    run = patch(ResolvedConfig.model_validate(RESOLVED), {"peft.r": 4})
    assert isinstance(run, ResolvedConfig)
    assert run.peft.extra == {"use_dora": True}
    assert RunConfig.model_validate(run.model_dump()).model_dump_json() == run.model_dump_json()


def test_values_by_path() -> None:
    run = ResolvedConfig.model_validate(RESOLVED)
    assert value_at(run, "peft.r") == 8
    assert value_at(run, "peft.use_dora") is True
    assert value_at(run, "task") == "causal_lm"
    assert value_at(run, "peft.init_r") is None
    assert dict(leaves(run))["fast_paths.packing"] is False
    assert dict(options_of(run))["fast_paths"] == {"packing": False}
    assert list(dict(options_of(run))) == list(
        load(named={"model.name": "m", "data.train": "d", "peft.use_dora": True}).origins
    )
