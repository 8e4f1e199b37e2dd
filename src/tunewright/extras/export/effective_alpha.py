"""What scale each factor of a LoRA adapter has, for engines that know one `lora_alpha` and divide it by the rank.

PEFT scales an update by alpha / r, with `use_rslora` by alpha / sqrt(r), where `alpha_pattern` and `rank_pattern` may say other
values for some layers. llama.cpp's converter writes `lora_alpha` alone and its engine divides by the rank of each tensor
(src/llama-adapter.h: `alpha / b->ne[0]`). So the patterns of ranks hold by themselves; the rest has to be put into the file.
Source: peft 0.21.2, tuners/lora/model.py and utils/other.py::get_pattern_key.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

from tunewright.inspection.weight_shards import Headers
from tunewright.security import read_json

_PREFIX = "base_model.model."
_A = (".lora_A.weight", ".lora_embedding_A")
_B = (".lora_B.weight", ".lora_embedding_B")


class LoraConfig(TypedDict, total=False):
    """What an export looks at in an adapter_config.json of PEFT; only `r` and `lora_alpha` are in that of every LoRA."""

    peft_type: str
    r: int
    lora_alpha: float
    use_rslora: bool
    use_dora: bool
    init_lora_weights: bool | str
    bias: str
    lora_bias: bool
    alpha_pattern: Mapping[str, float] | None
    modules_to_save: list[str] | None
    trainable_token_indices: object
    target_parameters: list[str] | None


def lora_config(path: Path) -> LoraConfig:
    """The config that PEFT wrote beside an adapter. Raises: ModelError E309."""
    return cast(LoraConfig, read_json(path))


@dataclass(frozen=True)
class EffectiveAlpha:
    """One alpha for the whole file, and what B of some tensors is multiplied by so that it holds for them too.

    `alpha` / rank is then the scale of every layer. `factors` is empty where one alpha is right for all.
    """

    alpha: float
    factors: Mapping[str, float]


def layer_of(name: str) -> str:
    """The layer's path in the base, of a tensor of the adapter's file; empty if it is no factor of LoRA."""
    for end in (*_A, *_B):
        if name.endswith(end):
            return name.removeprefix(_PREFIX).removesuffix(end)
    return ""


def effective_alpha(config: LoraConfig, tensors: Headers) -> EffectiveAlpha:
    """The alpha to write, from an adapter's config and the header of its weights (`security.safetensors_header`)."""
    by_layer = {
        layer_of(name): _alpha_of(layer_of(name), config, rank=entry["shape"][0])
        for name, entry in tensors.items()
        if name.endswith(_A)
    }
    alpha = next(iter(by_layer.values()), float(config["lora_alpha"]))
    factors = {
        name: by_layer[layer_of(name)] / alpha
        for name in tensors
        if name.endswith(_B) and not math.isclose(by_layer[layer_of(name)], alpha, rel_tol=1e-9)
    }
    return EffectiveAlpha(alpha, factors)


def _alpha_of(layer: str, config: LoraConfig, *, rank: int) -> float:
    """The alpha that gives this layer's scale when it is divided by its rank."""
    pattern = config.get("alpha_pattern") or {}
    alpha = next(
        (value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", layer)), config["lora_alpha"]
    )
    return float(alpha) * (math.sqrt(rank) if config.get("use_rslora") else 1.0)
