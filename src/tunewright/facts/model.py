"""A model from its folder's headers: shapes, layers, vocabulary. Nothing is loaded; standard library only."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunewright.errors import error
from tunewright.facts.base import Fact
from tunewright.trust import gate_model_folder, read_json, safetensors_header

DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


class LinearGroup(Fact):
    """All linear layers with one name: `q_proj`, 576 in, 576 out, 30 times."""

    name: str
    in_features: int
    out_features: int
    count: int
    paths: tuple[str, ...] = ()


class Model(Fact):
    """What the folder says about the model."""

    name: str
    folder: str
    tokenizer_folder: str
    digest: str
    model_type: str
    architecture: str
    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    max_position_embeddings: int
    num_parameters: int
    weight_bytes: int
    linear: tuple[LinearGroup, ...]
    has_chat_template: bool


Tensors = dict[str, tuple[list[int], str]]


def read_model(folder: Path, name: str, tensors: Tensors | None = None, tokenizer_folder: Path | None = None) -> Model:
    """Facts about a model folder; `tensors` (name -> shape, type) stand in for weights that are not there yet.

    Raises: ModelError E302, E303, E306, E307, E309.
    """
    config = gate_model_folder(folder)
    text = config.get("text_config", config)
    tensors = tensors or dict(_tensors(folder))
    if not tensors:
        raise error("E302", name=name, reason="there is no .safetensors file in it", builtin="smollm2")
    architecture = (config.get("architectures") or ["unknown"])[0]
    if not architecture.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
        raise error("E306", architecture=architecture, task="causal_lm")
    hidden = _first(text, "hidden_size", "n_embd", "d_model")
    heads = _first(text, "num_attention_heads", "n_head")
    return Model(
        name=name,
        folder=str(folder),
        tokenizer_folder=str(tokenizer_folder or folder),
        digest=hashlib.sha256(json.dumps([config, sorted(tensors.items())], sort_keys=True).encode()).hexdigest()[:16],
        model_type=str(config.get("model_type", "unknown")),
        architecture=architecture,
        num_layers=_first(text, "num_hidden_layers", "n_layer", "num_layers"),
        hidden_size=hidden,
        intermediate_size=_first(
            text, "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", default=4 * hidden
        ),
        num_attention_heads=heads,
        num_key_value_heads=_first(text, "num_key_value_heads", default=heads),
        vocab_size=_first(text, "vocab_size"),
        max_position_embeddings=_first(text, "max_position_embeddings", "n_positions", "max_seq_len", default=2048),
        num_parameters=sum(math.prod(shape) for shape, _ in tensors.values()),
        weight_bytes=sum(math.prod(shape) * DTYPE_BYTES.get(dtype, 4) for shape, dtype in tensors.values()),
        linear=tuple(_linear_groups(tensors)),
        has_chat_template=_has_chat_template(folder),
    )


def _first(config: dict[str, Any], *names: str, default: int = 0) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return int(config[name])
    return default


def _tensors(folder: Path) -> Iterator[tuple[str, tuple[list[int], str]]]:
    for path in _weight_files(folder):
        for name, entry in safetensors_header(path).items():
            yield name, (entry["shape"], entry["dtype"])


def _weight_files(folder: Path) -> list[Path]:
    """The files that make up the model: those of its index, the one file, or whatever safetensors there are."""
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.is_file():
        return [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
    return [single] if single.is_file() else sorted(folder.glob("*.safetensors"))


def _linear_groups(tensors: Tensors) -> list[LinearGroup]:
    """Two-dimensional weights inside numbered layers, by the last part of their name."""
    groups: dict[tuple[str, int, int], list[str]] = {}
    for name, (shape, _dtype) in tensors.items():
        parts = name.split(".")
        if parts[-1] == "weight" and len(shape) == 2 and any(part.isdigit() for part in parts):
            key = (parts[-2], shape[1], shape[0])
            groups.setdefault(key, []).append(name.removesuffix(".weight"))
    return [
        LinearGroup(name=n, in_features=i, out_features=o, count=len(paths), paths=tuple(paths))
        for (n, i, o), paths in groups.items()
    ]


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    path = folder / "tokenizer_config.json"
    return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8")).get("chat_template"))
