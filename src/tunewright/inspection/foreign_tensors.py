"""Names that a wrapper around the model, or an adapter in it, left in its file. transformers finds no place for them."""

import re
from collections.abc import Iterable
from pathlib import Path

from tunewright.errors import Where, error
from tunewright.inspection.architectures import FAMILIES
from tunewright.inspection.tensor_names import listed
from tunewright.security import python_line

# What torch.compile, FSDP and activation checkpointing put in front of the module that they wrap, at any depth.
INNER = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
# DataParallel, and DDP, wrap the model as a whole; scripts of one's own call what they hold `model`.
OUTER = "module."
HOLDER = "model."
OF_ADAPTERS = re.compile(
    r"^base_model\.model\.|\.base_layer\.(weight|bias)$|(^|\.)(lora_(A|B|E|magnitude_vector|embedding_[AB])|ia3_l|vera_lambda_[bd]"
    r"|hada_w[12]_[ab]|lokr_w[12](_[ab])?|oft_r|boft_[Rs]|prompt_encoder)(\.|$)"
)


def refuse_foreign_names(folder: Path, model_type: str, names: Iterable[str], *, is_known: bool) -> None:
    """`is_known`: the model is text alone, of a family of the table.

    Raises: ModelError E327 for names with a wrapper's prefix, E328 for tensors of an adapter.
    """
    everything, prefixes = list(names), list[str]()
    if is_known and (added := [name for name in everything if OF_ADAPTERS.search(name)]):
        raise error("E328", Where(str(folder)), folder=str(folder), count=len(added), names=listed(added))
    plain = everything
    for part in INNER:
        if any(name.startswith(part) or f".{part}" in name for name in plain):
            plain, prefixes = [name.replace(part, "") for name in plain], [*prefixes, part]
    if all(name.startswith(OUTER) for name in plain):
        plain, prefixes = [name.removeprefix(OUTER) for name in plain], [*prefixes, OUTER]
    if is_known and _is_held(plain, model_type):
        prefixes.append(HOLDER)
    if prefixes:
        raise error("E327", Where(str(folder)), **_described(folder, everything, prefixes))


def _is_held(names: list[str], model_type: str) -> bool:
    """Whether all names begin with `model.` though this family's own do not, or begin with it twice."""
    if not all(name.startswith(HOLDER) for name in names):
        return False
    return FAMILIES[model_type].base != "model" or any(name.startswith(HOLDER * 2) for name in names)


def _described(folder: Path, names: list[str], prefixes: list[str]) -> dict[str, object]:
    touched = [name for name in names if any(part in name for part in prefixes)]
    values: dict[str, object] = {
        "folder": str(folder),
        "count": len(touched),
        "names": listed(touched),
        "prefixes": " ".join(dict.fromkeys(prefixes)),
    }
    path = folder / "model.safetensors"
    if path.is_file():
        inner = "".join(f".replace({part!r}, '')" for part in prefixes if part in INNER)
        outer = "".join(f".removeprefix({part!r})" for part in prefixes if part not in INNER)
        values["command"] = python_line(
            "from safetensors.torch import load_file, save_file",
            f"p = {str(path)!r}",
            f"save_file({{k{inner}{outer}: v for k, v in load_file(p).items()}}, p, {{'format': 'pt'}})",
        )
    return values
