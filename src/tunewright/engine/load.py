"""Base model, tokenizer and adapters from folders, strictly: nothing loads partly, nothing runs code."""

from importlib.util import find_spec
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict, prepare_model_for_kbit_training
from safetensors import safe_open
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tunewright.data.tokenizer import TextTokenizer
from tunewright.errors import error
from tunewright.plan.plan import Plan
from tunewright.runs.checkpoints import MANIFEST, damage
from tunewright.spec.run import Run
from tunewright.trust import gate_model_folder

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def device() -> torch.device:
    """The device a run computes on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def base_name(plan: Plan) -> str:
    """What adapter_config.json calls the base: the Hub id, or the folder, so that bare PEFT finds it."""
    folder, name = plan.facts.model.folder, plan.facts.model.name
    is_hub_id = name.count("/") == 1 and not Path(name).exists() and not name.startswith((".", "/", "~"))
    return name if is_hub_id else folder


def load_base(run: Run, folder: Path, *, name: str) -> PreTrainedModel:
    """The frozen base in the planned precision; `name` is what the adapter will call it.

    Raises: ModelError E302, E303, E307, E311; ExportError E601 if quantization lacks its package.
    """
    gate_model_folder(folder)
    assert run.model.precision != "auto"
    dtype = DTYPES[run.model.precision]
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            quantization_config=_quantization(run.model.quantization, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    except (ValueError, KeyError, OSError) as fault:
        raise error("E311", reason=str(fault)) from fault
    model.config.name_or_path = model.name_or_path = name
    model.requires_grad_(False)
    return model


def _quantization(kind: str, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    if kind == "none":
        return None
    if find_spec("bitsandbytes") is None:
        raise error("E601", what=f"model.quantization: {kind}", extra="quant")
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def prepare_for_training(model: PreTrainedModel, run: Run) -> PreTrainedModel:
    """Quantised bases get PEFT's preparation; activation checkpointing is switched on where it was planned."""
    if run.model.quantization != "none":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if run.train.activation_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def load_hf_tokenizer(folder: Path, text: TextTokenizer) -> PreTrainedTokenizerBase:
    """transformers' tokenizer for saving beside the adapter, with the template the rows were written in."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    tokenizer.chat_template = text.chat_template
    return tokenizer


def read_adapter(folder: Path) -> dict[str, torch.Tensor]:
    """An adapter's tensors, all finite. Raises: ModelError E310."""
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise error("E310", reason=f"{path} is missing")
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise error("E310", reason=f"{broken[0]} holds NaN or infinity")
    return tensors


def load_adapter(base: PreTrainedModel, folder: Path) -> PeftModel:
    """The base with an adapter from a folder, for use. Raises: ModelError E310 if any tensor finds no place."""
    if (folder / MANIFEST).is_file() and (fault := damage(folder)):
        raise error("E310", reason=fault)
    stored = read_adapter(folder)
    model = PeftModel.from_pretrained(base, folder, is_trainable=False)
    _check_all_loaded(model, stored)
    return model.eval()


def restore_adapter(model: PeftModel, folder: Path) -> None:
    """Put an adapter's tensors into a model that has one of the same shape. Raises: ModelError E310."""
    if (folder / MANIFEST).is_file() and (fault := damage(folder)):
        raise error("E310", reason=fault)
    stored = read_adapter(folder)
    with torch.no_grad():
        for name, tensor in _adapter_tensors(model).items():
            if name not in stored:
                raise error("E310", reason=f"{name} is missing in {folder}")
            tensor.copy_(stored[name])
    _check_all_loaded(model, stored)


def _adapter_tensors(model: PeftModel) -> dict[str, torch.Tensor]:
    """The adapter's tensors by the names they have in its file; they share the model's memory."""
    return dict(get_peft_model_state_dict(model, save_embedding_layers=False))


def _check_all_loaded(model: PeftModel, stored: dict[str, torch.Tensor]) -> None:
    present = _adapter_tensors(model)
    if set(present) != set(stored):
        odd = sorted(set(present) ^ set(stored))
        raise error("E310", reason=f"{len(odd)} tensors do not match, first {odd[0]}")
    for name, tensor in stored.items():
        if present[name].shape != tensor.shape:
            raise error("E310", reason=f"{name}: {tuple(tensor.shape)} stored, {tuple(present[name].shape)} expected")
        if not torch.equal(present[name].detach().cpu(), tensor.to(present[name].dtype)):
            raise error("E310", reason=f"{name} was not loaded")
