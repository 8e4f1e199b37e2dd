"""Bytes by part at the peak of a run, in closed form: the largest of loading, training and writing answers.

What autograd keeps for one token in one layer of a frozen transformer with LoRA, in numbers of values (d hidden size,
i intermediate size): two norms 2 d, attention's query, key, value and result 4 d, one input for each group of adapted
layers (q, k, v share theirs; so do gate and up), the MLP's gate, activation and up 3 i. Frozen layers keep nothing.
That is a CPU's; what training takes on a GPU is in `gpu_memory.py`.
"""

from dataclasses import dataclass, replace

from tunewright.config.methods import Scaled
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.run_config import Precision
from tunewright.inspection.model_info import LinearGroup, ModelInfo
from tunewright.planning import gpu_memory
from tunewright.planning.parameter_count import trainable_parameters
from tunewright.planning.run_plan import MemoryEstimate

PRECISION_BYTES: dict[Precision, int] = {"fp32": 4, "mixed": 2, "bf16": 2, "fp16": 2}
# What Python, torch, transformers and peft take before a model is there; measured on Linux x86-64 with torch 2.13 (CPU).
RUNTIME_BYTES = 555 * 2**20
# What oneDNN keeps of code for the shapes of packed micro-batches once a run is some dozen steps old (launch/supervisor.py).
KERNEL_BYTES = 60 * 2**20
# On a CPU keys and values grow token by token, each time into a new block; products in 8 bits have results of 32 twice.
CACHE_COPIES, INT8_RESULTS = 1.5, 3
# What a training leaves in the heap of a CPU, between what is still held.
LEFT_BEHIND = 90 * 2**20
# On a CPU: holes between blocks, and blocks in transit, as a share of what autograd keeps (benchmarks/plan).
HEAP_SHARE = 0.27
# What torch's CPU keeps more of each value: inputs rounded or copied for products of stored weights (benchmarks/plan).
STORED_SHARE = {"int8": 0.1, "8bit": 0.35, "4bit": 0.14, "none": 0.0}
# Norms and fp32 adapters keep some of a 16-bit model's values in 32 bits.
HALF_SHARE = 0.5
# Inputs of an adapted layer kept for dropout on a CPU: its own copy, and a mask of numbers.
DROPPED_COPIES = 2.0
# What a checkpointed block keeps on a CPU while it is computed again, its gradients, and the holes that this leaves.
RECOMPUTED_AT_ONCE = 7
# A process's CUDA context and what its allocator cannot use; usual figures, no GPU was here.
GPU_CONTEXT_BYTES = 1000 * 2**20
LOSS_CHUNK_TOKENS = 256
BLOCKS_AT_ONCE = 2  # of a sharded base that are whole: the one that computes, and the next
# Rows that are compared before step 1 (engine/training/loss_backends.py): how many, what is left of each, and how much
# of that is in the loss.
COMPARED_ROWS, COMPARED_TOKENS, LEARNED_TOKENS = 2, 48, 24
# All logits, their softmax, their gradients, copies without the last position, on a CPU holes.
LOGITS_AT_ONCE = 6
# Roles that read something else than the norm's output: attention's result, the MLP's activation.
INNER = ("o_proj", "out_proj", "c_proj", "down_proj", "fc2", "wo")


@dataclass(frozen=True)
class AdapterSize:
    """Which layers get an adapter: groups of linear layers, in which of the model's blocks (all if None)."""

    linear: tuple[LinearGroup, ...]
    blocks: tuple[int, ...] | None = None

    def groups(self, model: ModelInfo) -> list[LinearGroup]:
        """The linear layers that are adapted; counts are those of the chosen blocks."""
        share = 1.0 if self.blocks is None else len(self.blocks) / max(1, model.num_layers)
        return [group.model_copy(update={"count": round(group.count * share)}) for group in self.linear]

    def num_backward_blocks(self, model: ModelInfo) -> int:
        """Blocks that the backward pass goes through: none below the first adapted one."""
        return model.num_layers + model.num_decoder_layers - (min(self.blocks) if self.blocks else 0)


