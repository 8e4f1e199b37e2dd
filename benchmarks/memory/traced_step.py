"""What one training step of ours would hold on a GPU, without one: it runs on the meta device and every storage is counted.

The step is the product's own: transformers' model, PEFT's adapter in fp32, bitsandbytes' 4-bit layers, our losses, torch's
AdamW, two micro-batches and the optimizer's step. Storages alive are counted, rounded up to the allocator's 512 bytes. Of
attention only that of padded rows is a stand-in, which calls the flash attention that torch chooses on a GPU; packed rows have
the product's own. What GPU kernels take for themselves is not seen by a meta kernel and is added for those that take much: flash
attention's backward pass, the 4-bit product of many tokens and the results of 8-bit ones.

Left out: holes of the caching allocator, the CUDA context, workspaces of cuBLAS.
"""

import gc
import logging
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.functional import QuantState
from bitsandbytes.nn import Int8Params, Linear4bit, Linear8bitLt, Params4bit
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM, LlamaConfig

from tunewright.config.resolved_config import ResolvedLaunchConfig
from tunewright.config.run_config import RunConfig
from tunewright.engine.models.activation_checkpointing import checkpoint_activations
from tunewright.engine.models.peft_adapter import train_in_fp32
from tunewright.inspection.model_info import ModelInfo, read_model
from tunewright.kernels.cross_entropy import answer_loss, plain_loss
from tunewright.kernels.packing import attend_by_document, varlen_loss
from tunewright.kernels.varlen_attention import VARLEN
from tunewright.planning.memory_estimate import (
    AdapterSize,
    BatchShape,
    ComputeMode,
    full_fine_tuning,
    train_parts,
    update_parts,
)

logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
META, PADDED = torch.device("meta"), "traced_padded"
BLOCK_BYTES = 512  # what the caching allocator rounds up to
BLOCK, DOUBLE_BLOCK = 64, 256  # NF4 values that share a scale, and scales that share one once more
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Step:
    """What is trained how: `kind` lora, lora8 (LLM.int8), qlora (NF4) or full.

    A micro-batch has `rows` of `tokens` each, packed or padded, of which the share `learned` are label tokens; packed ones may
    begin with `shared` tokens that are computed once.
    """

    config: LlamaConfig
    kind: str
    rows: int
    tokens: int
    packed: bool
    checkpointing: bool = False
    r: int = 16
    targets: tuple[str, ...] = tuple(ALL)
    dtype: torch.dtype = torch.bfloat16
    dropout: float = 0.0
    learned: float = 0.5
    shared: int = 0
    optim: str = "adamw_torch_fused"

    @property
    def computed(self) -> int:
        """Tokens of a micro-batch, a shared beginning once."""
        return self.rows * self.tokens - max(0, self.rows - 1) * self.shared


class Card(TorchDispatchMode):
    """Counts what is alive on the meta device, and does what a card does and a meta kernel does not.

    It allocates beside two operators what their GPU kernels allocate inside, for as long as they run: flash attention's
    backward pass sums the queries' gradient in fp32, and with fewer keys than queries makes a gradient for each query's own
    (`mha_bwd` and `mha_varlen_bwd` of aten/native/transformers/cuda/flash_attn/flash_api.cpp); the 4-bit product of many
    tokens writes out the weight (bitsandbytes/backends/cuda/ops.py). And a mask, whose true values meta does not know,
    chooses `chosen` positions.
    """

    def __init__(self, chosen: int) -> None:
        super().__init__()
        self.chosen = chosen
        self.alive = self.peak = 0
        self._sizes = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name()
        if name == "aten::_local_scalar_dense" and args[0].is_meta:
            return 0  # asked whether positions only rise, and answered that rows are packed
        if "index" in name and len(args) > 1 and isinstance(args[1], list | tuple):
            args = (args[0], self._without_masks(args[1]), *args[2:])
        held = self._inside(name, args)
        tree_map_only(Tensor, self._count, held)
        result = self._in_8_bits(name, args) or func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, result)
        del held
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if not tensor.is_meta or storage in self._sizes:
            return
        size = -(-storage.nbytes() // BLOCK_BYTES) * BLOCK_BYTES
        self._sizes[storage] = size
        weakref.finalize(storage, self._free, size)
        self.alive += size
        self.peak = max(self.peak, self.alive)

    def _free(self, size: int) -> None:
        self.alive -= size

    def _without_masks(self, indices: Any) -> list[Tensor | None]:
        places: list[Tensor | None] = []
        for index in indices:
            is_mask = index is not None and index.dtype == torch.bool
            places += index.new_empty((index.dim(), self.chosen), dtype=torch.long).unbind() if is_mask else [index]
        return places

    def _inside(self, name: str, args: Any) -> list[Tensor]:
        if "flash_attention_backward" in name or "varlen_attn_backward" in name:
            query, key = args[1], args[2]
            in_fp32 = query.new_empty((*query.shape[:-1], query.shape[-1] + 1), dtype=torch.float32)
            is_grouped = query.shape[1] != key.shape[1]
            return [in_fp32, *(torch.empty_like(query) for _ in range(2 if is_grouped else 0))]
        if "int8_mixed_scaled_mm" in name:
            return [args[0].new_empty((len(args[1]), len(args[2])), dtype=torch.int32)]
        return [args[0].new_empty(args[2])] if "gemm_4bit" in name else []

    def _in_8_bits(self, name: str, args: Any) -> tuple[Tensor, ...] | None:
        """What the two operators of LLM.int8 give whose meta kernels ask how many columns are outliers: none."""
        none = args[0].new_empty(0, dtype=torch.int64) if "int8" in name else None
        if "int8_vectorwise_quant" in name:
            rows = args[0].new_empty(args[0].shape[:-1], dtype=torch.float32)
            return torch.empty_like(args[0], dtype=torch.int8), rows, none
        return (args[0].new_empty((len(args[1]), len(args[2]))), none) if "int8_mixed_scaled_mm" in name else None


def _padded(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **_: Any
) -> tuple[Tensor, None]:
    """Flash attention's operator, as torch chooses it for causal rows: (B, heads, T, H) to (B, T, heads, H)."""
    result = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, True)[0]
    return result.transpose(1, 2), None


