"""Writes what the config takes over from the installed transformers and peft: `python tools/upstream.py [--check]`.

Fields, their types and the tasks of each model go to `resources/upstream_fields.json`; the choices that mypy must know go
to `config/upstream_choices.py`. `--check` writes nothing and exits 1 if a file is stale.
"""

import dataclasses
import json
import subprocess
import sys
import types
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import peft
import transformers
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.models.auto import modeling_auto
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames, trainer_log_levels

SOURCE = Path(__file__).parent.parent / "src/tunewright"
FIELDS, CHOICES_MODULE = SOURCE / "resources/upstream_fields.json", SOURCE / "config/upstream_choices.py"
# The type of a field as JSON, which `config/upstream.py` reads: a name, an object such as {"list": "Text"}, or a list of
# alternatives.
Form = str | dict[str, Any] | list[Any]
CONFIGS = {
    "lora": peft.LoraConfig,
    "adalora": peft.AdaLoraConfig,
    "ia3": peft.IA3Config,
    "prefix_tuning": peft.PrefixTuningConfig,
    "prompt_tuning": peft.PromptTuningConfig,
    "p_tuning": peft.PromptEncoderConfig,
    "vera": peft.VeraConfig,
    "oft": peft.OFTConfig,
    "boft": peft.BOFTConfig,
    "loha": peft.LoHaConfig,
    "lokr": peft.LoKrConfig,
    "ln_tuning": peft.LNTuningConfig,
    "fourierft": peft.FourierFTConfig,
    "hra": peft.HRAConfig,
    "miss": peft.MissConfig,
    "c3a": peft.C3AConfig,
    "delora": peft.DeloraConfig,
}
INTERNAL = {
    "peft_type",
    "auto_mapping",
    "peft_version",
    "task_type",
    "inference_mode",
    "base_model_name_or_path",
    "revision",
    "runtime_config",
}

# What upstream's annotations leave open and its code does not: ranges and choices, by name of the field. A range is the
# type that the annotation gives and the narrower one that stands for it.
SHARES = (
    "adam_beta1",
    "adam_beta2",
    "beta1",
    "beta2",
    "boft_dropout",
    "encoder_dropout",
    "miss_dropout",
    "module_dropout",
    "rank_dropout",
    "vera_dropout",
)
AT_LEAST_0 = ("adam_epsilon", "eval_delay", "eps", "neftune_noise_alpha")
AT_LEAST_1 = (
    "oft_block_size",
    "dataloader_prefetch_factor",
    "deltaT",
    "encoder_num_layers",
    "eval_accumulation_steps",
    "n_frequency",
    "num_attention_heads",
    "num_cayley_neumann_terms",
    "num_layers",
    "num_transformer_submodules",
    "token_dim",
    "qalora_group_size",
    "delora_lambda",
)
COUNTS = ("boft_block_num", "boft_block_size", "boft_n_butterfly_factor", "mini_r")
SEEDS = ("random_loc_seed", "projection_prng_key")
INDICES = ("alora_invocation_tokens", "layers_to_transform", "trainable_token_indices")
MAPPING: Form = {"dict": "Loose"}
RANGES: dict[str, tuple[Form, Form]] = {
    **dict.fromkeys(SHARES, ("Number", "Share")),
    **dict.fromkeys(AT_LEAST_0, ("Number", "NotNegative")),
    **dict.fromkeys(AT_LEAST_1, ("Whole", "Positive")),
    **dict.fromkeys((*COUNTS, *INDICES, "layer_replication"), ("Whole", "Count")),
    **dict.fromkeys(SEEDS, ("Whole", "Seed")),
    **dict.fromkeys(("rank_pattern", "n_frequency_pattern", "block_size_pattern"), (MAPPING, {"dict": "Positive"})),
    **dict.fromkeys(("alpha_pattern", "lambda_pattern"), (MAPPING, {"dict": "Scale"})),
    "dataloader_num_workers": ("Whole", {"type": "Count", "maximum": 1024}),
    "decompose_factor": ("Whole", [{"choices": [-1]}, "Positive"]),
    "orth_reg_weight": ("Number", "Scale"),
}
CHOICES = {
    "dataloader_multiprocessing_context": ("fork", "forkserver", "spawn"),
    "debug": ("underflow_overflow",),
    "log_level": tuple(trainer_log_levels),
    "log_level_replica": tuple(trainer_log_levels),
    "train_sampling_strategy": ("random", "sequential"),
}

TASK_MAPPINGS = {
    "causal_lm": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "seq2seq": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "seq_cls": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "token_cls": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
}

# Choices that our own options have, too, by the name that they get in the file.
NAMED: dict[Any, str] = {OptimizerNames: "TransformersOptimizer", SchedulerType: "Scheduler"}


def names(cls: type, without: set[str]) -> list[str]:
    return sorted(f.name for f in dataclasses.fields(cls) if f.init and f.name not in without)


def form(name: str, hint: Any) -> Form:
    """The type of a field: upstream's annotation, and the range or choices that its code holds to."""
    if name in CHOICES:
        choices: Form = {"choices": list(CHOICES[name])}
        return [choices, "None"] if type(None) in get_args(hint) else choices
    annotated = annotation_form(hint)
    if name not in RANGES:
        return annotated
    wide, narrow = RANGES[name]
    narrowed = replaced(annotated, wide, narrow)
    assert narrowed != annotated, (name, annotated)
    return narrowed