@dataclass(frozen=True)
class BatchShape:
    """The largest micro-batch: its rows, and its tokens with padding and learned positions; `is_whole` if a step has no
    other. `repeated` are the tokens of shared prefixes that rows see beside their own."""

    rows: int
    tokens: int
    is_whole: bool = False
    repeated: int = 0


@dataclass(frozen=True)
class ComputeMode:
    """How a run holds and computes its model, where that changes what it takes."""

    precision: Precision
    checkpointing: bool
    answer_loss: bool
    merged: bool
    int8: bool
    is_gpu: bool


def stored_bytes(model: ModelInfo, precision: Precision, quantization: str) -> int:
    """Frozen weights in memory; quantized are the linear layers only."""
    linear = sum(g.in_features * g.out_features * g.count for g in model.linear)
    per_value = {"none": float(PRECISION_BYTES[precision]), "8bit": 1.0, "4bit": 0.5625}[quantization]
    return int(linear * per_value + (model.num_parameters - linear) * PRECISION_BYTES[precision])


def activation_bytes(
    model: ModelInfo, adapted: AdapterSize, tokens: int, *, precision: Precision, dropped: float, recomputed: int = 0
) -> int:
    """What autograd keeps of one micro-batch of `tokens` tokens, padding included: of all blocks, or with checkpointing
    their inputs and `recomputed` times what one keeps."""
    d, i = model.hidden_size, model.intermediate_size
    layers, groups = max(1, adapted.num_backward_blocks(model)), adapted.groups(model)
    inputs = {(g.in_features, g.name in INNER) for g in groups}
    saved = 6 * d + 3 * i + sum(size for size, _ in inputs)
    # With dropout each adapted layer draws its own mask, and keeps the mask and its own dropped input.
    saved += sum(round(dropped * g.in_features * g.count / layers) for g in groups)
    per_token = layers * d + recomputed * saved if recomputed else layers * saved
    share = 0.0 if precision == "fp32" else HALF_SHARE
    return round(tokens * per_token * PRECISION_BYTES[precision] * (1 + share))


def loss_bytes(run: ResolvedConfig, model: ModelInfo, step: BatchShape, *, num_labels: int, kind: ComputeMode) -> int:
    """Logits and their gradient in fp32, for one chunk or for the whole micro-batch."""
    if run.task == "seq_cls":
        return step.rows * num_labels * 4 * 3
    if run.task == "token_cls":
        return step.tokens * num_labels * 4 * 3
    positions = min(step.tokens, LOSS_CHUNK_TOKENS) if kind.answer_loss else step.tokens
    has_holes = run.task == "causal_lm" and not kind.answer_loss
    return positions * model.vocab_size * 4 * (LOGITS_AT_ONCE if has_holes else 3)


def estimate(
    run: ResolvedConfig,
    model: ModelInfo,
    adapted: AdapterSize,
    step: BatchShape,
    *,
    num_labels: int,
    kind: ComputeMode,
    compared: int,
    written: BatchShape | None,
    room: int,
) -> MemoryEstimate:
    """The peak by part, of a run whose sizes are resolved; `compared` tokens are compared before step 1, `written` is the
    largest batch of answers, if there is one, `room` the bytes that a plan may take."""
    phases = {
        "load": load_parts(run, model, kind, room),
        "train": train_parts(run, model, adapted, step, num_labels=num_labels, kind=kind),
    }
    if kind.answer_loss:
        phases["verify"] = verify_parts(run, model, adapted, compared, num_labels=num_labels, kind=kind)
    if kind.is_gpu:
        phases["update"] = update_parts(run, model, adapted, num_labels=num_labels, kind=kind)
    if written:
        phases["write"] = write_parts(run, model, adapted, written, num_labels=num_labels, kind=kind)
    totals = {name: sum(parts.values()) for name, parts in phases.items()}
    return MemoryEstimate(parts=phases[max(totals, key=lambda name: totals[name])], phases=totals)


