"""A tiny Llama with a byte-level tokenizer, and its weights and adapters as GGUF by `gguf` itself: no converter, milliseconds.

The converter knows published tokenizers only; this one has few tokens, so that a model learns with it in seconds. It splits as
SmolLM2's does (each digit alone), and holds longer numbers that another pre-tokenizer would use.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

HEADS = 4
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TURN = "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
CHATML = (
    "{% for message in messages %}" + TURN + "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)  # fmt: skip
SIZE = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
    "intermediate_size": 128, "max_position_embeddings": 512, "tie_word_embeddings": False,
}  # fmt: skip


def make_tokenizer(folder: Path, texts: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer for these texts, saved as transformers does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts * 10, trainer)
    by_digits = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(by_digits)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[1], eos_token=SPECIAL[2], pad_token=SPECIAL[0]
    )  # fmt: skip
    fast.chat_template = CHATML
    fast.save_pretrained(folder)
    return fast


def make_model(vocab_size: int) -> PreTrainedModel:
    """A random Llama."""
    config = AutoConfig.for_model("llama", vocab_size=vocab_size, bos_token_id=1, eos_token_id=2, **SIZE)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model


def write_model(folder: Path, target: Path) -> Path:
    """The model of a transformers folder as a GGUF file in fp32."""
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_type("model")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(config["hidden_size"] // HEADS)
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    _add_tokenizer(writer, folder)
    for name, values in load_file(folder / "model.safetensors").items():
        writer.add_tensor(_renamed(name), _permuted(name, values))
    _finish(writer)
    return target


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path) -> None:
    stored = json.loads((folder / "tokenizer.json").read_text())
    vocabulary: Mapping[str, int] = stored["model"]["vocab"]
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    kinds = [gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in stored["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)


def write_adapter(folder: Path, target: Path) -> Path:
    """The LoRA adapter of a PEFT folder as a GGUF file in fp32, with its effective alpha."""
    config = json.loads((folder / "adapter_config.json").read_text())
    alpha = config["lora_alpha"] * (math.sqrt(config["r"]) if config["use_rslora"] else 1.0)
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(alpha))
    for name, values in load_file(folder / "adapter_model.safetensors").items():
        module, _dot, side = name.removeprefix("base_model.model.").removesuffix(".weight").rpartition(".")
        weight = f"{module}.weight"
        array = _permuted(weight, values) if side == "lora_B" else values
        writer.add_tensor(f"{_renamed(weight)}.{side.lower()}", np.ascontiguousarray(array))
    _finish(writer)
    return target


def _renamed(name: str) -> str:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, SIZE["num_hidden_layers"])
    renamed = names.get_name(name, try_suffixes=(".weight",))
    assert renamed is not None, name
    return renamed


def _permuted(name: str, values: np.ndarray) -> np.ndarray:
    """Rows of queries and keys in the order in which llama.cpp turns them."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return values
    shape = values.shape
    return np.ascontiguousarray(values.reshape(HEADS, 2, shape[0] // HEADS // 2, -1).swapaxes(1, 2).reshape(shape))


def in_torch_order(values: np.ndarray) -> np.ndarray:
    """What `_permuted` did, undone."""
    shape = values.shape
    return np.ascontiguousarray(values.reshape(HEADS, shape[0] // HEADS // 2, 2, -1).swapaxes(1, 2).reshape(shape))


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
