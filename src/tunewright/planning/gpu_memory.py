"""What training holds on a GPU, value by value, as torch's eager mode, transformers and PEFT hold it.

Checked by the step itself, traced on the meta device (benchmarks/memory/gpu.py): Llama's shapes, LoRA, 4-bit bases and
everything trained, in bf16. Other families are near it. fp16, whose adapters read their inputs without a copy, takes less.

Letters: d hidden size, i intermediate size, s bytes of a value in the run's precision. `SavedValues` is of one token, in bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.inspection.model_info import LinearGroup, ModelInfo

FP32 = 4
# NF4: 64 values share a scale of 8 bits, and 256 scales one of 32.
NF4_BYTES = 0.5 + 1 / 64 + FP32 / (64 * 256)
# Both of Adam's moments in 8 bits, by bitsandbytes: 256 values share a scale.
MOMENTS_IN_8_BITS = 2 * (1 + FP32 / 256)
# The backward pass of a norm in fp32: products with its input, and powers of it.
NORM_BACKWARD_COPIES = 5
# On the way forward, beside what a block keeps: the residual stream before and after attention, what its second norm gives
# and made it of, and the gradient of its result when it is computed again.
LOCAL_COPIES = 7
# Gradients of the MLP's activation, of up and of their product.
MLP_GRADIENTS = 3


@dataclass(frozen=True)
class SavedValues:
    """What the blocks keep of a token for the backward pass: all of them, one of them, and what one has beside it on the
    way forward and back."""

    all_blocks: int
    one_block: int
    forward: int
    back: int


def stored_on_gpu(model: ModelInfo, size: int, quantization: str) -> int:
    """Frozen weights; quantized are the linear layers only."""
    linear = sum(group.in_features * group.out_features * group.count for group in model.linear)
    per_value = {"none": float(size), "8bit": 1.0, "4bit": NF4_BYTES}[quantization]
    return int(linear * per_value + (model.num_parameters - linear) * size)


def written_out(model: ModelInfo, size: int, quantization: str) -> int:
    """The largest quantized weight while a product needs it in the run's precision, and its scales in fp32, twice."""
    if quantization == "none":
        return 0
    largest = max((group.in_features * group.out_features for group in model.linear), default=0)
    return int(largest * (size + 2 * FP32 / 64))


def moments_bytes(optim: str, trained: int, size: int) -> int:
    """Both of Adam's moments of values of `size` bytes, in 8 bits or as precise as these."""
    return round(MOMENTS_IN_8_BITS * trained) if "8bit" in optim else 2 * size * trained


def resident_moments(optim: str, trained: int, size: int) -> int:
    """Of the moments what stays while a step goes through the model; paged ones give their place to activations."""
    return 0 if optim.startswith("paged_") else moments_bytes(optim, trained, size)


def roots_bytes(optim: str, trained: int, size: int) -> int:
    """What torch's Adam takes in its own step unless it is fused: the roots of all second moments at once."""
    return size * trained if optim in ("adamw_torch", "loraplus") else 0