def _held(run: ResolvedConfig, model: ModelInfo, kind: ComputeMode) -> dict[str, int]:
    """What is there in every phase."""
    packed = KERNEL_BYTES if kind.answer_loss else 0
    if kind.is_gpu:
        size = PRECISION_BYTES[kind.precision]
        weights = gpu_memory.stored_on_gpu(model, size, run.model.quantization)
        return {"libraries": GPU_CONTEXT_BYTES, "weights": held_weights(run, model, weights)}
    weights = stored_bytes(model, kind.precision, run.model.quantization)
    return {"libraries": RUNTIME_BYTES + packed, "weights": held_weights(run, model, weights)}


def held_weights(run: ResolvedConfig, model: ModelInfo, stored: int) -> int:
    """What a process holds of `stored` bytes of frozen weights: all, or of a sharded base its share of the blocks, those that
    are whole at the moment, and all that is outside of the blocks."""
    if not run.launch.is_sharded:
        return stored
    blocks = round(stored * (1 - model.num_outside_blocks / max(1, model.num_parameters)))
    whole = BLOCKS_AT_ONCE * blocks // max(1, model.num_layers + model.num_decoder_layers)
    share = 0 if run.launch.strategy == "fsdp2_offload" else blocks // run.launch.processes
    return stored - blocks + min(blocks, share + whole)


def load_parts(run: ResolvedConfig, model: ModelInfo, kind: ComputeMode, room: int) -> dict[str, int]:
    """Weights, and on a CPU the checkpoint's file: what is read of it stays mapped until all of it is in place, as far as
    there is room; the kernel takes back such pages before it refuses memory."""
    held = _held(run, model, kind)
    if kind.is_gpu:
        return held
    is_copied = _is_cast(model, kind) or (run.model.quantization != "none" and not kind.int8)
    if kind.int8:
        # Embeddings are copied, so that the file need not stay mapped for them.
        copied = model.vocab_size * model.hidden_size * PRECISION_BYTES[kind.precision]
        held["weights"] = stored_bytes(model, kind.precision, "none") + copied
    elif is_copied:  # all of them, before they are shared out
        held["weights"] = stored_bytes(model, kind.precision, run.model.quantization)
    mapped = min(model.weight_bytes, max(0, room - sum(held.values()))) if is_copied else 0
    return {**held, "checkpoint": mapped}


def _is_cast(model: ModelInfo, kind: ComputeMode) -> bool:
    """Whether the checkpoint stores its values in another format than the run; files hold a few values more or less."""
    return abs(model.weight_bytes / (max(1, model.num_parameters) * PRECISION_BYTES[kind.precision]) - 1) > 0.1


def train_parts(
    run: ResolvedConfig, model: ModelInfo, adapted: AdapterSize, step: BatchShape, *, num_labels: int, kind: ComputeMode
) -> dict[str, int]:
    """What is in memory while the largest micro-batch goes back through the model."""
    if kind.is_gpu:
        return _train_parts_on_gpu(run, model, adapted, step, num_labels=num_labels, kind=kind)
    trained = trainable_parameters(run, model, adapted.groups(model), num_labels)
    dropped = DROPPED_COPIES if _has_dropout(run) else 0.0
    activations = activation_bytes(
        model, adapted, step.tokens, precision=kind.precision, dropped=dropped, recomputed=_recomputed(kind)
    )
    loss = loss_bytes(run, model, step, num_labels=num_labels, kind=kind)
    saved = _with_holes(activations, run, kind) + loss
    # Gradients of an only micro-batch come while what autograd kept goes.
    gradients = max(0, 4 * trained - saved) if step.is_whole else 4 * trained
    return {
        **_held(run, model, kind),
        "adapter": 4 * trained,
        "gradients": gradients,
        "optimizer": 8 * trained,
        "activations": saved - loss,
        "loss": loss,
    }


