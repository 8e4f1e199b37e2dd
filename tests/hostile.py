"""What strangers could hand over: sound folders and files to be spoilt, and a count of what was tried."""

import json
import random
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TRIED: Counter[str] = Counter()
CONFIG: Mapping[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 512,
    "max_position_embeddings": 256, "tie_word_embeddings": True, "eos_token_id": 2, "rms_norm_eps": 1e-6,
}  # fmt: skip
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BLOCK = {
    "self_attn.q_proj": (16, 16), "self_attn.k_proj": (16, 16), "self_attn.v_proj": (16, 16), "self_attn.o_proj": (16, 16),
    "mlp.gate_proj": (32, 16), "mlp.up_proj": (32, 16), "mlp.down_proj": (16, 32),
    "input_layernorm": (16,), "post_attention_layernorm": (16,),
}  # fmt: skip


def llama_shapes() -> dict[str, tuple[int, ...]]:
    blocks = {f"model.layers.{i}.{name}.weight": shape for i in range(2) for name, shape in BLOCK.items()}
    return {"model.embed_tokens.weight": (512, 16), "model.norm.weight": (16,), **blocks}


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def safetensors(shapes: Mapping[str, Sequence[int]]) -> bytes:
    """A sound file of fp32 numbers, small and not all the same."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    numbers = struct.pack(f"<{end // 4}f", *(((i * 7919) % 101 - 50) / 1000 for i in range(end // 4)))
    return struct.pack("<Q", len(text)) + text + numbers


def tokenizer_folder(folder: Path, chat_template: str | None = CHATML) -> Path:
    """tokenizer.json and tokenizer_config.json of a byte-level tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(["user assistant hello"], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(folder / "tokenizer_config.json", config | ({"chat_template": chat_template} if chat_template else {}))
    return folder


def model_folder(folder: Path, **config: Any) -> Path:
    """A whole, sound and very small model."""
    tokenizer_folder(folder)
    write_json(folder / "config.json", {**CONFIG, **config})
    (folder / "model.safetensors").write_bytes(safetensors(llama_shapes()))
    return folder


LORA_CONFIG: Mapping[str, Any] = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "base", "r": 4, "lora_alpha": 8,
    "lora_dropout": 0.0, "bias": "none", "target_modules": ["q_proj"], "inference_mode": True, "auto_mapping": None,
    "megatron_config": None, "megatron_core": "megatron.core", "init_lora_weights": True,
}  # fmt: skip
LAYERS = {
    name.removesuffix(".weight"): (shape[1], shape[0]) for name, shape in llama_shapes().items() if len(shape) == 2
}


def lora_shapes(r: int = 4) -> dict[str, tuple[int, ...]]:
    prefix = "base_model.model.model.layers"
    a = {f"{prefix}.{i}.self_attn.q_proj.lora_A.weight": (r, 16) for i in range(2)}
    return a | {f"{prefix}.{i}.self_attn.q_proj.lora_B.weight": (16, r) for i in range(2)}


def adapter_folder(folder: Path, shapes: Mapping[str, Sequence[int]] | None = None, **config: Any) -> Path:
    """A whole adapter for such a model, with some of its config changed."""
    write_json(folder / "adapter_config.json", {**LORA_CONFIG, **config})
    (folder / "adapter_model.safetensors").write_bytes(safetensors(shapes or lora_shapes()))
    return folder


def mutants(content: bytes, count: int, head: int, seed: int = 0) -> list[bytes]:
    """Versions of a file with bytes flipped, replaced, cut out, put in or cut off within its first `head` bytes."""
    draw = random.Random(seed)
    edges = [
        b"\x00",
        b"\xff",
        b"\xff" * 8,
        b"\x00" * 8,
        struct.pack("<Q", 2**63 - 1),
        struct.pack("<I", 2**31),
        b'"',
        b"}",
    ]
    variants = []
    while len(variants) < count:
        changed = bytearray(content)
        for _ in range(draw.choice((1, 1, 1, 2, 5))):
            place = draw.randrange(min(head, len(changed)))
            kind = draw.randrange(5)
            if kind == 0:
                changed[place] ^= 1 << draw.randrange(8)
            elif kind == 1:
                piece = draw.choice(edges)
                changed[place : place + len(piece)] = piece
            elif kind == 2:
                del changed[place : place + draw.randrange(1, 9)]
            elif kind == 3:
                changed[place:place] = draw.choice(edges)
            else:
                changed[place] = draw.randrange(48, 58)  # a digit: other numbers in a header of text
        if draw.random() < 0.05:
            del changed[draw.randrange(len(changed)) :]
        if bytes(changed) != content and changed:
            variants.append(bytes(changed))
    return variants
