"""Bytes by part at the peak of training, in closed form.

What autograd keeps for one token in one layer of a frozen transformer with LoRA, in numbers of values (d hidden size,
i intermediate size): two norms 2 d, attention's query, key, value and result 4 d, one input for each group of adapted
layers (q, k, v share theirs; so do gate and up), the MLP's gate, activation and up 3 i. Frozen layers keep nothing.
"""

from collections.abc import Iterable

from tunewright.facts.model import LinearGroup, Model
from tunewright.plan.plan import Memory
from tunewright.spec.run import Precision

PRECISION_BYTES: dict[Precision, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
# What Python, torch, transformers and peft take before a model is there; measured on Linux x86-64 with torch 2.13 (CPU).
RUNTIME_BYTES = 750 * 2**20
LOSS_CHUNK_TOKENS = 512


def adapted(model: Model, targets: Iterable[str]) -> list[LinearGroup]:
    """The linear layers whose names are targeted."""
    names = set(targets)
    return [group for group in model.linear if group.name in names]


def trainable_parameters(model: Model, targets: Iterable[str], r: int) -> int:
    """Parameters of a LoRA of rank r: r x (in + out) for each adapted layer."""
    return sum(r * (g.in_features + g.out_features) * g.count for g in adapted(model, targets))


def stored_bytes(model: Model, precision: Precision, quantization: str) -> int:
    """Frozen weights in memory; quantised are the linear layers only."""
    linear = sum(g.in_features * g.out_features * g.count for g in model.linear)
    per_value = {"none": float(PRECISION_BYTES[precision]), "8bit": 1.0, "4bit": 0.5625}[quantization]
    return int(linear * per_value + (model.num_parameters - linear) * PRECISION_BYTES[precision])


def activation_bytes(
    model: Model, targets: Iterable[str], tokens: int, *, precision: Precision, dropout: bool, checkpointing: bool
) -> int:
    """What autograd keeps of one micro-batch of `tokens` tokens, padding included."""
    d, i = model.hidden_size, model.intermediate_size
    layers = max(1, model.num_layers)
    inputs = {(g.in_features, g.name in ("o_proj", "down_proj")) for g in adapted(model, targets)}
    kept = 6 * d + 3 * i + sum(size for size, _ in inputs)
    if dropout:
        # Each adapted layer draws its own mask, and keeps the mask and its own dropped input.
        kept += sum(round(1.25 * g.in_features * g.count / layers) for g in adapted(model, targets))
    per_token = layers * d + 2 * kept if checkpointing else layers * kept
    return tokens * per_token * PRECISION_BYTES[precision]


def loss_bytes(model: Model, tokens: int, *, answer_loss: bool) -> int:
    """Logits and their gradient in fp32, for one chunk or for the whole micro-batch."""
    rows = min(tokens, LOSS_CHUNK_TOKENS) if answer_loss else tokens
    return rows * model.vocab_size * 4 * 3


def estimate(
    model: Model,
    targets: Iterable[str],
    *,
    r: int,
    tokens: int,
    precision: Precision,
    quantization: str,
    dropout: bool,
    checkpointing: bool,
    answer_loss: bool,
) -> Memory:
    """The peak by part; `tokens` is the largest micro-batch, padding included."""
    names = list(targets)
    trained = trainable_parameters(model, names, r)
    return Memory(
        parts={
            "libraries": RUNTIME_BYTES,
            "weights": stored_bytes(model, precision, quantization),
            "adapter": 4 * trained,
            "gradients": 4 * trained,
            "optimizer": 8 * trained,
            "activations": activation_bytes(
                model, names, tokens, precision=precision, dropout=dropout, checkpointing=checkpointing
            ),
            "loss": loss_bytes(model, tokens, answer_loss=answer_loss),
        }
    )