def saved_by_adapters(
    model: ModelInfo,
    groups: Sequence[LinearGroup],
    num_blocks: int,
    *,
    size: int,
    rank: int,
    has_dropout: bool,
    quantization: str = "none",
) -> SavedValues:
    """Of a frozen model whose adapters are in fp32; frozen layers keep nothing, but those in 8 bits their input.

    An adapter keeps its layer's input in fp32. Below fp32 each has a copy of its own; in fp32 layers that read the same share
    it, and attention's result is kept already. With dropout each keeps its own, and a mask of one byte.
    """
    i = model.intermediate_size
    if has_dropout or size < FP32:
        inputs = sum((FP32 + has_dropout) * g.in_features * g.count for g in groups)
    else:
        inputs = num_blocks * FP32 * sum(width for width, role in {_input(g, model) for g in groups} if role)
    own = inputs + sum(FP32 * rank * g.count for g in groups)
    block = 2 * FP32 * model.hidden_size + _attention(model, size) + 3 * size * i
    if quantization == "8bit":
        block += size * (2 * model.hidden_size + i)
    reads_inner = any(g.in_features == i for g in groups)
    # At the widest adapter on the way forward: the layer's product, the adapter's and that scaled; what comes after is not
    # kept yet. At the activation on the way back the input of the layer behind it is free again.
    inner = FP32 * i if reads_inner else 0
    widest = max((g.out_features for g in groups if g.out_features == i), default=0)
    forward = LOCAL_COPIES * size * model.hidden_size + (size + 2 * FP32) * widest - size * i - inner
    back = size * model.hidden_size + MLP_GRADIENTS * size * i - inner
    return SavedValues(num_blocks * block + own, block + own // num_blocks, forward, back)


def _input(group: LinearGroup, model: ModelInfo) -> tuple[int, str]:
    """What a layer reads: its width, and "" for attention's result."""
    if group.in_features == model.intermediate_size:
        return group.in_features, "inner"
    if group.name in ("o_proj", "out_proj", "c_proj", "wo"):
        return group.in_features, ""
    return group.in_features, "mlp" if group.out_features == model.intermediate_size else "attention"


def saved_in_full(model: ModelInfo, num_blocks: int, *, size: int) -> SavedValues:
    """Of a model that is trained in all its weights: each layer keeps its input, each norm its own in fp32 and normalized."""
    d, i = model.hidden_size, model.intermediate_size
    block = 2 * (FP32 * d + 2 * size * d) + _attention(model, size) + 4 * size * i
    return SavedValues(num_blocks * block, block, 0, size * d + MLP_GRADIENTS * size * i)


def _attention(model: ModelInfo, size: int) -> int:
    """Query, key, value and result, and each head's logarithm of a sum in fp32."""
    wide, narrow = model.num_attention_heads * model.head_dim, model.num_key_value_heads * model.head_dim
    return 2 * size * (wide + narrow) + FP32 * model.num_attention_heads


def causal_loss_bytes(model: ModelInfo, tokens: int, *, size: int, chunk: int | None) -> int:
    """The last norm and the loss: logits of one chunk of tokens with their probabilities and their copy in the run's
    precision, states and gradients of the chosen positions; without chunks all logits, three times in fp32.

    Afterwards the norm's backward pass, if that is more.
    """
    d = model.hidden_size
    norm, norm_backward = tokens * d * (FP32 + size), tokens * d * (NORM_BACKWARD_COPIES * FP32)
    if chunk is None:
        loss = 3 * FP32 * tokens * model.vocab_size
    else:
        loss = min(tokens, chunk) * model.vocab_size * (2 * size + FP32) + 2 * size * tokens * d
    return norm + max(loss, norm_backward)


def at_the_peak(
    model: ModelInfo,
    saved: SavedValues,
    num_blocks: int,
    tokens: int,
    *,
    size: int,
    loss: int,
    recomputed: bool,
    quantization: str = "none",
    repeated: int = 0,
) -> tuple[int, int]:
    """Bytes of activations and of the loss when both together are most: at the loss, or in the last block on the way back,
    where a quantized weight is written out. Keys and values of `repeated` tokens are there once more in each block."""
    again = repeated * 2 * size * model.num_key_value_heads * model.head_dim
    blocks = (
        tokens * num_blocks * size * model.hidden_size if recomputed else tokens * saved.all_blocks + num_blocks * again
    )
    beside = max(tokens * saved.forward, tokens * saved.back + written_out(model, size, quantization))
    in_block = beside + (tokens * saved.one_block + again if recomputed else 0)
    return (blocks, loss) if loss >= in_block else (blocks + in_block, 0)


def vocabulary_gradients(model: ModelInfo, size: int) -> int:
    """New gradients of the embedding before they are added to those of earlier micro-batches: one, or where the output layer
    is the same matrix one of each and their sum. All of a micro-batch is free by then."""
    return (3 if model.tie_word_embeddings else 1) * size * model.vocab_size * model.hidden_size
