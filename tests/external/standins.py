"""Tiny models under the names by which PEFT's tests ask the Hub for theirs, as this must run without it.

They are made here with random weights, of the same classes and as small; wide enough that oneDNN takes their products.
"""

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PretrainedConfig,
    Qwen2Config,
)
from transformers.utils.logging import disable_progress_bar

TOKENS = {"vocab_size": 1024, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
GPT = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, **TOKENS}
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128, **TOKENS}
LLAMA = {"intermediate_size": 128, "num_key_value_heads": 2, "tie_word_embeddings": False, **SIZES}
STAND_INS: dict[str, PretrainedConfig] = {
    "peft-internal-testing/tiny-random-OPTForCausalLM": OPTConfig(ffn_dim=128, word_embed_proj_dim=64, **SIZES),
    "peft-internal-testing/tiny-random-GPT2LMHeadModel": GPT2Config(**GPT),
    "hf-internal-testing/tiny-random-gpt2": GPT2Config(**GPT),
    "peft-internal-testing/tiny-random-GPTJForCausalLM": GPTJConfig(rotary_dim=8, **GPT),
    "trl-internal-testing/tiny-random-LlamaForCausalLM": LlamaConfig(**LLAMA),
    "hf-internal-testing/tiny-random-MistralForCausalLM": MistralConfig(**LLAMA),
    "peft-internal-testing/tiny-dummy-qwen2": Qwen2Config(**LLAMA),
    "hf-internal-testing/tiny-random-Gemma3ForCausalLM": Gemma3TextConfig(head_dim=16, **LLAMA),
}
COMMIT = "0" * 40


def write(hub: Path) -> None:
    """A cache of the Hub's with each stand-in in it."""
    disable_progress_bar()
    for name, config in STAND_INS.items():
        torch.manual_seed(0)
        folder = hub / f"models--{name.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(COMMIT)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder / "snapshots" / COMMIT)
