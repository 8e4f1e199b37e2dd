"""Frozen linear layers in 8 bits that are also multiplied in 8 bits (W8A8), on CPUs with VNNI.

Weights have one scale for each value out, inputs one for each token, computed in each pass. A few columns of a language
model's activations are far larger than all others and would leave the others no bits: where a column's largest value is
more than OUTLIER times the median column's, it is multiplied in fp32 instead, as in LLM.int8 (Dettmers et al. 2022,
arXiv:2208.07339). The gradient into the inputs is a product of 8 bits too. Adapters and everything else stay fp32.

Measured: benchmarks/speed. Shapes: T tokens, I values in, O values out, K outlier columns.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

OUTLIER = 4.0
LARGEST = 127.0
SMALLEST_SCALE = 1e-12


@dataclass(frozen=True)
class RoundedInputs:
    """Inputs in 8 bits with a scale for each token, and the columns that are left out of them with their values."""

    codes_TI: Tensor
    scale_T1: Tensor
    outliers_K: Tensor
    outlying_TK: Tensor


class LastInput:
    """The inputs that were rounded last: query, key and value read the same ones, so do gate and up.

    With `is_exact` the layers of the model round no inputs.
    """

    def __init__(self) -> None:
        self.is_exact = False
        self._input: Tensor | None = None  # referenced, so that its memory is not reused
        self._which: tuple[object, ...] = ()
        self._rounded: RoundedInputs | None = None

    def rounded(self, input_TI: Tensor) -> RoundedInputs:
        """The inputs in 8 bits, computed again unless they are the last ones."""
        if input_TI.is_inference():  # torch does not count its changes
            return _round_inputs(input_TI.float())
        now = (input_TI.data_ptr(), input_TI.shape, input_TI._version)
        if self._rounded is None or self._which != now:
            self._input, self._which = input_TI, now
            self._rounded = _round_inputs(input_TI.float())
        return self._rounded


class Int8Linear(nn.Linear):
    """A linear layer with an int8 weight (O, I) and a scale for each row; PEFT's adapters wrap it as any other."""

    scale: Tensor
    last_input: LastInput

    @classmethod
    @torch.no_grad()
    def of(cls, layer: nn.Linear, last_input: LastInput) -> "Int8Linear":
        """The same layer, its weight rounded to 8 bits; layers of one model share `last_input`."""
        with torch.device("meta"):
            int8_layer = cls(layer.in_features, layer.out_features, bias=layer.bias is not None)
        weight_OI, scale_O1 = _rounded(layer.weight.float())
        int8_layer.weight = nn.Parameter(weight_OI, requires_grad=False)
        int8_layer.register_buffer("scale", scale_O1[:, 0])
        int8_layer.bias, int8_layer.last_input = layer.bias, last_input
        return int8_layer

    def forward(self, input: Tensor) -> Tensor:
        if self.last_input.is_exact:
            out_TO = _ExactProduct.apply(input.reshape(-1, self.in_features), self.weight, self.scale)
        else:
            out_TO = _Product.apply(input.reshape(-1, self.in_features), self.weight, self.scale, self.last_input)
        out = out_TO.view(*input.shape[:-1], self.out_features)
        return out if self.bias is None else out + self.bias

    def dequantized(self) -> Tensor:
        """The weight in fp32, (O, I)."""
        return _dequantized(self.weight, self.scale)


def _dequantized(weight_OI: Tensor, scale_O: Tensor) -> Tensor:
    return weight_OI.float() * scale_O[:, None]


class _ExactProduct(torch.autograd.Function):
    """Unrounded inputs; the wide weight is made again in the backward pass, as a model of them would not fit."""

    @staticmethod
    def forward(ctx, input_TI: Tensor, weight_OI: Tensor, scale_O: Tensor) -> Tensor:
        ctx.save_for_backward(weight_OI, scale_O)
        return input_TI @ _dequantized(weight_OI, scale_O).to(input_TI.dtype).T

    @staticmethod
    def backward(ctx, grad_TO: Tensor):
        weight_OI, scale_O = ctx.saved_tensors
        return grad_TO @ _dequantized(weight_OI, scale_O).to(grad_TO.dtype), None, None


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input_TI: Tensor, weight_OI: Tensor, scale_O: Tensor, last_input: LastInput) -> Tensor:
        ctx.save_for_backward(weight_OI, scale_O)
        out_TO = _multiply(last_input.rounded(input_TI), weight_OI, scale_O)
        return out_TO.to(input_TI.dtype)

    @staticmethod
    def backward(ctx, grad_TO: Tensor):
        weight_OI, scale_O = ctx.saved_tensors
        codes_TO, scale_T1 = _rounded(grad_TO.float() * scale_O)
        grad_TI = torch._int_mm(codes_TO, weight_OI).float().mul_(scale_T1)
        return grad_TI.to(grad_TO.dtype), None, None, None


def _multiply(inputs: RoundedInputs, weight_OI: Tensor, scale_O: Tensor) -> Tensor:
    out_TO = torch._int_mm(inputs.codes_TI, weight_OI.T).float().mul_(inputs.scale_T1).mul_(scale_O)
    if len(inputs.outliers_K):
        out_TO.addmm_(inputs.outlying_TK, (weight_OI[:, inputs.outliers_K].float() * scale_O[:, None]).T)
    return out_TO


def _round_inputs(input_TI: Tensor) -> RoundedInputs:
    largest_I = input_TI.abs().amax(0)
    outliers_K = (largest_I > OUTLIER * largest_I.median()).nonzero()[:, 0]
    inner_TI = input_TI.index_fill(1, outliers_K, 0.0) if len(outliers_K) else input_TI
    return RoundedInputs(*_rounded(inner_TI), outliers_K, input_TI[:, outliers_K])


def _rounded(values: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in 8 bits, and the scale of each."""
    scale = values.abs().amax(-1, keepdim=True).clamp_(min=SMALLEST_SCALE).div_(LARGEST)
    return (values / scale).round_().to(torch.int8), scale


@contextmanager
def unrounded_inputs(model: nn.Module) -> Iterator[None]:
    """Exact products of the stored weights with unrounded inputs, for as long as the block lasts.

    What is rounded depends on which rows are batched together, so two loss backends can be compared only without it.
    """
    shared = {id(m.last_input): m.last_input for m in model.modules() if isinstance(m, Int8Linear)}
    for last_input in shared.values():
        last_input.is_exact = True
    try:
        yield
    finally:
        for last_input in shared.values():
            last_input.is_exact = False


def to_int8(model: PreTrainedModel, heads: Collection[str] = ()) -> PreTrainedModel:
    """The model with 8-bit linear layers, changed in place; outputs and classification `heads` stay as they are."""
    last_input = LastInput()
    outputs = {id(model.get_output_embeddings())} if model.get_output_embeddings() is not None else set()
    for name, layer in list(model.named_modules()):
        if type(layer) is nn.Linear and id(layer) not in outputs and not set(name.split(".")) & set(heads):
            model.set_submodule(name, Int8Linear.of(layer, last_input))
    for parameter in model.parameters():
        if parameter.is_floating_point():
            # The whole checkpoint stays mapped, and counted as ours, as long as one tensor is a view of its file.
            parameter.data = parameter.data.clone()
    return model
