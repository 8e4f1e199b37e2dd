"""Bytes by part at the peak of training, in closed form.

What autograd keeps for one token in one layer of a frozen transformer with LoRA, in numbers of values (d hidden size,
i intermediate size): two norms 2 d, attention's query, key, value and result 4 d, one input for each group of adapted
layers (q, k, v share theirs; so do gate and up), the MLP's gate, activation and up 3 i. Frozen layers keep nothing.
"""

from dataclasses import dataclass

from tunewright.facts.model import LinearGroup, Model
from tunewright.plan.plan import Memory
from tunewright.plan.trainable import trainable_parameters
from tunewright.spec.methods import Scaled
from tunewright.spec.run import Precision, Run

PRECISION_BYTES: dict[Precision, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
# What Python, torch, transformers and peft take before a model is there; measured on Linux x86-64 with torch 2.13 (CPU).
RUNTIME_BYTES = 750 * 2**20
LOSS_CHUNK_TOKENS = 256
# Roles that read something else than the norm's output: attention's result, the MLP's activation.
INNER = ("o_proj", "out_proj", "c_proj", "down_proj", "fc2", "wo")


@dataclass(frozen=True)
class Adapted:
    """Which layers get an adapter: groups of linear layers, in which of the model's blocks (all if None)."""

    linear: tuple[LinearGroup, ...]
    blocks: tuple[int, ...] | None = None

    def groups(self, model: Model) -> list[LinearGroup]:
        """The linear layers that are adapted; counts are those of the chosen blocks."""
        share = 1.0 if self.blocks is None else len(self.blocks) / max(1, model.num_layers)
        return [group.model_copy(update={"count": round(group.count * share)}) for group in self.linear]

    def num_backward_blocks(self, model: Model) -> int:
        """Blocks that the backward pass goes through: none below the first adapted one."""
        return model.num_layers + model.num_decoder_layers - (min(self.blocks) if self.blocks else 0)


@dataclass(frozen=True)
class Step:
    """The largest micro-batch: its rows, and its tokens with padding and learned positions."""

    rows: int
    tokens: int


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
    inputs = {(g.in_features, g.name in INNER) for g in groups}
    kept = 6 * d + 3 * i + sum(size for size, _ in inputs)
    if dropout:
        # Each adapted layer draws its own mask, and keeps the mask and its own dropped input.
        kept += sum(round(1.25 * g.in_features * g.count / layers) for g in groups)
    per_token = layers * d + 2 * kept if checkpointing else layers * kept
    return tokens * per_token * PRECISION_BYTES[precision]


def loss_bytes(run: Run, model: Model, step: Step, *, num_labels: int, answer_loss: bool) -> int:
    """Logits and their gradient in fp32, for one chunk or for the whole micro-batch."""
    if run.task == "seq_cls":
        return step.rows * num_labels * 4 * 3
    if run.task == "token_cls":
        return step.tokens * num_labels * 4 * 3
    positions = min(step.tokens, LOSS_CHUNK_TOKENS) if answer_loss else step.tokens
    return positions * model.vocab_size * 4 * 3


def estimate(
    run: Run,
    model: Model,
    adapted: Adapted,
    step: Step,
    *,
    num_labels: int,
    precision: Precision,
    checkpointing: bool,
    answer_loss: bool,
) -> Memory:
    """The peak by part, of a run whose sizes are resolved."""
    trained = trainable_parameters(run, model, adapted.groups(model), num_labels)
    dropout = isinstance(run.peft, Scaled) and run.peft.lora_dropout != 0
    return Memory(
        parts={
            "libraries": RUNTIME_BYTES,
            "weights": stored_bytes(model, precision, run.model.quantization),
            "adapter": 4 * trained,
            "gradients": 4 * trained,
            "optimizer": 8 * trained,
            "activations": activation_bytes(
                model, adapted, step.tokens, precision=precision, dropout=dropout, checkpointing=checkpointing
            ),
            "loss": loss_bytes(run, model, step, num_labels=num_labels, answer_loss=answer_loss),
        }
    )
