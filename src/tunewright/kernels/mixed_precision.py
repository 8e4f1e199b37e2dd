"""Mixed precision: products in bf16, everything between them in fp32 (Micikevicius et al. 2018, arXiv:1710.03740).

torch's autocast rounds the inputs of each product. Frozen weights are stored as it would round them: half the memory, and no
rounding in each pass. Sums inside a product are fp32 on every device. In fp32 stay what flows from block to block, norms, softmax,
the loss, and all that is trained; heads that are trained compute in it, too.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

DTYPE = torch.bfloat16


class _AutocastScope:
    """Autocast switched on or off for the forward passes of modules, by hooks: a module's copy, which PEFT makes, keeps them."""

    def __init__(self, device_type: str, *, enabled: bool) -> None:
        self._device_type, self._enabled = device_type, enabled
        self._entered: list[torch.autocast] = []

    def cover(self, module: nn.Module) -> None:
        """Hold for each forward pass of the module, one that fails too."""
        module.register_forward_pre_hook(self._enter, prepend=True)
        module.register_forward_hook(self._leave, always_call=True)

    def _enter(self, _module: nn.Module, _inputs: Any) -> None:
        context = torch.autocast(self._device_type, DTYPE, enabled=self._enabled)
        context.__enter__()
        self._entered.append(context)

    def _leave(self, _module: nn.Module, _inputs: Any, _output: Any) -> None:
        self._entered.pop().__exit__(None, None, None)

    def __deepcopy__(self, _memo: Any) -> "_AutocastScope":
        return self


def to_mixed(model: PreTrainedModel, heads: Iterable[str] = (), device_type: str | None = None) -> PreTrainedModel:
    """A model that was loaded in bf16, changed in place: its forward passes are mixed, `heads` are fp32. `device_type` is where it
    will compute, if that is not where it is.

    Its parts are mixed themselves: an encoder is called without the whole, and PEFT's AdaLoRA calls `forward` past the hooks.
    """
    mixed, exact = (_AutocastScope(device_type or model.device.type, enabled=enabled) for enabled in (True, False))
    names, parts = set(heads), {id(model), *map(id, model.children())}
    for name, module in model.named_modules():
        is_head = not names.isdisjoint(name.split("."))
        if is_head or not isinstance(module, nn.Linear | nn.Embedding | Conv1D):
            _widen(module, all_of_it=is_head)
        if is_head and isinstance(module, nn.Linear):
            module.register_forward_pre_hook(_inputs_to_fp32)
            exact.cover(module)
        elif isinstance(module, nn.Embedding):
            module.register_forward_hook(_to_fp32)
        elif type(module).__name__.endswith("RMSNorm"):
            module.register_forward_hook(_to_bf16)
        if not is_head and (id(module) in parts or isinstance(module, PreTrainedModel)):
            mixed.cover(module)
    return model


def as_products_read(*inputs: Tensor) -> list[Tensor]:
    """Inputs of a product that autocast does not know, in the type that it would give them; unchanged where it is off."""
    device = inputs[0].device
    if not is_mixed(device):
        return list(inputs)
    return [tensor.to(torch.get_autocast_dtype(device.type)) for tensor in inputs]


def is_mixed(device: torch.device) -> bool:
    """Whether autocast is on for products on this device."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def _widen(module: nn.Module, *, all_of_it: bool) -> None:
    for parameter in module.parameters(recurse=False):
        if parameter.dtype == DTYPE and (all_of_it or parameter.dim() < 2):
            parameter.data = parameter.data.float()


def _inputs_to_fp32(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.float() if isinstance(value, Tensor) else value for value in inputs)


def _to_fp32(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    return output.float()


def _to_bf16(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    """Rounded once for all products that read it. Models with this norm add up its inputs, never its outputs."""
    return output.to(DTYPE)