def _train_parts_on_gpu(
    run: ResolvedConfig, model: ModelInfo, adapted: AdapterSize, step: BatchShape, *, num_labels: int, kind: ComputeMode
) -> dict[str, int]:
    """The same on a GPU: gradients of earlier micro-batches are there, and what autograd keeps is on top of them."""
    size, blocks = PRECISION_BYTES[kind.precision], max(1, adapted.num_backward_blocks(model))
    trained = trainable_parameters(run, model, adapted.groups(model), num_labels)
    saved = _saved_on_gpu(run, model, adapted, kind, has_dropout=_has_dropout(run))
    loss = _loss_on_gpu(run, model, step, num_labels=num_labels, kind=kind)
    activations, loss = gpu_memory.at_the_peak(
        model, saved, blocks, step.tokens, size=size, loss=loss, recomputed=kind.checkpointing,
        quantization=run.model.quantization, repeated=step.repeated,
    )  # fmt: skip
    return {
        **_held(run, model, kind),
        "adapter": 4 * trained,
        "gradients": 4 * trained,
        "optimizer": gpu_memory.resident_moments(run.train.optim, trained, 4),
        "activations": activations,
        "loss": loss,
    }


def _loss_on_gpu(run: ResolvedConfig, model: ModelInfo, step: BatchShape, *, num_labels: int, kind: ComputeMode) -> int:
    if run.task in ("seq_cls", "token_cls"):
        return loss_bytes(run, model, step, num_labels=num_labels, kind=kind)
    chunk = LOSS_CHUNK_TOKENS if kind.answer_loss else None
    return gpu_memory.causal_loss_bytes(model, step.tokens, size=PRECISION_BYTES[kind.precision], chunk=chunk)


def _saved_on_gpu(
    run: ResolvedConfig, model: ModelInfo, adapted: AdapterSize, kind: ComputeMode, *, has_dropout: bool
) -> gpu_memory.SavedValues:
    rank = dict(run.peft).get("r", 0)
    return gpu_memory.saved_by_adapters(
        model,
        adapted.groups(model),
        max(1, adapted.num_backward_blocks(model)),
        size=PRECISION_BYTES[kind.precision],
        rank=rank if isinstance(rank, int) else 0,
        has_dropout=has_dropout,
        quantization=run.model.quantization,
    )


def _has_dropout(run: ResolvedConfig) -> bool:
    return isinstance(run.peft, Scaled) and run.peft.lora_dropout != 0


def update_parts(
    run: ResolvedConfig, model: ModelInfo, adapted: AdapterSize, *, num_labels: int, kind: ComputeMode
) -> dict[str, int]:
    """What is in memory in the optimizer's own step, on a GPU: nothing of a micro-batch, but all of the optimizer's."""
    trained = trainable_parameters(run, model, adapted.groups(model), num_labels)
    optim = run.train.optim
    return {
        **_held(run, model, kind),
        "adapter": 4 * trained,
        "gradients": 4 * trained,
        "optimizer": gpu_memory.moments_bytes(optim, trained, 4) + gpu_memory.roots_bytes(optim, trained, 4),
    }


def _recomputed(kind: ComputeMode) -> int:
    return RECOMPUTED_AT_ONCE if kind.checkpointing else 0


def _with_holes(activations: int, run: ResolvedConfig, kind: ComputeMode) -> int:
    stored = STORED_SHARE["int8" if kind.int8 else run.model.quantization]
    return round((1 + HEAP_SHARE) * (1 + stored) * activations)


def verify_parts(
    run: ResolvedConfig, model: ModelInfo, adapted: AdapterSize, compared: int, *, num_labels: int, kind: ComputeMode
) -> dict[str, int]:
    """The comparison of the fast path with the plain one before step 1, all logits of a few short rows."""
    trained = trainable_parameters(run, model, adapted.groups(model), num_labels)
    held = {**_held(run, model, kind), "adapter": 4 * trained, "gradients": 8 * trained}
    # Dropout is off and nothing is checkpointed, as in every evaluation.
    if kind.is_gpu:
        activations = compared * _saved_on_gpu(run, model, adapted, kind, has_dropout=False).all_blocks
        size = PRECISION_BYTES[kind.precision]
        loss = gpu_memory.causal_loss_bytes(model, compared, size=size, chunk=None)
        return {**held, "activations": activations, "loss": loss}
    activations = activation_bytes(model, adapted, compared, precision=kind.precision, dropped=0.0)
    logits = compared * model.vocab_size * 4 * LOGITS_AT_ONCE
    return {**held, "activations": _with_holes(activations, run, kind), "loss": logits}


