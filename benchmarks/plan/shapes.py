"""A Llama model of given sizes with random bf16 weights and another model's tokenizer: `shapes.py SIZES FROM TO`."""

import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def main() -> None:
    hidden, inner, layers, heads, key_value_heads = json.loads(sys.argv[1])
    given, made = Path(sys.argv[2]), Path(sys.argv[3])
    made.mkdir(parents=True, exist_ok=True)
    like = json.loads((given / "config.json").read_text())
    config = LlamaConfig(
        vocab_size=like["vocab_size"], hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=key_value_heads, max_position_embeddings=4096,
        bos_token_id=like.get("bos_token_id"), eos_token_id=like["eos_token_id"], tie_word_embeddings=hidden < 2048,
    )  # fmt: skip
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    LlamaForCausalLM(config).save_pretrained(made)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
        if (given / name).is_file():
            shutil.copyfile(given / name, made / name)


if __name__ == "__main__":
    main()
