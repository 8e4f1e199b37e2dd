"""Base model, tokenizer and adapters from folders, strictly: nothing is loaded partly, no code of a model is run."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, set_seed
from transformers.pytorch_utils import Conv1D

from tunewright.config.methods import METHODS
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.engine.models.finite import first_not_finite
from tunewright.engine.models.loaded_weights import check_loaded
from tunewright.engine.models.quantization import prepare, quantization_config
from tunewright.engine.system.device import CPU, device, is_on_cpu
from tunewright.engine.system.heap import return_large_blocks
from tunewright.engine.system.oom import ran_out, reason_of
from tunewright.engine.tasks.task_registry import task_of
from tunewright.errors import error
from tunewright.i18n import N_, Phrase
from tunewright.inspection.weight_shards import headers
from tunewright.kernels.cpu_matmul import is_int8_exact
from tunewright.kernels.int8 import to_int8
from tunewright.kernels.mixed_precision import to_mixed
from tunewright.planning.peft_kwargs import HEADS, LABELLED
from tunewright.planning.run_plan import Plan
from tunewright.rundir.checkpoints import MANIFEST, damage
from tunewright.security import gate_adapter, gate_model_folder, safetensors_header

logger = logging.getLogger(__name__)

Tensors = dict[str, torch.Tensor]
# What weights are stored in.
DTYPES = {"fp32": torch.float32, "mixed": torch.bfloat16, "bf16": torch.bfloat16, "fp16": torch.float16}


def base_name(plan: Plan) -> str:
    """What adapter_config.json calls the base: the Hub id, or the folder, so that bare PEFT finds it."""
    folder, name = plan.facts.model.folder, plan.facts.model.name
    is_hub_id = name.count("/") == 1 and not Path(name).exists() and not name.startswith((".", "/", "~"))
    return name if is_hub_id else folder


def load_base(plan: Plan, tokenizer: TextTokenizer, *, is_sharded: bool = False) -> PreTrainedModel:
    """The frozen base in the planned precision, with the planned labels; a head that it lacks is initialized from the seed.

    One that will be sharded stays in the host's memory, where the files are mapped once for all processes (shard_base.py).
    Raises: ModelError E302, E303, E307, E309, E311, E315 to E318, E320; ExportError E601 if quantization lacks its package.
    """
    run, folder = plan.run, Path(plan.facts.model.folder)
    gate_model_folder(folder)
    dtype = DTYPES[run.model.precision]
    kind = run.model.quantization
    heads = (*HEADS, *plan.facts.model.fresh_heads.get(run.task, ())) if run.task in LABELLED else ()
    by_int8 = "int8" in plan.fast_paths and is_int8_exact()
    if kind != "none" and not by_int8:
        return_large_blocks()
    set_seed(run.train.seed)
    stored = headers(folder)
    try:
        model, info = task_of(plan).auto_class.from_pretrained(
            folder,
            dtype=dtype,
            quantization_config=quantization_config("none" if by_int8 else kind, dtype, heads),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            # Each tensor goes there as it is read.
            device_map=None if is_sharded or is_on_cpu() else {"": device()},
            ignore_mismatched_sizes=True,  # they are in the info, and refused by name below
            **label_settings(plan),
        )
    except (ValueError, KeyError, OSError) as fault:
        raise error("E311", reason=str(fault)) from fault
    except RuntimeError as fault:
        if ran_out(fault):
            raise
        raise error("E311", reason=reason_of(fault)) from fault
    check_loaded(model, info, plan, stored)
    if run.task in LABELLED:
        # A decoder that classifies finds the end of a row by this id.
        model.config.pad_token_id = tokenizer.pad_id
    model.config.name_or_path = model.name_or_path = base_name(plan)
    if by_int8:
        to_int8(model, heads)
    quantization = "int8 kernels" if by_int8 else f"quantization {kind}"
    logger.info("loaded %s from %s: %s, %s", type(model).__name__, folder, dtype, quantization)
    is_plain = kind == "none" or by_int8
    model = model.requires_grad_(False).to(CPU if is_sharded else device()) if is_plain else prepare(model)
    return to_mixed(model, heads, device().type) if run.model.precision == "mixed" else model


def label_settings(plan: Plan) -> dict[str, object]:
    """Config values of a classification head: how many labels, their names, and the problem type."""
    if plan.run.task not in LABELLED:
        return {}
    names, problem_type = plan.facts.data.labels, plan.facts.data.problem_type
    if problem_type == "regression":
        return {"num_labels": 1, "problem_type": problem_type}
    known: dict[str, object] = {
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
    }
    kind = {"problem_type": problem_type} if problem_type else {}
    return {"num_labels": len(names), **known, **kind}


def load_hf_tokenizer(folder: Path, text: TextTokenizer) -> PreTrainedTokenizerBase:
    """transformers' tokenizer for saving beside the adapter, with the template the rows were written in."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    tokenizer.chat_template = text.chat_template
    return tokenizer


