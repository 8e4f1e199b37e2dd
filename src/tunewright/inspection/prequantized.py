"""A folder whose weights are stored in fewer bits already, or whose config.json says so, is not trained on."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.errors import Problem, Where, errors_of
from tunewright.inspection.config_sizes import ConfigJson
from tunewright.security import front_matter

PLAIN = {"F64", "F32", "F16", "BF16"}
# What the methods add to a layer, or put in the place of its weight.
PACKED = re.compile(
    r"\.(qweight|qzeros|scales|g_idx|absmax|quant_map|nested_absmax|SCB|weight_format|weight_packed|weight_scale(_inv)?"
    r"|input_scale|\w+_(blocks|scales))$|\.weight\.(absmax|quant_map|quant_state|nested)"
)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def refuse_packed(folder: Path, config: ConfigJson, tensors: Mapping[str, tuple[Sequence[int], str]]) -> None:
    """Any sign that weights are packed counts. Raises: ModelError E321."""
    quantization = config.get("quantization_config") or config.get("text_config", {}).get("quantization_config")
    packed = [name for name, (_shape, kind) in tensors.items() if PACKED.search(name) or kind.startswith("F8_")]
    if not quantization and not packed:
        return
    path = folder / "config.json"
    values = {"folder": str(folder), "method": _method(quantization) if quantization else packed[0]}
    if base := _base(folder):
        values["base"] = base
    if not packed and all(kind in PLAIN for _shape, kind in tensors.values()):
        values["config"] = str(path)
    raise errors_of([Problem("E321", Where(str(path)), values)])


def _method(config: Any) -> str:
    """transformers' name of the method, with the bits where they are given."""
    if not isinstance(config, dict):
        return "quantization_config"
    method = str(config.get("quant_method") or "quantization_config")[:40]
    bits = config.get("bits") or (4 if config.get("load_in_4bit") else 8 if config.get("load_in_8bit") else None)
    return f"{method}, {bits} bit" if isinstance(bits, int) else method


def _base(folder: Path) -> str | None:
    """The model that the card names as the base."""
    named = front_matter(folder / "README.md").get("base_model")
    first = named[0] if isinstance(named, list) and named else named
    return first if isinstance(first, str) and HUB_ID.fullmatch(first) else None
