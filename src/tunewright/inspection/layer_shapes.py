"""Layers of the Llama build against the sizes of the config: a tensor that a block lacks, or that has another shape.

Only for types whose blocks are all equal and whose layers have these names; others transformers checks when it loads.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tunewright.errors import Problem
from tunewright.inspection.architectures import FAMILIES, LLAMA
from tunewright.inspection.config_sizes import ConfigJson
from tunewright.inspection.tensor_names import listed, natural

Shapes = Mapping[str, Sequence[int]]
# Sizes that change from block to block, or that more keys than these decide.
OF_OWN_SIZES = ("gemma4", "gemma4_text")
BLOCK = re.compile(r"^model\.layers\.(\d+)\.(.+\.(?:weight|bias))$")
ENDS = ("model.embed_tokens.weight", "model.norm.weight")
WITHOUT_NORM = ("olmo",)  # its norms have no parameters


def layer_problems(folder: Path, config: ConfigJson, sizes: Mapping[str, int], shapes: Shapes) -> Iterator[Problem]:
    """E316 and E318 by the names of the tensors."""
    model_type = config["model_type"]
    family = FAMILIES[model_type]
    if family.roles is not LLAMA or family.experts or family.refused or model_type in OF_OWN_SIZES:
        return
    missing = [*_missing_in_blocks(shapes, sizes["num_layers"])]
    missing += [name for name in ENDS if name not in shapes and not (model_type in WITHOUT_NORM and "norm" in name)]
    if missing:
        names = listed(sorted(missing, key=natural))
        yield Problem("E316", values={"folder": str(folder), "count": len(missing), "names": names})
    wanted = _wanted(config, sizes)
    odd = {
        name: wanted[match[2]]
        for name, shape in shapes.items()
        if (match := BLOCK.match(name)) and list(shape) != wanted.get(match[2], list(shape))
    }
    if odd:
        ordered = sorted(odd, key=natural)
        names = listed([f"{name} ({_times(shapes[name])} / {_times(odd[name])})" for name in ordered])
        yield Problem("E318", values={"folder": str(folder), "count": len(odd), "names": names})


def _missing_in_blocks(shapes: Shapes, count: int) -> Iterator[str]:
    """What one of the first `count` blocks has and another lacks; blocks that are missing entirely are reported elsewhere."""
    blocks: dict[str, set[str]] = {}
    for name in shapes:
        if (match := BLOCK.match(name)) and int(match[1]) < count:
            blocks.setdefault(match[1], set()).add(match[2])
    every = set[str]().union(*blocks.values())
    for number, present in blocks.items():
        yield from (f"model.layers.{number}.{rest}" for rest in every - present)


def _wanted(config: ConfigJson, sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """Rows and columns of a block's layers, as config.json describes them."""
    hidden, inner, head = sizes["hidden_size"], sizes["intermediate_size"], sizes["head_dim"]
    query, shared = sizes["num_attention_heads"] * head, sizes["num_key_value_heads"] * head
    wanted = {"q_proj": [query, hidden], "k_proj": [shared, hidden], "v_proj": [shared, hidden]}
    attention = {f"self_attn.{name}.weight": shape for name, shape in (wanted | {"o_proj": [hidden, query]}).items()}
    if type(config.get("intermediate_size")) is not int:
        return attention
    feeding = {"gate_proj": [inner, hidden], "up_proj": [inner, hidden], "down_proj": [hidden, inner]}
    return attention | {f"mlp.{name}.weight": shape for name, shape in feeding.items()}


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