def read_adapter(folder: Path) -> Tensors:
    """An adapter's tensors, all finite. Raises: ModelError E309, E310."""
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise error("E310", reason=Phrase(N_("{name} is missing"), name=path))
    safetensors_header(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    broken = first_not_finite(tensors.items())
    if broken:
        raise error("E310", reason=Phrase(N_("{name} holds NaN or infinity"), name=broken))
    return tensors


def load_adapter(base: PreTrainedModel, folder: Path) -> PeftModel:
    """The base with an adapter from a folder, for inference; which base the folder names does not matter.

    Raises: ModelError E310 if any tensor finds no place, E303, E307, E309, E315 if the folder is not to be trusted.
    """
    if (folder / MANIFEST).is_file() and (fault := damage(folder)):
        raise error("E310", reason=fault)
    gate_adapter(folder, _layers(base), {name.upper() for name in METHODS})
    stored = read_adapter(folder)
    try:
        model = PeftModel.from_pretrained(base, folder, is_trainable=False)
    except (
        AttributeError,
        KeyError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as fault:  # what PEFT raises for an invalid config
        lines = str(fault).split("\n", 2)[:2]  # the first line says only that tensors do not fit
        raise error("E310", reason=" ".join(map(str.strip, lines))) from fault
    _check_all_loaded(model, stored)
    logger.info("loaded the adapter in %s: %d tensors", folder, len(stored))
    return model.eval()


def _layers(base: PreTrainedModel) -> dict[str, tuple[int, int]]:
    """Input and output size of each layer that an adapter can be attached to."""
    sizes = {}
    for name, module in base.named_modules():
        if isinstance(module, nn.Linear):
            sizes[name] = (module.in_features, module.out_features)
        elif isinstance(module, nn.Embedding):
            sizes[name] = (module.num_embeddings, module.embedding_dim)
        elif isinstance(module, Conv1D):
            sizes[name] = (module.nx, module.nf)
    return sizes


def restore_adapter(model: PeftModel, folder: Path) -> None:
    """Copy an adapter's tensors into a model that has one of the same shape. Raises: ModelError E310."""
    if (folder / MANIFEST).is_file() and (fault := damage(folder)):
        raise error("E310", reason=fault)
    stored = read_adapter(folder)
    present = adapter_tensors(model)
    check_places(present, stored)
    with torch.no_grad():
        for name, tensor in present.items():
            tensor.copy_(stored[name])
    _check_all_loaded(model, stored)
    logger.info("restored %d adapter tensors from %s", len(stored), folder)


def adapter_tensors(model: PeftModel) -> Tensors:
    """The adapter's tensors by the names they have in its file; they share the model's memory."""
    return dict(get_peft_model_state_dict(model, save_embedding_layers=False))


def check_places(present: Mapping[str, torch.Tensor], stored: Mapping[str, torch.Tensor]) -> None:
    """Raises: ModelError E310 unless both have the same names, with the same shapes."""
    for what, names in (("missing", present.keys() - stored), ("not expected", stored.keys() - present)):
        if names:
            raise error("E310", reason=f"{what}: {len(names)} tensors, first {min(names)}")
    for name, tensor in stored.items():
        if present[name].shape != tensor.shape:
            raise error("E310", reason=f"{name}: {tuple(tensor.shape)} stored, {tuple(present[name].shape)} expected")


def _check_all_loaded(model: PeftModel, stored: Tensors) -> None:
    present = adapter_tensors(model)
    check_places(present, stored)
    for name, tensor in stored.items():
        if not torch.equal(present[name].detach().cpu(), tensor.to(present[name].dtype)):
            raise error("E310", reason=Phrase(N_("{name} was not loaded"), name=name))
