"""A config's sizes under one set of names, whatever its family calls them; sizes that no model can have are refused."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunewright.errors import Problem, Where, errors_of
from tunewright.i18n import N_

ConfigJson = Mapping[str, Any]
Sizes = dict[str, int]
# Types whose first position is that after the padding's id, so that their table has fewer places than rows.
PADDED_POSITIONS = frozenset({
    "camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm",
    "xlm-roberta", "xlm-roberta-xl", "xmod",
})  # fmt: skip
LARGEST = 2**31 - 1
COUNTS = (
    "hidden_size", "n_embd", "d_model", "dim", "num_hidden_layers", "n_layer", "num_layers", "n_layers",
    "num_decoder_layers", "num_attention_heads", "n_head", "num_heads", "n_heads", "attention_heads",
    "encoder_attention_heads", "decoder_attention_heads", "num_key_value_heads", "num_kv_heads", "head_dim", "d_kv",
    "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "d_ff", "decoder_ffn_dim", "hidden_dim", "vocab_size",
    "max_position_embeddings", "n_positions", "max_seq_len",
)  # fmt: skip
OWN_HEAD_SIZE = ("head_dim", "d_kv", "qk_nope_head_dim", "attention_head_dim", "kv_channels")


def read_sizes(config: ConfigJson, path: Path) -> Sizes:
    """Sizes under the names of every family. Raises: ModelError E319 for each that no model can have."""
    problems = [
        Problem("E319", Where(str(path)), {"file": str(path), "key": key, "value": _shown(value), "wanted": wanted})
        for key, value, wanted in _nonsense(config)
    ]
    if problems:
        raise errors_of(problems)
    return _sizes(config)


def _nonsense(config: ConfigJson) -> Iterator[tuple[str, Any, str]]:
    """Keys whose value is not a size, and heads that do not share the hidden size evenly."""
    inner = {name: config[name] for name in ("text_config", "encoder", "decoder") if isinstance(config.get(name), dict)}
    for where, part in {"": config, **inner}.items():
        dot = f"{where}." if where else ""
        wrong = [key for key in COUNTS if not _is_size(part.get(key))]
        yield from ((dot + key, part[key], N_("a whole number from 1 to 2147483647 is needed")) for key in wrong)
        if not wrong:
            yield from ((dot + key, value, wanted) for key, value, wanted in _uneven(part))


def _is_size(value: Any) -> bool:
    """Nothing and a list (one size for each layer) stay unchanged."""
    return value is None or isinstance(value, list) or (type(value) is int and 1 <= value <= LARGEST)


def _uneven(part: ConfigJson) -> Iterator[tuple[str, int, str]]:
    hidden = _first(part, "hidden_size", "n_embd", "d_model", "dim")
    for key in ("num_attention_heads", "n_head", "n_heads"):
        heads = _first(part, key)
        if heads and hidden % heads and not any(part.get(name) for name in OWN_HEAD_SIZE):
            yield key, heads, N_("it must divide the hidden size, as head_dim is not set")
    heads, shared = _first(part, "num_attention_heads"), _first(part, "num_key_value_heads")
    if heads and shared and heads % shared:
        yield "num_key_value_heads", shared, N_("it must divide num_attention_heads")
    if part.get("model_type") in PADDED_POSITIONS and _positions(part) < 1:
        yield (
            "max_position_embeddings",
            part["max_position_embeddings"],
            N_("none of them is left after the padding's id"),
        )


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, int | float | str) else type(value).__name__
    return text if len(text) <= 40 else f"{text[:20]}... ({len(text)})"


def _sizes(config: ConfigJson) -> Sizes:
    if isinstance(config.get("encoder"), dict) and isinstance(config.get("decoder"), dict):
        reads, writes = _sizes(config["encoder"]), _sizes(config["decoder"])
        positions = min(reads["max_position_embeddings"], writes["max_position_embeddings"])
        both = {"num_layers": reads["num_layers"], "num_decoder_layers": writes["num_layers"]}
        return {**writes, **both, "max_position_embeddings": positions}
    text = config.get("text_config", config)
    hidden = _first(text, "hidden_size", "n_embd", "d_model", "dim")
    kinds = text.get("layers_block_type")
    blocks = len(kinds) if isinstance(kinds, list) else 0
    layers = _first(text, "encoder_layers", "num_hidden_layers", "n_layer", "num_layers", "n_layers", default=blocks)
    heads = _first(
        text, "decoder_attention_heads", "num_attention_heads", "n_head", "num_heads", "n_heads", "attention_heads"
    )
    inner = _first(
        text, "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "d_ff", "encoder_ffn_dim", "hidden_dim",
        default=4 * hidden,
    )  # fmt: skip
    decoder_layers = _first(text, "decoder_layers", "num_decoder_layers", default=layers)
    latent = _first(text, "qk_nope_head_dim") + _first(text, "qk_rope_head_dim") if "qk_nope_head_dim" in text else 0
    return {
        "num_layers": layers,
        "num_decoder_layers": decoder_layers if config.get("is_encoder_decoder") else 0,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": _key_value_heads(text, heads),
        "head_dim": latent or _first(text, "head_dim", "d_kv", default=hidden // max(1, heads)),
        "vocab_size": _first(text, "vocab_size"),
        "max_position_embeddings": _positions(text),
    }


def _key_value_heads(text: ConfigJson, heads: int) -> int:
    """Heads that keys and values have in the cache; Falcon's newer form repeats its few heads before it keeps them."""
    if text.get("new_decoder_architecture"):
        return heads
    return 1 if text.get("multi_query") else _first(text, "num_key_value_heads", "num_kv_heads", default=heads)


def _positions(text: ConfigJson) -> int:
    positions = _first(text, "max_position_embeddings", "n_positions", "max_seq_len", default=2048)
    is_padded = text.get("model_type") in PADDED_POSITIONS
    return positions - _first(text, "pad_token_id", default=1) - 1 if is_padded else positions


def _first(config: ConfigJson, *names: str, default: int = 0) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return int(config[name])
    return default
