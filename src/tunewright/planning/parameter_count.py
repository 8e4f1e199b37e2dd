"""How many parameters a method trains, in closed form; `tests/matrix/test_methods.py` compares each with PEFT's own count.

PEFT itself would have to import torch, which takes longer than a whole plan (docs/decisions/0008).

Sizes of a layer: `i` values in, `o` values out; `n` layers of a kind.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence

from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.tasks import Task
from tunewright.inspection.architectures import FAMILIES, UNKNOWN, matches
from tunewright.inspection.model_info import LinearGroup, ModelInfo

Groups = Sequence[LinearGroup]
Fields = Mapping[str, object]


def trainable_parameters(run: ResolvedConfig, model: ModelInfo, groups: Groups, num_labels: int) -> int:
    """Parameters that a run trains: the adapter's, and a fresh head's where the task has one."""
    fields = {**dict(run.peft), **run.peft.extra}
    if run.train.optim == "lorafa":  # A stays as it was drawn
        groups = [group.model_copy(update={"in_features": 0}) for group in groups]
    return (
        COUNTS[run.method](fields, model, groups)
        + head_parameters(fields, model, run.task, num_labels)
        + _biases(fields, model, groups)
        + _experts(fields, model)
        + _whole_modules(fields, model)
        + _tokens(fields, model)
    )


def head_parameters(fields: Fields, model: ModelInfo, task: Task, num_labels: int) -> int:
    """A fresh head: the layer of the labels, and the layers of hidden size before it that start random too."""
    if task not in ("seq_cls", "token_cls"):
        return 0
    family, hidden = FAMILIES.get(model.model_type, UNKNOWN), model.hidden_size
    saved = fields.get("modules_to_save") or []
    assert isinstance(saved, list)
    dense = len(set(family.heads.get(task, ())) & set(saved))
    if task == "seq_cls" and family.has_dense_classifier:
        dense += 1
    has_bias = model.kind != "decoder" or task == "token_cls"  # `score` of a decoder has none
    return dense * hidden * (hidden + 1) + num_labels * (hidden + has_bias)


def _biases(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    """The bias vectors that are also trained: of the adapted layers, or all there are."""
    if fields.get("bias") == "all":
        return model.num_bias_parameters
    return sum(g.out_features * g.count for g in groups if g.has_bias) if fields.get("bias") == "lora_only" else 0


def _experts(fields: Fields, model: ModelInfo) -> int:
    """LoRA beside each expert of the parameters that are named."""
    named = fields.get("target_parameters") or []
    assert isinstance(named, list)
    experts = [group for group in model.experts if any(matches(name, group.name) for name in named)]
    return sum(_number(fields, "r") * g.num_experts * (g.in_features + g.out_features) * g.count for g in experts)


def _tokens(fields: Fields, model: ModelInfo) -> int:
    """The rows of an embedding that are trained by themselves."""
    named = fields.get("trainable_token_indices") or []
    assert isinstance(named, list | Mapping)
    lists = list(named.values()) if isinstance(named, Mapping) else [named]
    return sum(len(indices) for indices in lists) * model.hidden_size


def _whole_modules(fields: Fields, model: ModelInfo) -> int:
    """Linear layers inside modules that are trained as a whole; their biases and norms are not counted."""
    named = fields.get("modules_to_save") or []
    assert isinstance(named, list)

    def size(group: LinearGroup) -> int:
        paths = group.paths or (group.name,)
        inside = sum(bool(set(path.split(".")) & set(named)) for path in paths)
        return inside * group.in_features * group.out_features

    return sum(size(group) for group in (*model.linear, *model.vocabulary))


def _number(fields: Fields, name: str, default: int = 0) -> int:
    value = fields.get(name, default)
    assert isinstance(value, int | float)
    return int(value)


def _low_rank(name: str, extra: int = 0) -> Callable[[Fields, ModelInfo, Groups], int]:
    """r x (in + out) for each layer, and `extra` more parameters for each rank."""

    def count(fields: Fields, model: ModelInfo, groups: Groups) -> int:
        ranks = [_mean_rank(fields, name, group) for group in groups]
        return round(
            sum(r * (g.in_features + g.out_features + extra) * g.count for r, g in zip(ranks, groups, strict=True))
        )

    return count


def _mean_rank(fields: Fields, name: str, group: LinearGroup) -> float:
    """The rank of a group's layers, on average: `rank_pattern` gives some their own, by the rule of peft's get_pattern_key."""
    patterns = fields.get("rank_pattern") or {}
    assert isinstance(patterns, Mapping)
    own = [
        next((rank for key, rank in patterns.items() if re.match(rf"(.*\.)?({key})$", path)), _number(fields, name))
        for path in group.paths or (group.name,)
    ]
    return sum(own) / len(own)


def _lora(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    vectors = bool(fields.get("use_dora")) + bool(fields.get("lora_bias"))
    return _low_rank("r")(fields, model, groups) + vectors * sum(g.out_features * g.count for g in groups)


def _ia3(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    feedforward = fields["feedforward_modules"]
    assert isinstance(feedforward, list | str)
    names = {feedforward} if isinstance(feedforward, str) else set(feedforward)
    return sum(
        (g.in_features if any(f"{g.paths[0] if g.paths else g.name}".endswith(n) for n in names) else g.out_features)
        * g.count
        for g in groups
    )


def _halves(model: ModelInfo) -> int:
    """Learned prompts precede the encoder and of the decoder."""
    return 2 if model.is_encoder_decoder else 1


def _prompt(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    return _halves(model) * _number(fields, "num_virtual_tokens") * model.hidden_size


def _prefix(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    """Keys and values of each layer; with a projection, the network that writes them."""
    tokens = _number(fields, "num_virtual_tokens")
    layers = model.num_decoder_layers or model.num_layers
    width = model.num_key_value_heads * model.head_dim
    if not fields.get("prefix_projection"):
        return tokens * layers * 2 * width
    inner = _number(fields, "encoder_hidden_size", width)
    return tokens * width + (width + 1) * inner + (inner + 1) * layers * 2 * width


def _p_tuning(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    """The vectors, and the network that writes them: three layers, or an LSTM in both directions and two layers."""
    inner, d = _number(fields, "encoder_hidden_size"), model.hidden_size
    vectors = _prompt(fields, model, groups)
    if fields.get("encoder_reparameterization_type") != "LSTM":
        return vectors + (d + 1) * inner + (inner + 1) * inner + (inner + 1) * d
    inputs = [d] + [2 * inner] * (_number(fields, "encoder_num_layers", 2) - 1)
    lstm = sum(2 * 4 * inner * (width + inner + 2) for width in inputs)
    return vectors + lstm + (2 * inner + 1) * 2 * inner + (2 * inner + 1) * d


def _vera(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    return sum((_number(fields, "r") + g.out_features) * g.count for g in groups)


def _oft(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    """One skew-symmetric block for each `oft_block_size` inputs."""
    size = _number(fields, "oft_block_size", 32)
    return sum(g.in_features // size * (size * (size - 1) // 2) * g.count for g in groups)


def _boft(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    size, factors = _number(fields, "boft_block_size", 4), _number(fields, "boft_n_butterfly_factor", 1)
    return sum((factors * g.in_features * size + g.out_features) * g.count for g in groups)


def _lokr(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    r, factor = _number(fields, "r"), _number(fields, "decompose_factor", -1)

    def of(group: LinearGroup) -> int:
        (in_m, in_n), (out_m, out_n) = _factors(group.in_features, factor), _factors(group.out_features, factor)
        first = out_m * in_m
        if fields.get("decompose_both") and r < max(out_m, in_m) / 2:
            first = r * (out_m + in_m)
        return first + (r * (out_n + in_n) if r < max(out_n, in_n) / 2 else out_n * in_n)

    return sum(of(group) * group.count for group in groups)


def _factors(size: int, factor: int) -> tuple[int, int]:
    """Two factors near the square root, as LyCORIS takes them (peft/tuners/lokr/layer.py)."""
    if factor > 0 and size % factor == 0:
        return factor, size // factor
    limit = size if factor == -1 else factor
    small = max(m for m in range(1, min(limit, math.isqrt(size)) + 1) if size % m == 0)
    return small, size // small


def _whole(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    """The norms; of linear layers that are trained as a whole their weights."""
    return sum(g.in_features * g.out_features * g.count for g in groups) or model.num_norm_parameters


def _frequencies(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    return sum(_number(fields, "n_frequency", 1000) * g.count for g in groups)


def _reflections(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    return sum(_number(fields, "r") * g.in_features * g.count for g in groups)


def _shards(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    return sum(_number(fields, "r") * g.out_features * g.count for g in groups)


def _circulant(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    return sum(g.in_features * g.out_features // _number(fields, "block_size") * g.count for g in groups)


def _delora(fields: Fields, model: ModelInfo, groups: Groups) -> int:
    return _low_rank("r")(fields, model, groups) + sum(g.count for g in groups)


COUNTS: Mapping[str, Callable[[Fields, ModelInfo, Groups], int]] = {
    "lora": _lora,
    "adalora": _low_rank("init_r", 1),
    "ia3": _ia3,
    "prefix_tuning": _prefix,
    "prompt_tuning": _prompt,
    "p_tuning": _p_tuning,
    "vera": _vera,
    "oft": _oft,
    "boft": _boft,
    "loha": lambda fields, model, groups: 2 * _low_rank("r")(fields, model, groups),
    "lokr": _lokr,
    "ln_tuning": _whole,
    "fourierft": _frequencies,
    "hra": _reflections,
    "miss": _shards,
    "c3a": _circulant,
    "delora": _delora,
}
