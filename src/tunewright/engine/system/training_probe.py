"""How fast training is on this CPU, by precision, with the shapes of one model: `python -m tunewright.engine.system.training_probe
FILE BLOCK`, where BLOCK is a `BlockShape` as JSON.

A model of few blocks with random weights takes packed steps of LoRA as a run does them, with so few tokens in the loss that the
output layer has the share of the work that it has behind all blocks. The ways take turns and the best round of each counts, so
that a busy neighbour does not decide.
"""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.inspection.machine_info import BlockShape
from tunewright.kernels.cpu_matmul import matmul_rates, onednn_matmul
from tunewright.kernels.int8 import to_int8
from tunewright.kernels.mixed_precision import to_mixed
from tunewright.kernels.packing import attend_by_document, pack, packed_loss
from tunewright.rundir import atomic_io
from tunewright.security import seal_object

ROUNDS = 3
BLOCKS = 2
ROWS, TOKENS = 4, 128
# Above it products have the same speed, and the measurement would take memory and seconds.
MOST_WIDTH, MOST_WORDS = 2048, 50_000


def training_rates(block: BlockShape) -> dict[str, float]:
    """Operations per second in `fp32`, `mixed` and `int8` (W8A8 beside fp32)."""
    matmul = matmul_rates()
    is_by_onednn = matmul.get("onednn", 0) > matmul["mkl"]
    base = few_blocks(block)
    in_loss = _tokens_in_loss(base, block)
    ways: dict[str, Callable[[], LlamaForCausalLM]] = {
        "fp32": lambda: base,
        "mixed": lambda: to_mixed(_copy(base).to(torch.bfloat16)),
        "int8": lambda: to_int8(_copy(base)),
    }
    with onednn_matmul() if is_by_onednn else nullcontext():
        bases = {name: make() for name, make in ways.items() if name != "int8" or "int8" in matmul}
        work = _work(base, in_loss)
        models = {name: _adapted(model) for name, model in bases.items()}  # PEFT changes a base in place
        best = dict.fromkeys(models, 0.0)
        for _round in range(ROUNDS + 1):  # the first one is slower
            for name, model in models.items():
                best[name] = max(best[name], work / _seconds(model, in_loss))
    return best


def few_blocks(block: BlockShape) -> LlamaForCausalLM:
    """A model of few blocks and an output layer, with random weights; of large shapes, a smaller one of the same proportions."""
    share = min(1.0, MOST_WIDTH / block.hidden_size)
    heads = max(1, round(share * block.num_attention_heads))
    groups = max(1, block.num_attention_heads // max(1, block.num_key_value_heads))
    keys = max(1, heads // groups)
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=round(share * block.hidden_size) // 8 * 8 or 8,
        intermediate_size=round(share * block.intermediate_size) // 8 * 8 or 8,
        num_attention_heads=keys * groups,
        num_key_value_heads=keys,
        head_dim=block.head_dim,
        vocab_size=min(block.vocab_size, MOST_WORDS),
        num_hidden_layers=min(BLOCKS, block.num_layers),
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config).requires_grad_(False)


def _tokens_in_loss(base: LlamaForCausalLM, block: BlockShape) -> int:
    """So many of a row that the output layer is as much of the work as behind all blocks with half of the tokens in the loss."""
    blocks_share = base.config.num_hidden_layers / block.num_layers
    width_share = base.config.hidden_size / block.hidden_size  # blocks shrink by its square, the output layer does not
    words_share = base.config.vocab_size / block.vocab_size
    return min(TOKENS, max(1, round(TOKENS // 2 * blocks_share * width_share / words_share)))


def _copy(base: LlamaForCausalLM) -> LlamaForCausalLM:
    copy = LlamaForCausalLM(base.config)
    copy.load_state_dict(base.state_dict())
    return copy.requires_grad_(False)


def _adapted(model: LlamaForCausalLM) -> PeftModel:
    adapted = get_peft_model(model, LoraConfig(r=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]))
    attend_by_document(adapted)
    return adapted.train()


def _work(base: LlamaForCausalLM, in_loss: int) -> int:
    """Operations of one step, forward and for the gradient of the inputs."""
    linear = sum(layer.weight.numel() for layer in base.model.layers.modules() if isinstance(layer, torch.nn.Linear))
    return 4 * ROWS * (TOKENS * linear + in_loss * base.lm_head.weight.numel())


def _seconds(model: PeftModel, in_loss: int) -> float:
    words = model.config.vocab_size
    ids = [(7 * i) % words for i in range(TOKENS)]
    labels = [IGNORED] * (TOKENS - in_loss) + ids[TOKENS - in_loss :]
    row = TokenizedExample(0, ids, labels, prompt_length=TOKENS - in_loss, full_length=TOKENS)
    batch = pack([row] * ROWS, share=False)
    started = time.perf_counter()
    packed_loss(model, batch).backward()
    return time.perf_counter() - started


if __name__ == "__main__":
    target, shape = Path(sys.argv[1]), BlockShape.model_validate_json(sys.argv[2])
    atomic_io.write_cached(target, seal_object(target, training_rates(shape)))
