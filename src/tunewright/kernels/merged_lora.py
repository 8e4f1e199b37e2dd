"""LoRA merged into the weights while text is generated: a token then takes half the operations.

Used in fp32 alone, where the sum rounds each weight once more (1e-7 of it); afterwards the weights are bit-equal to before,
because the sums are copies. Its plain counterpart is the model itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn


def _can_merge(layer: nn.Module) -> bool:
    if type(layer) is not LoraLinear or layer.disable_adapters or layer.merged or layer.active_adapters != ["default"]:
        return False
    if "default" not in layer.lora_A:  # PEFT makes an adapter active in layers, too, that only another one has
        return False
    base = layer.base_layer
    is_plain = type(base) is nn.Linear and base.weight.dtype == torch.float32
    return is_plain and not layer.lora_bias["default"] and "default" not in layer.lora_variant


@contextmanager
def merged_lora(model: nn.Module) -> Iterator[None]:
    """The model with its LoRA layers merged, where that is exact, for as long as the block lasts.

    Cost: memory of the adapted layers' weights. Layers that are switched off stay as they are.
    """
    original_weights: list[tuple[LoraLinear, Tensor]] = []
    try:
        for layer in model.modules():
            if _can_merge(layer):
                original_weights.append((layer, layer.base_layer.weight.data))
                layer.merge(safe_merge=True)  # into a copy
        yield
    finally:
        for layer, weight in original_weights:
            layer.base_layer.weight.data = weight
            layer.merged_adapters.clear()
