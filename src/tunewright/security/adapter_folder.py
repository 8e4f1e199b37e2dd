"""An adapter's folder before PEFT opens it: no code, no other base, no sizes that its tensors do not explain."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from tunewright.errors import Where, error
from tunewright.i18n import N_, Phrase
from tunewright.security.json_file import read_json, walk
from tunewright.security.model_folder import PICKLES, refuse_code
from tunewright.security.paths import check_link
from tunewright.security.regex_timeout import pattern_fault
from tunewright.security.safetensors_header import TensorEntry, safetensors_header

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MAX_CONFIG_BYTES = 16 * 2**20  # AdaLoRA lists a truth value for every rank of every layer
MAX_NAMES = 10_000
# PEFT imports what the first two name, and hands the third to a loader of tokenizers.
_IMPORTED = ("auto_mapping", "megatron_config", "tokenizer_kwargs")
_USUAL_CORE = "megatron.core"
_KNOWN_PATHS = ("base_model_name_or_path", "tokenizer_name_or_path")
_NAMES = (
    "target_modules",
    "exclude_modules",
    "feedforward_modules",
    "modules_to_save",
    "layers_pattern",
    "target_parameters",
    "rank_pattern",
    "alpha_pattern",
)
_SIZES = (
    "r", "init_r", "target_r", "rank_pattern", "num_virtual_tokens", "token_dim", "num_transformer_submodules",
    "num_layers", "encoder_hidden_size", "encoder_num_layers", "n_frequency", "block_size", "oft_block_size",
    "boft_block_size", "boft_block_num", "boft_n_butterfly_factor",
)  # fmt: skip
_USUAL_SIZE = 1024  # VeRA's ranks may be larger than the layers of a small model
_A, _B = ("lora_A.weight", "lora_A", "lora_embedding_A"), ("lora_B.weight", "lora_B", "lora_embedding_B")
_PREFIX = "base_model.model."
Layers = Mapping[str, tuple[int, int]]


def gate_adapter(folder: Path, layers: Layers, kinds: Collection[str]) -> dict[str, object]:
    """The adapter's config, once it asks for nothing but what its tensors and this base explain.

    `layers` are the base's layers with values in and out, `kinds` the types of adapters that are known. The base that
    the config names is ignored: the adapter is put on the requested one.
    Raises: ModelError E303 (pickled), E307 (code), E309 (damaged), E310 (does not fit), E315 (links that leave).
    """
    path, weights = folder / CONFIG, folder / WEIGHTS
    for file in sorted(folder.iterdir()):
        check_link(folder, file)
    if not weights.is_file():
        pickled = next((file for file in sorted(folder.iterdir()) if file.suffix in PICKLES), None)
        raise (
            error("E303", Where(str(pickled)), file=str(pickled))
            if pickled
            else _misfit(Phrase(N_("{name} is missing"), name=weights))
        )
    if not path.is_file():
        raise _misfit(Phrase(N_("{name} is missing"), name=path))
    config = read_json(path, max_bytes=MAX_CONFIG_BYTES)
    refuse_code(path, config)
    _refuse_imports(path, config)
    kind = config.get("peft_type")
    if not isinstance(kind, str) or kind not in kinds:
        raise _misfit(Phrase(N_("adapters of type {kind} are not known"), kind=kind))
    header = safetensors_header(weights)
    _check_names(config, [*layers])
    _check_sizes(config, layers, header)
    _check_lora(config, layers, header)
    return config


def _refuse_imports(path: Path, config: Mapping[str, object]) -> None:
    for key, value, _depth in walk(dict(config)):
        is_path = key.endswith(("_file", "_path")) and key not in _KNOWN_PATHS
        if value and (key in _IMPORTED or is_path or (key == "megatron_core" and value != _USUAL_CORE)):
            raise error("E307", Where(str(path)), file=str(path), key=key)


def _check_names(config: Mapping[str, object], names: list[str]) -> None:
    patterns: set[object] = set()
    for key in _NAMES:
        value = config.get(key)
        if value is not None and not isinstance(value, str | list | dict):
            raise _misfit(Phrase(N_("{name} names no modules"), name=key))
        if isinstance(value, list | dict) and len(value) > MAX_NAMES:
            raise _misfit(f"{key} has {len(value)} entries")
        listed = [value] if isinstance(value, str) else [*(value or ())]
        if not all(isinstance(name, str) for name in listed):
            raise _misfit(Phrase(N_("{name} names no modules"), name=key))
        patterns.update(listed)
    if fault := pattern_fault(patterns, names):
        raise _misfit(fault)


def _check_sizes(config: Mapping[str, object], layers: Layers, header: Mapping[str, TensorEntry]) -> None:
    """PEFT makes room for the sizes of the config before it looks at the file."""
    sides = [side for pair in layers.values() for side in pair]
    stored = [side for entry in header.values() for side in entry["shape"]]
    # Initial values subtracted from the base are restored at twice the rank (engine/export/save_model.py).
    for_ranks = max(2 * max(sides, default=0), _USUAL_SIZE)
    for key in _SIZES:
        limit = for_ranks if key in ("r", "init_r", "target_r", "rank_pattern") else max(for_ranks, *stored, 0)
        for _key, value, _depth in walk(config.get(key)):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and not 0 <= value <= limit:
                raise _misfit(f"{key}={value} is more than this model and the adapter's tensors explain")


def _check_lora(config: Mapping[str, object], layers: Layers, header: Mapping[str, TensorEntry]) -> None:
    """Factors of known layers have the shapes (r, in) and (out, r)."""
    r = max((value for value in _ranks(config)), default=0)
    for name, entry in header.items():
        path, shape = name.removeprefix(_PREFIX), entry["shape"]
        layer, _dot, end = path.rpartition(".lora_")
        end = f"lora_{end}"
        if layer not in layers or end not in (*_A, *_B):
            continue
        into, out = layers[layer]
        rank, side, wanted = (shape[0], shape[-1], into) if end in _A else (shape[-1], shape[0], out)
        if len(shape) != 2 or side != wanted or not 0 < rank <= r:
            raise _misfit(f"{name}: {tuple(shape)} stored, r={r} and {into} values in, {out} out expected")


def _ranks(config: Mapping[str, object]) -> Iterator[int]:
    for key in ("r", "init_r", "rank_pattern"):
        for _key, value, _depth in walk(config.get(key)):
            if type(value) is int:
                yield value


def _misfit(reason: str) -> Exception:
    return error("E310", reason=reason)
