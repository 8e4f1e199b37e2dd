"""A model of one random block in a GGUF file, and LoRA adapters for it: what a server needs to answer, in milliseconds."""

from pathlib import Path

import gguf
import numpy as np

HIDDEN, FEED, HEADS = 32, 64, 2
CONTEXT = 2**16  # a server caps an answer at what the model was trained for
TURN = "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
CALLS = "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
START = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
CHATML = "{% for message in messages %}" + TURN + "<|im_end|>\n{% endfor %}" + START
TOOLS = "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}"
WITH_TOOLS = TOOLS + "{% for message in messages %}" + TURN + CALLS + "<|im_end|>\n{% endfor %}" + START
CHARACTERS = "".join(map(chr, range(32, 127))) + "\n"  # ASCII alone, so that every answer is one character a token
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END_IDS = (len(CHARACTERS), len(CHARACTERS) + 2)


def token_ids(text: str) -> list[int]:
    """The ids of a text: one for each character."""
    return [CHARACTERS.index(character) for character in text]


def _shapes() -> dict[str, tuple[int, ...]]:
    vocabulary = len(CHARACTERS) + len(SPECIAL)
    square, norm = (HIDDEN, HIDDEN), (HIDDEN,)
    block = {
        "attn_q": square, "attn_k": square, "attn_v": square, "attn_output": square, "attn_norm": norm, "ffn_norm": norm,
        "ffn_gate": (FEED, HIDDEN), "ffn_up": (FEED, HIDDEN), "ffn_down": (HIDDEN, FEED),
    }  # fmt: skip
    layer = {f"blk.0.{name}.weight": shape for name, shape in block.items()}
    return {"token_embd.weight": (vocabulary, HIDDEN), "output_norm.weight": norm, **layer}


def write_model(path: Path, template: str = CHATML) -> Path:
    """The model, the same at each call: it never ends by itself within a few dozen tokens."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens = [*CHARACTERS.replace(" ", "Ġ").replace("\n", "Ċ"), *SPECIAL]  # as GPT-2 writes them
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(CHARACTERS) + [gguf.TokenType.CONTROL] * len(SPECIAL))
    writer.add_token_merges(["~ ~"])  # an empty list is refused; this one merges into no token
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)
    random = np.random.default_rng(0)
    for name, shape in _shapes().items():
        values = np.ones(shape) if "norm" in name else random.normal(0, 0.5, shape)
        writer.add_tensor(name, values.astype(np.float32))
    _finish(writer)
    return path


def write_adapter(path: Path, seed: int, rank: int = 4) -> Path:
    """A LoRA adapter that changes what the model says; each seed in another way."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    random = np.random.default_rng(seed)
    for name in ("ffn_down", "attn_output"):
        rows, columns = _shapes()[f"blk.0.{name}.weight"]
        writer.add_tensor(f"blk.0.{name}.weight.lora_a", random.normal(0, 1, (rank, columns)).astype(np.float32))
        writer.add_tensor(f"blk.0.{name}.weight.lora_b", random.normal(0, 1, (rows, rank)).astype(np.float32).copy())
    _finish(writer)
    return path


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