AttentionInterface.register(PADDED, _padded)
AttentionMaskInterface.register(PADDED, lambda *_, **__: None)


class _FusedDropout(nn.Dropout):
    """Dropout as CUDA fuses it, with a mask of bytes; other devices draw numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.native_dropout(x, self.p, True)[0]


def build(step: Step) -> nn.Module:
    """The model of a step on the meta device: nothing is allocated."""
    config = LlamaConfig(**{**step.config.to_dict(), "use_cache": False})
    with META:
        base = AutoModelForCausalLM.from_config(
            config, attn_implementation="sdpa" if step.packed else PADDED, dtype=step.dtype
        )
    if step.kind == "full":
        model = base
    else:
        base.requires_grad_(False)
        if step.kind == "qlora":
            _replace_linear(base, lambda out, into: _in_4_bits(out, into, step.dtype))
        if step.kind == "lora8":
            _replace_linear(base, _in_8_bits)
        lora = LoraConfig(r=step.r, lora_alpha=2 * step.r, lora_dropout=step.dropout, target_modules=list(step.targets))
        model = get_peft_model(base, lora, low_cpu_mem_usage=True).to(META)
        train_in_fp32(model)
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Dropout):
                model.set_submodule(name, _FusedDropout(module.p))
    if step.checkpointing and step.kind == "full":
        base.activation_checkpointing_enable({"use_reentrant": False})
    elif step.checkpointing:
        checkpoint_activations(model)
    if step.packed:
        attend_by_document(model, VARLEN)
    return model.train()


def _replace_linear(base: nn.Module, make: Callable[[int, int], nn.Module]) -> None:
    """Store the linear layers inside the blocks otherwise."""
    for name, layer in list(base.named_modules()):
        if isinstance(layer, nn.Linear) and ".layers." in f".{name}.":
            with META:
                base.set_submodule(name, make(*layer.weight.shape))


def _in_8_bits(out: int, into: int) -> Linear8bitLt:
    """A layer as bitsandbytes holds it in 8 bits: values, and a scale for each row."""
    layer = Linear8bitLt(into, out, bias=False, has_fp16_weights=False, threshold=6.0)
    values = torch.empty((out, into), dtype=torch.int8)
    layer.weight = Int8Params(values, requires_grad=False, has_fp16_weights=False, CB=values, SCB=torch.empty(out))
    return layer


def _in_4_bits(out: int, into: int, dtype: torch.dtype) -> Linear4bit:
    """A layer as bitsandbytes holds it in NF4: two values a byte, scales, and scales of these."""
    layer, scales = Linear4bit(into, out, bias=False, compute_dtype=dtype, quant_type="nf4"), out * into // BLOCK
    outer = QuantState(
        absmax=torch.empty(-(-scales // DOUBLE_BLOCK)), code=torch.empty(256), blocksize=DOUBLE_BLOCK,
        dtype=torch.float32,
    )  # fmt: skip
    state = QuantState(
        absmax=torch.empty(scales, dtype=torch.uint8), shape=torch.Size((out, into)), code=torch.empty(16), blocksize=BLOCK,
        quant_type="nf4", dtype=dtype, offset=torch.empty(()), state2=outer,
    )  # fmt: skip
    packed = torch.empty((out * into // 2, 1), dtype=torch.uint8)
    layer.weight = Params4bit(
        packed, requires_grad=False, quant_state=state, bnb_quantized=True, quant_type="nf4", module=layer
    )
    layer.quant_state = state
    return layer


def _spans(step: Step) -> Tensor:
    """Where the documents of a packed row begin and end; on the CPU, as their numbers are looked at."""
    documents, at = [(0, step.shared, 0, 0)] if step.shared else [], step.shared
    for _row in range(step.rows):
        documents.append((at, at + step.tokens - step.shared, 0, step.shared))
        at += step.tokens - step.shared
    return torch.tensor(documents)


def batch(step: Step, place: torch.device = META) -> dict[str, Tensor]:
    """A micro-batch; the last `learned` of each row are label tokens."""
    learned, total = int(step.learned * step.tokens), step.computed
    if not step.packed:
        ids = torch.zeros((step.rows, step.tokens), dtype=torch.long, device=place)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.zeros_like(ids)}
    ids = torch.zeros((1, total), dtype=torch.long, device=place)
    count = {"dtype": torch.long, "device": place}
    return {
        "input_ids": ids, "position_ids": torch.zeros_like(ids),
        "predicts": torch.zeros(step.rows * learned, **count), "labels": torch.zeros(step.rows * learned, **count),
        "spans": _spans(step),
    }  # fmt: skip


class InPlace(torch.optim.AdamW):
    """AdamW whose step takes nothing but its moments, as the fused one; paged moments are not in the device's own memory."""

    def __init__(self, trained: list[nn.Parameter], *, is_paged: bool) -> None:
        super().__init__(trained)
        self._moments = () if is_paged else ("exp_avg", "exp_avg_sq")

    def step(self, closure: Any = None) -> None:
        for parameter in self.param_groups[0]["params"]:
            for name in self._moments:
                self.state[parameter].setdefault(name, torch.zeros_like(parameter))


