"""A Llama model with random bf16 weights and a byte-level tokenizer, made of nothing: `shapes.py SIZES FOLDER`.

SIZES are vocabulary, hidden, intermediate, layers, heads, key and value heads, as JSON. Weights are drawn on the accelerator
if there is one, and written shard by shard.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SHARD_BYTES = 2 * 2**30


def tokenizer(folder: Path) -> None:
    """A token for each byte."""
    bytewise = Tokenizer(models.BPE())
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + len(SPECIAL),
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bytewise.train_from_iterator([], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bytewise, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token="<|endoftext|>"
    )
    fast.chat_template = CHATML
    fast.save_pretrained(folder)


def weights(config: LlamaConfig, folder: Path) -> None:
    """Every tensor of the model, drawn as transformers draws it; norms are ones."""
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in LlamaForCausalLM(config).state_dict().items()}
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    torch.manual_seed(0)
    shards: list[dict[str, torch.Tensor]] = [{}]
    places, held, total = {}, 0, 0

    def write() -> None:
        save_file(shards[-1], folder / f"model-{len(shards):05}.safetensors", metadata={"format": "pt"})

    for name, shape in shapes.items():
        is_norm = len(shape) == 1
        drawn = torch.ones(shape, device=device) if is_norm else torch.empty(shape, device=device).normal_(0, 0.02)
        tensor = drawn.to(torch.bfloat16).cpu()
        if held + tensor.nbytes > SHARD_BYTES and shards[-1]:
            write()
            shards[-1] = dict.fromkeys(shards[-1])  # type: ignore[arg-type]
            shards.append({})
            held = 0
        shards[-1][name] = tensor
        places[name] = f"model-{len(shards):05}.safetensors"
        held, total = held + tensor.nbytes, total + tensor.nbytes
    write()
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def main() -> None:
    sizes, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
    vocabulary, hidden, inner, layers, heads, shared = sizes
    folder.mkdir(parents=True)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=shared, max_position_embeddings=4096, bos_token_id=1,
        eos_token_id=2, pad_token_id=0, tie_word_embeddings=False, dtype="bfloat16", architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    config.save_pretrained(folder)
    tokenizer(folder)
    weights(config, folder)


if __name__ == "__main__":
    main()