def write_parts(
    run: ResolvedConfig,
    model: ModelInfo,
    adapted: AdapterSize,
    written: BatchShape,
    *,
    num_labels: int,
    kind: ComputeMode,
) -> dict[str, int]:
    """Keys and values of a batch of answers, what one block computes of its prompts, logits of the last positions."""
    trained = trainable_parameters(run, model, adapted.groups(model), num_labels)
    size, blocks = PRECISION_BYTES[kind.precision], model.num_layers + model.num_decoder_layers
    cache = 2 * blocks * model.num_key_value_heads * model.head_dim * written.tokens * size
    block = written.tokens * (4 * model.hidden_size + 3 * model.intermediate_size) * size
    if not kind.is_gpu:
        cache = round(CACHE_COPIES * cache) + LEFT_BEHIND
    if kind.int8:
        block *= INT8_RESULTS
    merged = sum(g.in_features * g.out_features * g.count for g in adapted.groups(model)) * size if kind.merged else 0
    return {
        **_held(run, model, kind),
        "adapter": 4 * trained,
        "merged": merged,
        "cache": cache,
        "activations": block,
        "loss": written.rows * model.vocab_size * 4 * 2,
    }


def full_fine_tuning(
    run: ResolvedConfig, model: ModelInfo, step: BatchShape, *, num_labels: int, kind: ComputeMode
) -> MemoryEstimate:
    """What training every weight would take: gradients and both of Adam's moments as precise as the weights."""
    size = PRECISION_BYTES[kind.precision]
    if kind.is_gpu:
        # An output layer that is trained needs the logits of all tokens.
        loss = _loss_on_gpu(run, model, step, num_labels=num_labels, kind=replace(kind, answer_loss=False))
        return _in_full_on_gpu(run, model, step, size, loss=loss, recomputed=kind.checkpointing)
    activations = activation_bytes(
        model,
        AdapterSize(model.linear),
        step.tokens,
        precision=kind.precision,
        dropped=0.0,
        recomputed=_recomputed(kind),
    )
    return MemoryEstimate(
        parts={
            "libraries": RUNTIME_BYTES,
            "weights": size * model.num_parameters,
            "gradients": size * model.num_parameters,
            "optimizer": 2 * size * model.num_parameters,
            "activations": _with_holes(activations, run, kind),
            "loss": loss_bytes(run, model, step, num_labels=num_labels, kind=kind),
        }
    )


def _in_full_on_gpu(
    run: ResolvedConfig, model: ModelInfo, step: BatchShape, size: int, *, loss: int, recomputed: bool
) -> MemoryEstimate:
    """The same on a GPU. The optimizer's own step, which transformers fuses unless told otherwise, takes nothing more."""
    trained, blocks = model.num_parameters, model.num_layers + model.num_decoder_layers
    saved = gpu_memory.saved_in_full(model, blocks, size=size)
    activations, loss = gpu_memory.at_the_peak(
        model, saved, blocks, step.tokens, size=size, loss=loss, recomputed=recomputed
    )
    at_the_end = gpu_memory.vocabulary_gradients(model, size)
    if at_the_end > activations + loss:
        activations, loss = at_the_end, 0
    return MemoryEstimate(
        parts={
            "libraries": GPU_CONTEXT_BYTES,
            "weights": size * trained,
            "gradients": size * trained,
            "optimizer": gpu_memory.moments_bytes(run.train.optim, trained, size),
            "activations": activations,
            "loss": loss,
        }
    )