def traced(step: Step) -> int:
    """Bytes at the peak of two optimizer steps of two micro-batches each."""
    loss = plain_loss if step.kind == "full" else varlen_loss if step.packed else answer_loss
    with Card(int(step.learned * step.tokens) * step.rows) as card:
        model = build(step)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        is_stock = step.optim == "adamw_torch"
        optimizer = (
            torch.optim.AdamW(trained, foreach=True)
            if is_stock
            else InPlace(trained, is_paged=step.optim.startswith("paged_"))
        )
        gc.collect()
        card.peak = card.alive
        for _step in range(2):
            for _micro_batch in range(2):
                loss(model, batch(step)).backward()
            optimizer.step()
            optimizer.zero_grad()
    return card.peak


def facts_of(config: LlamaConfig) -> ModelInfo:
    """What a plan would read of a folder with such a model in bf16."""
    with META:
        shapes = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).state_dict()
    if config.tie_word_embeddings:
        del shapes["lm_head.weight"]
    with tempfile.TemporaryDirectory() as folder:
        config.architectures = ["LlamaForCausalLM"]
        config.save_pretrained(folder)
        return read_model(Path(folder), "traced", {name: (list(t.shape), "BF16") for name, t in shapes.items()})


def planned(step: Step) -> dict[str, int]:
    """The plan's bytes by part for the same step on a card, without what the process takes beside it."""
    model = facts_of(step.config)
    settings = {
        "model": {"name": "traced", "quantization": {"qlora": "4bit", "lora8": "8bit"}.get(step.kind, "none"), "precision": "bf16"},
        "data": {"train": "rows.jsonl", "max_length": step.tokens}, "task": "causal_lm",
        "train": {
            "per_device_train_batch_size": step.rows, "gradient_accumulation_steps": 2,
            "activation_checkpointing": step.checkpointing, "optim": step.optim,
        },
        "peft": {"r": step.r, "lora_dropout": step.dropout},
    }  # fmt: skip
    run = RunConfig.model_validate(settings).model_copy(update={"launch": ResolvedLaunchConfig()})
    mode = ComputeMode(
        precision="bf16", checkpointing=step.checkpointing, answer_loss=True, merged=False, int8=False, is_gpu=True
    )
    shape = BatchShape(step.rows, step.computed, repeated=step.rows * step.shared)
    if step.kind == "full":
        estimate = full_fine_tuning(run, model, shape, num_labels=1, kind=mode)
        parts = [estimate.parts]
    else:
        adapted = AdapterSize(tuple(group for group in model.linear if group.name in step.targets))
        parts = [
            train_parts(run, model, adapted, shape, num_labels=1, kind=mode),
            update_parts(run, model, adapted, num_labels=1, kind=mode),
        ]
    largest = max(parts, key=lambda part: sum(part.values()))
    return {name: size for name, size in largest.items() if name != "libraries"}
