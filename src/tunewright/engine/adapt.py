"""Method to PEFT config to PEFT model. One row per method; the other side of `spec/methods.py`."""

from typing import Any

from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel, set_seed

from tunewright.errors import Problem, SpecError
from tunewright.spec.methods import Lora

CONFIGS: dict[str, type[PeftConfig]] = {"lora": LoraConfig}
TASK_TYPES = {"causal_lm": "CAUSAL_LM"}


def peft_config(peft: Lora, task: str = "causal_lm", **upstream: Any) -> PeftConfig:
    """PEFT's own config of a resolved method. Raises: SpecError E103 where PEFT refuses a value."""
    fields = {**peft.model_dump(), **upstream}
    try:
        return CONFIGS[peft.method](task_type=TASK_TYPES[task], **fields)
    except (TypeError, ValueError) as fault:
        raise SpecError(
            [Problem("E103", values={"key": "peft", "reason": str(fault), "value": str(fields)})]
        ) from fault


def attach_adapter(model: PreTrainedModel, config: PeftConfig, *, seed: int) -> PeftModel:
    """The model with a fresh adapter; its start values depend on the seed alone."""
    set_seed(seed)
    return get_peft_model(model, config)
