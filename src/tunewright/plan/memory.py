"""Bytes by part at the peak of training, in closed form.

What autograd keeps for one token in one layer of a frozen transformer with LoRA, in numbers of values (d hidden size,
i intermediate size): two norms 2 d, attention's query, key, value and result 4 d, one input for each group of adapted
layers (q, k, v share theirs; so do gate and up), the MLP's gate, activation and up 3 i. Frozen layers keep nothing.
"""

from dataclasses import dataclass

from tunewright.facts.model import LinearGroup, Model
from tunewright.plan.plan import Memory
from tunewright.spec.run import Precision

PRECISION_BYTES: dict[Precision, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
# What Python, torch, transformers and peft take before a model is there; measured on Linux x86-64 with torch 2.13 (CPU).
RUNTIME_BYTES = 750 * 2**20
LOSS_CHUNK_TOKENS = 512


@dataclass(frozen=True)
class Adapted:
    """Which layers get an adapter: names of linear layers, in which of the model's blocks (all if None)."""

    names: frozenset[str]
    blocks: tuple[int, ...] | None = None

    def groups(self, model: Model) -> list[LinearGroup]:
        """The linear layers that are adapted; counts are those of the chosen blocks."""
        share = 1.0 if self.blocks is None else len(self.blocks) / max(1, model.num_layers)
        return [
            group.model_copy(update={"count": round(group.count * share)})
            for group in model.linear
            if group.name in self.names
        ]

    def num_backward_blocks(self, model: Model) -> int:
        """Blocks that the backward pass goes through: none below the first adapted one."""
        return model.num_layers - (min(self.blocks) if self.blocks else 0)


def trainable_parameters(model: Model, adapted: Adapted, r: int) -> int:
    """Parameters of a LoRA of rank r: r x (in + out) for each adapted layer."""
    return sum(r * (g.in_features + g.out_features) * g.count for g in adapted.groups(model))


def stored_bytes(model: Model, precision: Precision, quantization: str) -> int:
    """Frozen weights in memory; quantised are the linear layers only."""
    linear = sum(g.in_features * g.out_features * g.count for g in model.linear)
    per_value = {"none": float(PRECISION_BYTES[precision]), "8bit": 1.0, "4bit": 0.5625}[quantization]
    return int(linear * per_value + (model.num_parameters - linear) * PRECISION_BYTES[precision])


def activation_bytes(
    model: Model, adapted: Adapted, tokens: int, *, precision: Precision, dropout: bool, checkpointing: bool
) -> int:
    """What autograd keeps of one micro-batch of `tokens` tokens, padding included."""
    d, i = model.hidden_size, model.intermediate_size
    layers, groups = max(1, adapted.num_backward_blocks(model)), adapted.groups(model)
    inputs = {(g.in_features, g.name in ("o_proj", "down_proj")) for g in groups}
    kept = 6 * d + 3 * i + sum(size for size, _ in inputs)
    if dropout:
        # Each adapted layer draws its own mask, and keeps the mask and its own dropped input.
        kept += sum(round(1.25 * g.in_features * g.count / layers) for g in groups)
    per_token = layers * d + 2 * kept if checkpointing else layers * kept
    return tokens * per_token * PRECISION_BYTES[precision]


def loss_bytes(model: Model, tokens: int, *, answer_loss: bool) -> int:
    """Logits and their gradient in fp32, for one chunk or for the whole micro-batch."""
    rows = min(tokens, LOSS_CHUNK_TOKENS) if answer_loss else tokens
    return rows * model.vocab_size * 4 * 3


def estimate(
    model: Model,
    adapted: Adapted,
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
    trained = trainable_parameters(model, adapted, r)
    return Memory(
        parts={
            "libraries": RUNTIME_BYTES,
            "weights": stored_bytes(model, precision, quantization),
            "adapter": 4 * trained,
            "gradients": 4 * trained,
            "optimizer": 8 * trained,
            "activations": activation_bytes(
                model, adapted, tokens, precision=precision, dropout=dropout, checkpointing=checkpointing
            ),
            "loss": loss_bytes(model, tokens, answer_loss=answer_loss),
        }
    )
