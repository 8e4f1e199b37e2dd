"""How frozen weights are stored in fewer bits."""

from importlib.util import find_spec

import torch
from transformers import BitsAndBytesConfig

from tunewright.errors import error


def quantization_config(kind: str, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """bitsandbytes' settings for `8bit` or `4bit`; None for `none`. Raises: ExportError E601 without the package."""
    if kind == "none":
        return None
    if find_spec("bitsandbytes") is None:
        raise error("E601", what=f"model.quantization: {kind}", extra="quant")
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
