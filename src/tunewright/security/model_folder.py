"""A model's folder before anything in it is opened by a library: nothing in it can run code or lead elsewhere."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunewright.errors import Where, error
from tunewright.i18n import N_, Phrase
from tunewright.security.json_file import read_json, walk
from tunewright.security.paths import check_link
from tunewright.security.safetensors_header import shards

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
MODEL_TYPE = re.compile(r"[A-Za-z0-9_.-]+")
NATIVE = ("falcon", "phi", "phi3", "mpt", "starcoder2")
# Keys through which a config reaches an importer (CVE-2026-4372, CVE-2026-5241).
_IMPORTED = ("auto_map", "custom_generate", "custom_pipelines")
_ADAPTER = "adapter_config.json"
_MAX_CONFIG_BYTES = 16 * 2**20


def gate_model_folder(folder: Path) -> dict[str, Any]:
    """The folder's config, once nothing in the folder can run code.

    Raises: ModelError E302 (no config, or an adapter), E303 (pickled weights only), E307 (keys that name code), E309
    (files that do not hold), E315 (links and names that lead elsewhere).
    """
    config_path = folder / "config.json"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        check_link(folder, path)
    if not config_path.is_file():
        raise error("E302", name=str(folder), reason=N_("config.json is missing"), builtin="smollm2")
    if (folder / _ADAPTER).exists():
        # transformers would load the base named in it, unseen by this gate.
        reason = Phrase(N_("it holds an adapter ({file}); name the base model"), file=_ADAPTER)
        raise error("E302", name=str(folder), reason=reason, builtin="smollm2")
    config = read_json(config_path, max_bytes=_MAX_CONFIG_BYTES)
    refuse_code(config_path, config)
    _check_kinds(config_path, config)
    for path in _other_configs(folder):
        refuse_code(path, read_json(path))
    for path in sorted(folder.glob("*.index.json")):
        shards(path)
    has_safe = any(folder.glob("*.safetensors"))
    pickled = [path for path in sorted(folder.iterdir()) if path.suffix in PICKLES and "model" in path.name]
    if pickled and not has_safe:
        raise error("E303", Where(str(pickled[0])), file=str(pickled[0]))
    return config


def _other_configs(folder: Path) -> Iterator[Path]:
    """Configs of tokenizer, generation, processors and other files named config."""
    return (path for path in sorted(folder.glob("*config*.json")) if path.name != "config.json")


def refuse_code(path: Path, content: Mapping[str, object]) -> None:
    """Raises: ModelError E307 for keys, at any depth, that make a library import or fetch code."""
    # Older repositories of these types carry code beside what transformers has itself; it is never asked for.
    is_native = content.get("model_type") in NATIVE
    for key, value, depth in walk(dict(content)):
        is_nameless_part = key == "model_type" and value == "" and depth > 1  # as transformers saves MPT's attention
        if _names_code(key, value) and not (key == "auto_map" and is_native) and not is_nameless_part:
            raise error("E307", Where(str(path)), file=str(path), key=key)


def _names_code(key: str, value: Any) -> bool:
    if key == "model_type":
        return value is not None and not (isinstance(value, str) and MODEL_TYPE.fullmatch(value))
    if key.endswith("_implementation"):  # "org/repo" is a kernel that is fetched and run
        return any(isinstance(part, str) and "/" in part for _key, part, _depth in walk(value))
    return key in _IMPORTED or key.endswith("_internal")


def _check_kinds(path: Path, config: Mapping[str, object]) -> None:
    """Values that are read before transformers sees them have the kind that is read. Raises: ModelError E309."""
    for key, value, _depth in walk(dict(config)):
        if key in ("text_config", "encoder", "decoder") and not isinstance(value, dict):
            raise error(
                "E309", Where(str(path)), file=str(path), reason=Phrase(N_("{name} is not an object"), name=key)
            )
    named = config.get("architectures")
    if named is not None and not (isinstance(named, list) and all(isinstance(name, str) for name in named)):
        raise error("E309", Where(str(path)), file=str(path), reason=N_("architectures is not a list of names"))
