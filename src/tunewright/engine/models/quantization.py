"""Bases whose frozen linear layers are stored in 8 or 4 bits by bitsandbytes: loaded, prepared, measured, dequantized.

Quantized are linear layers alone. Embeddings, norms, outputs, classification heads, and experts that transformers holds
as one tensor for all of them, stay as they are. Measured with bitsandbytes 0.50.2 on a CPU; not run on a GPU.
"""

import logging
from collections.abc import Sequence

import torch
from peft import prepare_model_for_kbit_training
from peft.utils.integrations import dequantize_module_weight, get_bnb_param_type
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tunewright.errors import error
from tunewright.inspection.machine_info import has_bitsandbytes
from tunewright.kernels.int8 import Int8Linear

logger = logging.getLogger(__name__)


def quantization_config(kind: str, dtype: torch.dtype, heads: Sequence[str] = ()) -> BitsAndBytesConfig | None:
    """bitsandbytes' settings for `8bit` (LLM.int8) or `4bit` (NF4, its scales quantized once more); None for `none`.

    `heads` names the layers of a classification head. Without any, transformers looks for a model's output itself; of a
    head it takes the last parameter's name only, and where that is a bias the untrained head would be quantized.
    Raises: ExportError E601 without the package.
    """
    if kind == "none":
        return None
    if not has_bitsandbytes():
        raise error("E601", what=f"model.quantization: {kind}", extra="quant")
    # One line for each layer of each forward pass, saying that activations are rounded to fp16 on their way to int8.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    skipped = list(heads) or None
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=skipped,
    )


def stored_in(layer: nn.Module) -> str | None:
    """`8bit` or `4bit` for a layer that bitsandbytes has quantized, `int8` for our own, else None."""
    if isinstance(layer, Int8Linear):
        return "int8"
    return get_bnb_param_type(layer.weight) or None if isinstance(layer, nn.Linear) else None


def quantized_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The quantized layers by their path."""
    return {name: layer for name, layer in model.named_modules() if stored_in(layer) and isinstance(layer, nn.Linear)}


def prepare(model: PreTrainedModel) -> PreTrainedModel:
    """A quantized base, prepared for training and inference: frozen, and with the same outputs in training and evaluation mode.

    PEFT's preparation casts whatever is not quantized to fp32. That is nothing new for an fp32 run, and needed in fp16,
    whose sums overflow. In bf16 it is left out: SmolLM2's loss did not gain by it (4bit 3.966 with, 3.965 without; 8bit
    3.784 and 3.777), its weights grew by half (105 to 159 MiB), and all activations would be fp32.
    Raises: ModelError E313 if no layer is quantized, which transformers only warns of.
    """
    layers = quantized_layers(model).values()
    if not layers:
        kind = "8bit" if model.config.quantization_config.load_in_8bit else "4bit"
        raise error("E313", kind=kind, architecture=type(model).__name__)
    logger.info("%d linear layers are quantized by bitsandbytes", len(layers))
    for layer in layers:
        if stored_in(layer) == "4bit":
            # On a CPU with AVX512-BF16 the first evaluation packs the weights again, for a kernel without a backward pass:
            # from then on adapters on q and v got no gradient, and those on all layers a wrong one (off by 98 % of its
            # length, SmolLM2). Sizes that are not a multiple of 64 crash it.
            layer.support_avx512bf16_for_cpu = False
    for parameter in model.parameters():
        if parameter.device.type == "cpu" and not get_bnb_param_type(parameter):
            # The whole checkpoint stays mapped, and counted as ours, as long as one tensor is a view of its file.
            parameter.data = parameter.data.clone()
    if model.dtype == torch.bfloat16:
        return model.requires_grad_(False)
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all weights as stored, scales included, tied ones once."""
    return sum({t.data_ptr(): t.nbytes for t in model.state_dict().values() if isinstance(t, torch.Tensor)}.values())


def plain_weight_bytes(model: nn.Module, dtype: torch.dtype) -> int:
    """Bytes that the same weights take when none is quantized."""
    quantized = sum(layer.in_features * layer.out_features for layer in quantized_layers(model).values())
    plain = sum(p.numel() for p in model.parameters() if p.is_floating_point() and not get_bnb_param_type(p))
    return (quantized + plain) * dtype.itemsize


def dequantized(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """The same model with plain layers that hold the quantized values, changed in place; frozen, can be saved.

    `PreTrainedModel.dequantize` of transformers 5.23 writes GPT-2's transposed layers the wrong way round, leaves the
    weights trainable, and leaves a mark by which PEFT refuses to merge (IA)3. Cost: memory of the plain weights.
    """
    layers = quantized_layers(model)
    for name, layer in layers.items():
        model.set_submodule(name, _plain(layer, dtype))
    if not all(isinstance(layer, Int8Linear) for layer in layers.values()):
        model.hf_quantizer.remove_quantization_config(model)
        model.is_loaded_in_8bit = model.is_loaded_in_4bit = False
    return model.to(dtype)


def _plain(layer: nn.Linear, dtype: torch.dtype) -> nn.Module:
    is_own = isinstance(layer, Int8Linear)
    weight_OI = (layer.dequantized() if is_own else dequantize_module_weight(layer)).to(dtype)  # O out, I in
    is_transposed = not is_own and layer.source_cls is Conv1D
    with torch.device("meta"):
        plain = Conv1D(*weight_OI.shape) if is_transposed else nn.Linear(*weight_OI.shape[::-1], layer.bias is not None)
    plain.weight = nn.Parameter(weight_OI.T.contiguous() if is_transposed else weight_OI, requires_grad=False)
    plain.bias = layer.bias
    return plain
