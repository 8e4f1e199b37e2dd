"""From a method to PEFT's config, and from that to a PEFT model; the methods themselves are rows of `config/methods.py`."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.lora.eva import initialize_lora_eva_weights
from peft.utils.other import AuxiliaryTrainingWrapper
from transformers import PreTrainedModel, set_seed

from tunewright.config.methods import PeftSection
from tunewright.config.tasks import TASKS, Task
from tunewright.errors import ConfigError, Problem, error
from tunewright.kernels.mixed_precision import is_mixed
from tunewright.planning.peft_kwargs import known_fields
from tunewright.planning.run_plan import Plan

logger = logging.getLogger(__name__)

# Their adapter file holds what was computed from the trained parameters, not the parameters.
DERIVED = frozenset({"adalora", "prefix_tuning", "prompt_tuning", "p_tuning"})


def peft_config(section: PeftSection, task: Task = "causal_lm", **upstream: Any) -> PeftConfig:
    """PEFT's own config of a resolved method. Raises: ConfigError E103 where PEFT refuses a value."""
    method = type(section).model_fields["method"].default
    fields = {**section.model_dump(), **upstream}
    try:
        return PEFT_TYPE_TO_CONFIG_MAPPING[method.upper()](task_type=TASKS[task].task_type, **fields)
    except (TypeError, ValueError) as fault:
        raise ConfigError(
            [
                Problem(
                    "E103", values={"key": "peft", "reason": str(fault), "value": f"{method}: {sorted(section.extra)}"}
                )
            ]
        ) from fault


def planned_config(plan: Plan, num_steps: int | None = None) -> PeftConfig:
    """PEFT's config of a plan, with what PEFT needs beside the fields: steps, tokenizer and model.

    `num_steps` is the real number of steps, where it is known: a plan reads only a part of large data.
    """
    return peft_config(plan.run.peft, plan.run.task, **known_fields(plan, num_steps or plan.num_steps))


def attach_adapter(model: PreTrainedModel, config: PeftConfig, *, seed: int) -> PeftModel:
    """The model with a fresh adapter; its initialization depends on the seed alone.

    Raises: ExportError E601 if LoftQ's initialization lacks its package.
    """
    if config.to_dict().get("init_lora_weights") == "loftq" and find_spec("scipy") is None:
        raise error("E601", what="peft.init_lora_weights: loftq", extra="loftq")
    set_seed(seed)
    adapted = get_peft_model(model, config)
    train_in_fp32(adapted)
    trained, total = adapted.get_nb_trainable_parameters()
    logger.info("attached %s: %d of %d parameters are trained", config.peft_type, trained, total)
    return adapted


def train_in_fp32(model: PeftModel) -> None:
    """Cast every trained parameter to fp32: heads, norms and whole modules too, which PEFT leaves in the base's precision.

    Updates are too small for the 8 significant bits of bf16. Such a module gets its input in fp32 and returns the precision
    of the model around it; in mixed precision autocast sees to that.
    """
    for module in model.modules():
        low_precision = [p for p in module.parameters(recurse=False) if p.requires_grad and p.dtype != torch.float32]
        if not low_precision:
            continue
        dtype = low_precision[0].dtype
        module.to(torch.float32)
        module.register_forward_pre_hook(lambda _module, inputs: tuple(_cast(x, torch.float32) for x in inputs))
        module.register_forward_hook(lambda _module, _inputs, output, dtype=dtype: _cast(output, dtype))


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or is_mixed(value.device):
        return value
    return value.to(dtype)


def initialize_from_data(model: PeftModel, batches: Iterable[Mapping[str, torch.Tensor]]) -> None:
    """EVA's initialization, from the activations of the first rows (Paischer et al. 2024, arXiv:2410.07170). Each of several
    processes reads all of them."""
    if model.active_peft_config.to_dict().get("init_lora_weights") == "eva":
        initialize_lora_eva_weights(model, list(batches), gather_distributed_inputs=False, show_progress_bar=False)


def trains_biases(section: PeftSection) -> bool:
    """True if biases of the base are trained, which stay in it when the adapter is switched off."""
    return {**dict(section), **section.extra}.get("bias", "none") != "none"


@contextmanager
def without_adapter(model: PeftModel) -> Iterator[PeftModel | PreTrainedModel]:
    """The model without its adapter, the original head included, for as long as the block lasts.

    `PeftModel.disable_adapter` of peft 0.21.2 fails for prompt learning on models that cannot generate; there the base is
    complete on its own.
    """
    if not model.active_peft_config.is_prompt_learning:
        with model.disable_adapter():
            yield model
        return
    base = model.get_base_model()
    wrappers = [module for module in base.modules() if isinstance(module, AuxiliaryTrainingWrapper)]
    try:
        for module in wrappers:
            module.enable_adapters(False)
        yield base
    finally:
        for module in wrappers:
            module.enable_adapters(True)


def orthogonality(model: PeftModel) -> torch.Tensor:
    """AdaLoRA's regularizer: how far the rows of A and the columns of B are from orthonormal, times its weight.

    PEFT adds it to the loss that the model computes; here the loss is ours. Source: peft/tuners/adalora/model.py.
    """
    factors = [
        weight if name.endswith("lora_A.default") else weight.T
        for name, weight in model.named_parameters()
        if name.endswith(("lora_A.default", "lora_B.default"))
    ]
    distances = [
        torch.linalg.matrix_norm(factor @ factor.T - torch.eye(len(factor), device=factor.device)) for factor in factors
    ]
    return model.active_peft_config.orth_reg_weight * torch.stack(distances).mean()
