"""The cases of the fault zoo: rows and settings that cause exactly one fault, and healthy runs of every kind."""

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SEED = 11
GIB = 2**30

Row = dict[str, Any]
Spoil = Callable[[list[Row]], list[Row]]


def as_is(rows: list[Row]) -> list[Row]:
    return rows


@dataclass(frozen=True)
class Case:
    """One run: what is done to its rows and settings, and the code that names it ("" for a healthy run)."""

    code: str
    about: str
    task: str = "causal_lm"
    rows: int = 96
    spoil: Spoil = as_is
    spoil_held_out: Spoil | None = None  # as the training rows, if not given
    settings: dict[str, Any] = field(default_factory=dict)
    model: Callable[[Path], str] | None = None
    limit_bytes: int = 0
    neighbours: int = 0


def say(row: Row, text: str) -> Row:
    """The row with another question."""
    system, user, answer = row["messages"]
    return {"messages": [system, {**user, "content": text}, answer]}


def answer(row: Row, text: str) -> Row:
    """The row with another answer."""
    *asked, last = row["messages"]
    return {"messages": [*asked, {**last, "content": text}]}


def asked_of(row: Row) -> str:
    return str(row["messages"][1]["content"])


def answer_of(row: Row) -> str:
    return str(row["messages"][-1]["content"])


def long_questions(rows: list[Row]) -> list[Row]:
    """Every third question fills all the room there is."""
    return [say(row, 6 * f"{asked_of(row)} ") if i % 3 == 0 else row for i, row in enumerate(rows)]


def one_long(rows: list[Row]) -> list[Row]:
    """One row of eight is twelve times as long as the others."""
    return [say(row, 12 * f"{asked_of(row)} ") if i % 8 == 0 else row for i, row in enumerate(rows)]


def templated(rows: list[Row]) -> list[Row]:
    return [say(row, f"<|im_start|>user\n{asked_of(row)}<|im_end|>\n<|im_start|>assistant\n") for row in rows]


def foreign(rows: list[Row]) -> list[Row]:
    return [answer(say(row, f"[INST] {asked_of(row)} [/INST]"), f"[/INST] {answer_of(row)} </s>") for row in rows]


def shuffled_answers(rows: list[Row]) -> list[Row]:
    answers = [answer_of(row) for row in rows]
    random.Random(SEED).shuffle(answers)
    return [answer(row, text) for row, text in zip(rows, answers, strict=True)]


def half_wrong(rows: list[Row]) -> list[Row]:
    """Every second row has the answer of another one."""
    mixed = shuffled_answers(rows)
    return [mixed[i] if i % 2 else row for i, row in enumerate(rows)]


def shuffled_labels(rows: list[Row]) -> list[Row]:
    labels = [row["label"] for row in rows]
    random.Random(SEED).shuffle(labels)
    return [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]


def contradicted(rows: list[Row]) -> list[Row]:
    """Every second text comes once more with the label of another row."""
    others = zip(rows[::2], rows[1::2], strict=False)
    return rows + [{**row, "label": other["label"]} for row, other in others if row["label"] != other["label"]]


