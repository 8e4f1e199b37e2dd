"""Writes src/tunewright/config/upstream.py from the installed transformers and peft: `python tools/upstream.py`."""

import dataclasses
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

TARGET = Path(__file__).parent.parent / "src/tunewright/config/upstream.py"
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

# What upstream's annotations leave open and its code does not: ranges and choices, by name of the field. `{}` stands for
# what the annotation says.
SHARES = ("adam_beta1", "adam_beta2", "beta1", "beta2", "boft_dropout", "encoder_dropout", "miss_dropout", "module_dropout",
          "rank_dropout", "vera_dropout")  # fmt: skip
AT_LEAST_0 = ("adam_epsilon", "eval_delay", "eps", "neftune_noise_alpha")
AT_LEAST_1 = (
    "oft_block_size","dataloader_prefetch_factor", "deltaT", "encoder_num_layers", "eval_accumulation_steps", "n_frequency",
              "num_attention_heads", "num_cayley_neumann_terms", "num_layers", "num_transformer_submodules", "token_dim",
              "qalora_group_size", "delora_lambda")  # fmt: skip
COUNTS = ("boft_block_num", "boft_block_size", "boft_n_butterfly_factor", "mini_r")
SEEDS = ("random_loc_seed", "projection_prng_key")
INDICES = ("alora_invocation_tokens", "layers_to_transform", "trainable_token_indices")
RANGES = {
    **dict.fromkeys(SHARES, ("Number", "Share")),
    **dict.fromkeys(AT_LEAST_0, ("Number", "NotNegative")),
    **dict.fromkeys(AT_LEAST_1, ("Whole", "Positive")),
    **dict.fromkeys((*COUNTS, *INDICES, "layer_replication"), ("Whole", "Count")),
    **dict.fromkeys(SEEDS, ("Whole", "Seed")),
    **dict.fromkeys(
        ("rank_pattern", "n_frequency_pattern", "block_size_pattern"), ("dict[Text, Loose]", "dict[Text, Positive]")
    ),
    **dict.fromkeys(("alpha_pattern", "lambda_pattern"), ("dict[Text, Loose]", "dict[Text, Scale]")),
    "dataloader_num_workers": ("Whole", "Annotated[Count, Field(le=1024)]"),
    "decompose_factor": ("Whole", "Literal[-1] | Positive"),
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


def annotated(name: str, hint: Any) -> str:
    """The type of a field as source for pydantic: upstream's annotation, and the range or choices that its code holds to."""
    if name in CHOICES:
        listed = ", ".join(f'"{choice}"' for choice in CHOICES[name])
        return f"Literal[{listed}]" + (" | None" if type(None) in get_args(hint) else "")
    text = source(hint)
    wide, narrow = RANGES.get(name, ("", ""))
    assert wide in text, (name, text)
    return text.replace(wide, narrow) if wide else text


def source(hint: Any) -> str:
    """An annotation as source; enums are their values, configs of upstream's own are mappings."""
    plain = {
        int: "Whole",
        float: "Number",
        bool: "bool",
        str: "Text",
        dict: "dict[Text, Loose]",
        type(None): "None",
        Any: "Any",
    }
    if hint in plain:
        return plain[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        enums = [part for part in inner if isinstance(part, type) and issubclass(part, Enum)]
        # A text beside an enum is the name of one of its values.
        return " | ".join(dict.fromkeys(source(part) for part in inner if not (enums and part is str)))
    if origin is Literal:
        texts = [repr(part) if isinstance(part, bool) else f'"{part}"' for part in inner if "[" not in str(part)]
        open_ended = [part.partition("[")[0] for part in inner if "[" in str(part)]
        return " | ".join(
            [
                f"Literal[{', '.join(texts)}]",
                *(f'Annotated[str, Field(pattern=r"^{p}[0-9]{{1,3}}$")]' for p in open_ended),
            ]
        )
    if origin is tuple:
        return f"Annotated[list[{source(inner[0])}], Field(min_length={len(inner)}, max_length={len(inner)})]"
    if origin is list:
        return f"list[{source(inner[0])}]"
    if origin is dict:
        return f"dict[{source(inner[0])}, {source(inner[1])}]"
    if hint in NAMED:
        return NAMED[hint]
    if issubclass(hint, Enum):
        return "Literal[" + ", ".join(f'"{member.value}"' for member in hint) + "]"
    assert dataclasses.is_dataclass(hint), hint
    return "dict[Text, Loose]"


def block(title: str, cls: type, without: set[str], indent: str = "") -> str:
    """A mapping of names to types as source."""
    hints = get_type_hints(cls)
    lines = [f'{indent}    "{name}": {annotated(name, hints[name])},\n' for name in names(cls, without)]
    return f"{indent}{title}{{\n" + "".join(lines) + f"{indent}}}"


def literal(name: str, values: list[str]) -> str:
    return f"{name} = Literal[\n" + "".join(f'    "{value}",\n' for value in values) + "]\n"


def model_tasks() -> dict[str, list[str]]:
    """Model type -> tasks that transformers has a class for and that the model was made for.

    Encoders have a causal class too, but were never taught to write; what maps sounds to text is no text model.
    """
    encoders = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    found: dict[str, list[str]] = {}
    for task, mapping in TASK_MAPPINGS.items():
        for kind in mapping:
            is_fit = {
                "causal_lm": kind not in encoders,
                "seq2seq": transformers.CONFIG_MAPPING[kind].is_encoder_decoder,
            }
            if is_fit.get(task, True):
                found.setdefault(kind, []).append(task)
    return dict(sorted(found.items()))


def render() -> str:
    text = (
        '"""Fields and models of the installed upstream. Generated by tools/upstream.py; do not edit.\n\n'
        f"transformers {transformers.__version__}, peft {peft.__version__}.\n"
        '"""\n\n'
        "from typing import Annotated, Any, Literal\n\n"
        "from pydantic import Field\n\n"
        "from tunewright.config.section import Count, Loose, NotNegative, Number, Positive, Scale, Seed, Share, Text, Whole\n"
        "from tunewright.config.tasks import Task\n\n"
    )
    for enum, name in NAMED.items():
        text += literal(name, [kind.value for kind in enum])
    # PEFT's own optimizers for LoRA, which `engine/training/optimizers.py` makes, stand before those of transformers.
    text += f'Optimizer = Literal["loraplus", "lorafa", {NAMED[OptimizerNames]}]\n'
    text += literal("Tracker", ["none", "all", *INTEGRATION_TO_CALLBACK])
    text += block("TRAINING_ARGUMENTS: dict[str, Any] = ", transformers.TrainingArguments, set()) + "\n"
    text += "\nPEFT_FIELDS: dict[str, dict[str, Any]] = {\n"
    for method, config in CONFIGS.items():
        text += block(f'"{method}": ', config, INTERNAL, "    ") + ",\n"
    text += "}\n\nMODEL_TASKS: dict[str, tuple[Task, ...]] = {\n"
    for kind, tasks in model_tasks().items():
        listed = ", ".join(f'"{task}"' for task in tasks)
        text += f'    "{kind}": ({listed}{"," if len(tasks) == 1 else ""}),\n'
    return text + "}\n"


def formatted() -> str:
    """The file as `make check` wants it."""
    argv = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(argv, input=render(), capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(TARGET.read_text() != formatted())
    TARGET.write_text(formatted())
