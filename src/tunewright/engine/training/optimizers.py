"""Optimizers for LoRA that transformers does not name: LoRA+ and LoRA-FA, both PEFT's own."""

import torch
from peft import PeftModel
from peft.optimizers import create_lorafa_optimizer, create_loraplus_optimizer
from torch.optim import Optimizer

from tunewright.config.methods import Lora
from tunewright.planning.run_plan import Plan

OWN_OPTIMIZERS = ("loraplus", "lorafa")


def make_optimizer(model: PeftModel, plan: Plan) -> Optimizer | None:
    """The optimizer of `optim: loraplus` or `lorafa`; None leaves it to the Trainer.

    Sources: Hayou et al. 2024, arXiv:2402.12354 (B learns faster than A); Zhang et al. 2023, arXiv:2308.03303 (A frozen).
    """
    config, fields = plan.run.train, plan.run.peft
    if config.optim not in OWN_OPTIMIZERS:
        return None
    assert isinstance(fields, Lora)
    if config.optim == "lorafa":
        return create_lorafa_optimizer(model, fields.r, fields.lora_alpha, config.learning_rate, config.weight_decay)
    return create_loraplus_optimizer(
        model,
        torch.optim.AdamW,
        lr=config.learning_rate,
        loraplus_lr_ratio=config.loraplus_lr_ratio,
        weight_decay=config.weight_decay,
    )