def doubled(rows: list[Row]) -> list[Row]:
    return rows + rows[: 2 * len(rows) // 3]


def endless(rows: list[Row]) -> list[Row]:
    """Long lists as answers, of which the end is cut off."""
    words = [word for row in rows for word in answer_of(row).split('"') if word.isalpha()]
    return [answer(row, ", ".join(words[i % 40 : i % 40 + 40])) for i, row in enumerate(rows)]


def short_lists(rows: list[Row]) -> list[Row]:
    return [answer(row, ", ".join(answer_of(row).split(", ")[:6])) for row in endless(rows)]


def same_answer(rows: list[Row]) -> list[Row]:
    return [answer(row, "Thank you, we have received your message.") for row in rows]


def as_text(rows: list[Row]) -> list[Row]:
    return [{"text": f"{asked_of(row)} {answer_of(row)}"} for row in rows]


def rated(rows: list[Row]) -> list[Row]:
    """A number to each text: how many words it has, in tens."""
    return [{"text": row["text"], "label": len(row["text"].split()) / 10} for row in rows]


def one_absurd(rows: list[Row]) -> list[Row]:
    """One of the numbers has lost its decimal point and more."""
    return [{**row, "label": 1e25} if i == 60 else row for i, row in enumerate(rated(rows))]


def dead_model(folder: Path) -> str:
    """A small Llama whose attention is multiplied by zero, so that no adapter in it can have a gradient."""
    code = (
        "import sys, torch, transformers\n"
        "from tunewright import api\n"
        "source = api.fetch('smollm2')\n"
        "config = transformers.AutoConfig.from_pretrained(source)\n"
        "config.num_hidden_layers, config.hidden_size, config.intermediate_size = 2, 64, 128\n"
        "config.num_attention_heads, config.num_key_value_heads, config.head_dim = 4, 4, 16\n"
        "config.layer_types = None\n"
        "torch.manual_seed(0)\n"
        "model = transformers.LlamaForCausalLM(config)\n"
        "for layer in model.model.layers: torch.nn.init.zeros_(layer.self_attn.o_proj.weight)\n"
        "model.save_pretrained(sys.argv[1])\n"
        "transformers.AutoTokenizer.from_pretrained(source).save_pretrained(sys.argv[1])\n"
    )
    target = folder / "dead"
    subprocess.run([sys.executable, "-c", code, str(target)], check=True, capture_output=True)
    return str(target)


LORA = {"preset": "complex", "peft.r": 16, "train.learning_rate": 1e-3, "train.num_train_epochs": 1}
LABELS = {"train.num_train_epochs": 4}
MANY_PASSES = {**LORA, "train.num_train_epochs": 16, "train.early_stopping_patience": 0, "train.eval_steps": 12}
CASES: dict[str, Case] = {
    # sick
    "out_of_memory": Case(
        "D101 D103", "address space of the processes limited", rows=48, spoil=one_long, limit_bytes=9 * GIB // 2,
        settings={
            **LORA, "train.per_device_train_batch_size": 16, "fast_paths": "{answer_loss: false, packing: false}",
        },
    ),
    "rate_too_small": Case(
        "D201", "learning rate 1e-6", settings={**LORA, "train.learning_rate": 1e-6}
    ),
    "rate_too_small_labels": Case("D201", "learning rate 1e-6", "seq_cls", 240, settings={**LABELS, "train.learning_rate": 1e-6}),
    "rate_too_large": Case("D202", "learning rate 0.05", settings={**LORA, "train.learning_rate": 0.05}),
    "rate_too_large_labels": Case("D202", "learning rate 0.5", "seq_cls", 240, settings={**LABELS, "train.learning_rate": 0.5}),
    "no_gradient": Case(
        "D203", "attention of the model multiplied by zero", rows=48, model=dead_model,
        settings={"peft.target_modules": "[q_proj,v_proj]", "eval.rows": 0},
    ),
    "answers_cut_away": Case(
        "D204", "a third of the prompts fill max_length", spoil=long_questions,
        settings={**LORA, "data.max_length": 96, "data.skip_bad": "true"},
    ),
    "templated_twice": Case("D205", "texts with marks of the model's template", spoil=templated, settings=LORA),
    "adapter_too_small": Case(
        "D206", "r=1 on the query of one block, six passes", rows=64,
        settings={
            "peft.r": 1, "peft.target_modules": "[q_proj]", "peft.layers_to_transform": "[15]",
            "train.num_train_epochs": 6, "train.early_stopping_patience": 0,
        },
    ),
    "contradictory_labels": Case("D207", "texts with several labels", "seq_cls", 240, contradicted, as_is),
    "repeated_rows": Case("D208", "two thirds of the rows twice", spoil=doubled, spoil_held_out=as_is, settings=LORA),
    "labels_of_other_rows": Case(
        "D209", "labels shuffled", "seq_cls", 300, shuffled_labels, settings={"train.num_train_epochs": 3}
    ),
    "overfitting": Case(
        "D301", "32 rows, half of them with answers of other rows, 8 passes", rows=32, spoil=half_wrong,
        settings={**MANY_PASSES, "train.num_train_epochs": 8, "train.eval_steps": 8},
    ),
    "by_heart": Case(
        "D302", "24 rows with answers of other rows, 16 passes", rows=24, spoil=shuffled_answers, settings=MANY_PASSES
    ),
    "thrown_away": Case(
        "D202", "learning rate 0.9 on a huge scale, gradients not shortened",
        settings={**LORA, "peft.lora_alpha": 100000, "train.learning_rate": 0.9, "train.max_grad_norm": 0},
    ),
    "broken_numbers": Case("D401", "one number of 200 is 1e25", "seq_cls", 200, one_absurd, rated, LABELS),
    "nothing_to_learn": Case("D402", "one answer for all rows", rows=160, spoil=same_answer, settings=LORA),
    "padding": Case(
        "D501", "one row of eight is long, packing switched off", rows=48, spoil=one_long,
        settings={
            **LORA, "train.per_device_train_batch_size": 8, "fast_paths": "{packing: false, shared_prefix: false}",
        },
    ),
    "needless_checkpointing": Case(
        "D502", "activation checkpointing asked for", rows=64,
        settings={**LORA, "train.activation_checkpointing": "true"},
    ),
    "busy_neighbours": Case("D504", "four processes compute beside it", "seq_cls", 120, neighbours=4),
    "late_rows": Case(
        "D505", "workers are started for each of many passes of one step", "seq_cls", 24,
        settings={
            "train.dataloader_num_workers": 2, "train.num_train_epochs": 30, "train.early_stopping_patience": 0,
            "train.per_device_train_batch_size": 24, "train.gradient_accumulation_steps": 1,
        },
    ),
    "endless": Case(
        "D601", "all answers cut at max_length", spoil=endless, spoil_held_out=short_lists,
        settings={**LORA, "data.max_length": 80, "eval.max_new_tokens": 96},
    ),
    "foreign_template": Case(
        "D602", "texts with marks of another model's template", spoil=foreign,
        settings={**LORA, "train.num_train_epochs": 2},
    ),
    # healthy
    "lora": Case("", "LoRA, a usual run", rows=160, settings=LORA),
    "all_by_the_plan": Case("", "everything left to the plan", rows=100),
    "ia3": Case("", "(IA)3", settings={"method": "ia3", "train.num_train_epochs": 2}),
    "adalora": Case("", "AdaLoRA", settings={"method": "adalora", "train.num_train_epochs": 2}),
    "plain_text": Case("", "plain text, all tokens learned", spoil=as_text, settings=LORA),
    "eight_bit": Case("", "8-bit base", settings={**LORA, "model.quantization": "8bit"}),
    "classes": Case("", "six classes", "seq_cls", 400, settings=LABELS),
    "classes_prefix": Case("", "six classes, prefix tuning", "seq_cls", 400, settings={**LABELS, "method": "prefix_tuning"}),
    "numbers": Case("", "a number for each text", "seq_cls", 300, rated, settings={"train.num_train_epochs": 6}),
    "entities": Case("", "a tag for each word", "token_cls", 400, settings=LABELS),
    "translation": Case("", "texts to texts", "seq2seq", 400, settings={"train.num_train_epochs": 2}),
}  # fmt: skip