def replaced(whole: Form, part: Form, substitute: Form) -> Form:
    """A form in which another form stands for one of its parts."""
    if whole == part:
        return substitute
    if isinstance(whole, list):
        return [replaced(inner, part, substitute) for inner in whole]
    if isinstance(whole, dict) and "choices" not in whole:
        return {key: replaced(inner, part, substitute) for key, inner in whole.items()}
    return whole


def annotation_form(hint: Any) -> Form:
    """An annotation as JSON; enums are their values, configs of upstream's own are mappings."""
    plain: dict[Any, Form] = {
        int: "Whole",
        float: "Number",
        bool: "bool",
        str: "Text",
        dict: MAPPING,
        type(None): "None",
        Any: "Any",
    }
    if hint in plain:
        return plain[hint]
    if hint in NAMED:
        return NAMED[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return union_form(inner)
    if origin is Literal:
        return literal_form(inner)
    if origin is tuple:
        return {"list": annotation_form(inner[0]), "length": len(inner)}
    if origin is list:
        return {"list": annotation_form(inner[0])}
    if origin is dict:
        assert inner[0] is str, hint
        return {"dict": annotation_form(inner[1])}
    if issubclass(hint, Enum):
        return {"choices": [member.value for member in hint]}
    assert dataclasses.is_dataclass(hint), hint
    return MAPPING


def union_form(members: tuple[Any, ...]) -> Form:
    """Alternatives, each once; a text beside an enum is the name of one of its values."""
    has_enum = any(isinstance(member, type) and issubclass(member, Enum) for member in members)
    alternatives: list[Any] = []
    for member in members:
        if has_enum and member is str:
            continue
        inner = annotation_form(member)
        alternatives += [each for each in (inner if isinstance(inner, list) else [inner]) if each not in alternatives]
    return alternatives if len(alternatives) > 1 else alternatives[0]


def literal_form(values: tuple[Any, ...]) -> Form:
    """Choices, and a pattern for a choice such as "pissa_niter_[number of iters]"."""
    choices: Form = {"choices": [value for value in values if "[" not in str(value)]}
    patterns = [{"pattern": f"^{value.partition('[')[0]}[0-9]{{1,3}}$"} for value in values if "[" in str(value)]
    return [choices, *patterns] if patterns else choices


def field_forms(cls: type, without: set[str]) -> dict[str, Form]:
    """The fields of a dataclass of upstream that can be set, with their types."""
    hints = get_type_hints(cls)
    return {name: form(name, hints[name]) for name in names(cls, without)}


def model_tasks() -> dict[str, list[str]]:
    """Model type -> tasks that transformers has a class for and that the model was pretrained for.

    Encoders have a causal class too, but were not trained to generate; what maps sounds to text is no text model.
    """
    encoders = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    tasks_of: dict[str, list[str]] = {}
    for task, mapping in TASK_MAPPINGS.items():
        for model_type in mapping:
            is_fit = {
                "causal_lm": model_type not in encoders,
                "seq2seq": transformers.CONFIG_MAPPING[model_type].is_encoder_decoder,
            }
            if is_fit.get(task, True):
                tasks_of.setdefault(model_type, []).append(task)
    return dict(sorted(tasks_of.items()))


def table(rows: dict[str, Any], indent: str) -> str:
    """A JSON object with each member on its line."""
    lines = (f"{indent} {json.dumps(name)}: {json.dumps(value)}" for name, value in rows.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def fields_json() -> str:
    """Text of `upstream_fields.json`."""
    peft_fields = ",\n".join(
        f'  "{method}": {table(field_forms(config, INTERNAL), "  ")}' for method, config in CONFIGS.items()
    )
    return (
        f'{{\n "versions": {{"transformers": "{transformers.__version__}", "peft": "{peft.__version__}"}},\n'
        f' "training_arguments": {table(field_forms(transformers.TrainingArguments, set()), " ")},\n'
        f' "peft_fields": {{\n{peft_fields}\n }},\n'
        f' "model_tasks": {table(model_tasks(), " ")}\n}}\n'
    )


def literal(name: str, values: list[str]) -> str:
    return f"{name} = Literal[\n" + "".join(f'    "{value}",\n' for value in values) + "]\n"


def choices_module() -> str:
    """Text of `upstream_choices.py`, as `make check` wants it."""
    text = (
        '"""Choices of the installed upstream that our own options have, too. Generated by tools/upstream.py; do not edit.\n\n'
        f"transformers {transformers.__version__}, peft {peft.__version__}.\n"
        '"""\n\nfrom typing import Literal\n\n'
    )
    for enum, name in NAMED.items():
        text += literal(name, [member.value for member in enum])
    # PEFT's own optimizers for LoRA, which `engine/training/optimizers.py` makes, stand before those of transformers.
    text += f'Optimizer = Literal["loraplus", "lorafa", {NAMED[OptimizerNames]}]\n'
    text += literal("Tracker", ["none", "all", *INTEGRATION_TO_CALLBACK])
    argv = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(CHOICES_MODULE), "-"]
    return subprocess.run(argv, input=text, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Exit code: 1 if `--check` found a stale file."""
    stale = 0
    for path, text in ((FIELDS, fields_json()), (CHOICES_MODULE, choices_module())):
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path.name} is stale: python tools/upstream.py", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
