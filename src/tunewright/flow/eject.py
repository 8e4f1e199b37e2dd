"""A run as the plain PEFT and Trainer script of one page that it amounts to, with its rows as token ids."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunewright.data import cache
from tunewright.data.encode import Encoded
from tunewright.errors import error
from tunewright.plan.plan import Plan, from_json
from tunewright.runs import durable
from tunewright.runs.store import RunDir
from tunewright.trust import home

SCRIPT = '''\
"""The same run as {name}, in plain PEFT and transformers: python train.py

rows.jsonl and held-out.jsonl hold the rows as they were trained on: token ids, and labels that are -100 where nothing is
learned (the prompt). Every optimizer step sees the same rows with the same weight; only sums are made in another order.
"""

import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, set_seed

HERE = Path(__file__).parent
MODEL = {model!r}


def rows(name):
    return [json.loads(line) for line in (HERE / name).read_text().splitlines()]


def collate(batch):
    """Pad on the right; padding has no label and no attention."""
    longest = max(len(row["input_ids"]) for row in batch)

    def pad(values, fill):
        return values + [fill] * (longest - len(values))

    return {{
        "input_ids": torch.tensor([pad(row["input_ids"], {pad_id}) for row in batch]),
        "labels": torch.tensor([pad(row["labels"], -100) for row in batch]),
        "attention_mask": torch.tensor([pad([1] * len(row["input_ids"]), 0) for row in batch]),
    }}


def main():
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype={dtype})
    set_seed({seed})
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", {peft}))
    model.print_trainable_parameters()
    arguments = TrainingArguments(
{arguments}
    )
    trainer = Trainer(
        model=model, args=arguments, train_dataset=rows("rows.jsonl"),
        eval_dataset={eval_dataset}, data_collator=collate,
    )  # fmt: skip
    trainer.train()
    model.save_pretrained(HERE / "adapter")
    AutoTokenizer.from_pretrained(HERE / "tokenizer").save_pretrained(HERE / "adapter")


if __name__ == "__main__":
    main()
'''

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def eject(run: RunDir, folder: Path) -> Path:
    """Write train.py and its rows into a new folder; the script's path. Raises: SpecError E115, E116."""
    if folder.exists() and any(folder.iterdir()):
        raise error("E115", path=str(folder))
    key = run.prepared().get("key", "")
    train, held_out = (cache.load(home() / "encoded" / key / f"{part}.i32") for part in ("train", "held_out"))
    if train is None or held_out is None:
        raise error(
            "E116",
            state=run.state(),
            verb="eject",
            needed="prepared, with its encoded rows on this machine",
            name=run.name,
        )
    plan = from_json(run.plan())
    folder.mkdir(parents=True, exist_ok=True)
    durable.write_jsonl(folder / "rows.jsonl", _as_json(train))
    durable.write_jsonl(folder / "held-out.jsonl", _as_json(held_out))
    source = run.adapter_dir if run.adapter_dir.is_dir() else Path(plan.facts.model.tokenizer_folder)
    (folder / "tokenizer").mkdir()
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / "tokenizer" / name)
    script = folder / "train.py"
    durable.write_text(script, render(plan, run, has_tests=bool(held_out), pad_id=_pad_id(train)))
    return script


def _as_json(rows: Sequence[Encoded]) -> list[dict[str, Any]]:
    return [{"input_ids": row.ids, "labels": row.labels} for row in rows]


def _pad_id(rows: Sequence[Encoded]) -> int:
    """Any id will do, as padding is masked; an id of the data is surely in the vocabulary."""
    return rows[0].ids[-1]


def render(plan: Plan, run: RunDir, *, has_tests: bool, pad_id: int) -> str:
    """The script's text: every decision of the plan as a plain value."""
    spec = plan.run
    values: dict[str, Any] = {
        "per_device_train_batch_size": spec.train.per_device_train_batch_size,
        "gradient_accumulation_steps": spec.train.gradient_accumulation_steps,
        "num_train_epochs": spec.train.num_train_epochs,
        "max_steps": spec.train.max_steps,
        "learning_rate": spec.train.learning_rate,
        "lr_scheduler_type": spec.train.lr_scheduler_type,
        "warmup_steps": spec.train.warmup_steps,
        "weight_decay": spec.train.weight_decay,
        "max_grad_norm": spec.train.max_grad_norm,
        "optim": spec.train.optim,
        "seed": spec.train.seed,
        "data_seed": spec.train.data_seed,
        "activation_checkpointing": spec.train.activation_checkpointing,
        "fp16": spec.model.precision == "fp16",
        "logging_steps": max(1, plan.num_steps // 20),
        "eval_strategy": "steps" if has_tests else "no",
        "eval_steps": spec.train.eval_steps,
        "save_strategy": "no",
        "remove_unused_columns": False,
        "report_to": "none",
        **spec.train.extra,
    }
    arguments = "\n".join(f"        {name}={value!r}," for name, value in values.items())
    device = "        use_cpu=not torch.cuda.is_available(),"
    return SCRIPT.format(
        name=run.name,
        model=_base(plan),
        pad_id=pad_id,
        dtype={"fp32": "torch.float32", "bf16": "torch.bfloat16", "fp16": "torch.float16"}[str(spec.model.precision)],
        seed=spec.train.seed,
        peft=", ".join(f"{name}={value!r}" for name, value in spec.peft.model_dump().items()),
        arguments=f'        output_dir=str(HERE / "checkpoints"),\n{arguments}\n{device}',
        eval_dataset='rows("held-out.jsonl")' if has_tests else "None",
    )


def _base(plan: Plan) -> str:
    """The Hub id where there is one, else the folder."""
    name = plan.facts.model.name
    return name if name.count("/") == 1 and not Path(name).exists() else plan.facts.model.folder
