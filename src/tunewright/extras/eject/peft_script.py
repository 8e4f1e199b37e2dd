"""A run as a plain PEFT and Trainer script of one page, with its rows as token ids."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tunewright.config.methods import METHODS
from tunewright.config.tasks import TASKS, Task
from tunewright.data.tokenized.mapped_rows import DamagedRows
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.errors import Problem, errors_of
from tunewright.i18n import N_
from tunewright.inspection.builtin_models import BUNDLED
from tunewright.planning.peft_kwargs import LABELLED, known_fields
from tunewright.planning.run_plan import Plan
from tunewright.rundir import atomic_io, output_targets, prepared_rows
from tunewright.rundir.base_model import base_of
from tunewright.rundir.run_dir import RunDir, unfit
from tunewright.security import check_link, printable

# Of mixed precision transformers wants the weights in fp32, and rounds them in each pass.
DTYPES = {"fp32": "torch.float32", "mixed": "torch.float32", "bf16": "torch.bfloat16", "fp16": "torch.float16"}

SCRIPT = '''\
"""The same run as {name}, in plain PEFT and transformers: python train.py {usage}

{base_note}

rows.jsonl and held-out.jsonl hold the rows as they were trained on: token ids, and labels that are -100 outside the
loss (the prompt). Every optimizer step sees the same rows with the same weight; only sums are made in another order.
"""

import argparse
import json
from pathlib import Path

import torch
from peft import {config}, get_peft_model
from transformers import {auto_class}, AutoTokenizer, Trainer, {callback_import}TrainingArguments, set_seed

HERE = Path(__file__).parent
BASE = argparse.ArgumentParser()
BASE.add_argument("--base", {base_option}, help="a folder or a Hub id")
MODEL = BASE.parse_args().base


def rows(name):
    return [json.loads(line) for line in (HERE / name).read_text().splitlines()]


def collate(batch):
    """Pad on the right; padding has no label and no attention."""
    longest = {{name: max(len(row[name]) for row in batch) for name in ("input_ids", "labels")}}

    def pad(values, fill, name="input_ids"):
        return values + [fill] * (longest[name] - len(values))

    return {{
        "input_ids": torch.tensor([pad(row["input_ids"], {pad_id}) for row in batch]),
        "labels": {labels},
        "attention_mask": torch.tensor([pad([1] * len(row["input_ids"]), 0) for row in batch]),{type_ids}
    }}

{callback}
def main():
    set_seed({seed})
    model = {auto_class}.from_pretrained(MODEL, dtype={dtype}{head})
{pad_config}    set_seed({seed})
    model = get_peft_model(model, {config}(task_type="{task_type}", {peft}))
    model.print_trainable_parameters()
    arguments = TrainingArguments(
{arguments}
    )
    trainer = Trainer(
        model=model, args=arguments, train_dataset=rows("rows.jsonl"),
        eval_dataset={eval_dataset}, data_collator=collate,{callbacks}
    )
    trainer.train()
    model.save_pretrained(HERE / "adapter")
    AutoTokenizer.from_pretrained(HERE / "tokenizer").save_pretrained(HERE / "adapter")


if __name__ == "__main__":
    main()
'''

SCRIPT_FILE = "train.py"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def eject(run: RunDir, folder: Path) -> Path:
    """Write train.py and its rows into a new folder; the script's path.

    Raises: ConfigError E115, E116; TrainingError E520, E524; ExportError E604 for settings that a plain script cannot reproduce.
    """
    plan = run.plan()
    problems = [Problem("E604", values={"what": what}) for what in _not_plain(plan)]
    if problems:
        raise errors_of(problems)
    target = output_targets.output_folder(folder)
    summary = run.data_summary()
    key = summary.key if summary else ""
    try:
        rows = prepared_rows.read(key) if key else None
    except DamagedRows:
        rows = None
    if rows is None:
        raise unfit(run, "eject", N_("prepared, with its encoded rows on this machine"))
    with run.private(), atomic_io.staging(target.parent) as staged:
        _write(staged, run, plan, rows.train, rows.held_out)
        atomic_io.publish_folder(staged, target)
    return folder / SCRIPT_FILE


def _write(
    folder: Path, run: RunDir, plan: Plan, train: Sequence[TokenizedExample], held_out: Sequence[TokenizedExample]
) -> None:
    """Rows, tokenizer and script, into a folder that is there."""
    has_pairs = plan.run.task == "seq_cls" and any(row.prompt_length for row in train)
    atomic_io.write_jsonl(folder / "rows.jsonl", _as_json(train, has_pairs=has_pairs))
    atomic_io.write_jsonl(folder / "held-out.jsonl", _as_json(held_out, has_pairs=has_pairs))
    pad_id = load_tokenizer(Path(plan.facts.model.tokenizer_folder), plan.run.model.chat_template).pad_id
    source = run.adapter_dir if run.adapter_dir.is_dir() else Path(plan.facts.model.tokenizer_folder)
    (folder / "tokenizer").mkdir()
    for name in TOKENIZER_FILES:
        check_link(source, source / name)
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / "tokenizer" / name)
    text = render(plan, run, has_tests=bool(held_out), has_pairs=has_pairs, pad_id=pad_id)
    atomic_io.write_text(folder / SCRIPT_FILE, text)


def _not_plain(plan: Plan) -> Iterator[str]:
    """Settings of a run that a stock Trainer does not have."""
    run = plan.run
    if run.train.optim in ("loraplus", "lorafa"):
        yield f"train.optim: {run.train.optim}"
    if run.model.quantization != "none":
        yield f"model.quantization: {run.model.quantization}"
    if run.data.class_weights != "none":
        yield f"data.class_weights: {run.data.class_weights}"
    if run.peft.extra.get("init_lora_weights") == "eva":
        yield "peft.init_lora_weights: eva"
    if run.task == "seq_cls" and run.method in ("prompt_tuning", "p_tuning") and plan.facts.model.kind == "decoder":
        yield f"method: {run.method}, task: seq_cls"


def _as_json(rows: Sequence[TokenizedExample], *, has_pairs: bool) -> list[dict[str, object]]:
    kinds = [[int(0 < row.prompt_length <= i) for i in range(len(row.input_ids))] for row in rows]
    named: list[dict[str, object]] = [{"input_ids": row.input_ids, "labels": row.labels} for row in rows]
    return [{**row, "token_type_ids": kind} for row, kind in zip(named, kinds, strict=True)] if has_pairs else named


TYPE_IDS = '\n        "token_type_ids": torch.tensor([pad(row["token_type_ids"], 0) for row in batch]),'
LABELS: Mapping[Task, str] = {
    "causal_lm": 'torch.tensor([pad(row["labels"], -100, "labels") for row in batch])',
    "seq2seq": 'torch.tensor([pad(row["labels"], -100, "labels") for row in batch])',
    "token_cls": 'torch.tensor([pad(row["labels"], -100, "labels") for row in batch])',
    "seq_cls": 'torch.tensor([row["labels"] for row in batch]){squeezed}',
}
CALLBACK = '''
class MoveRanks(TrainerCallback):
    """AdaLoRA prunes ranks during training; this needs the gradients of the step."""

    def on_optimizer_step(self, args, state, control, model, **kwargs):
        model.base_model.update_and_allocate(state.global_step + 1)

'''


def _head(plan: Plan) -> str:
    """What a classification model must know about its labels, as arguments."""
    names = plan.facts.data.labels
    kind = plan.facts.data.problem_type
    if plan.run.task not in LABELLED:
        return ""
    if kind == "regression":
        return ', num_labels=1, problem_type="regression"'
    text = f", id2label={dict(enumerate(names))!r}, label2id={ {name: i for i, name in enumerate(names)}!r}"
    return text + (f", problem_type={kind!r}" if kind else "")


def _batch(plan: Plan) -> dict[str, object]:
    """Rows of a step. Only a causal model's loss is made for accumulation; the others' is the mean of each micro-batch."""
    config = plan.run.train
    if plan.run.task != "causal_lm":
        return {"per_device_train_batch_size": plan.effective_batch, "gradient_accumulation_steps": 1}
    return {
        "per_device_train_batch_size": config.per_device_train_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
    }


def _peft(plan: Plan) -> str:
    """The fields of PEFT's config, as arguments."""
    fields = {**plan.run.peft.model_dump(), **known_fields(plan, plan.num_steps)}
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())


def render(plan: Plan, run: RunDir, *, has_tests: bool, has_pairs: bool, pad_id: int) -> str:
    """The script's text: every decision of the plan as a plain value."""
    config = plan.run
    is_adalora = plan.run.method == "adalora"
    is_multi_label = plan.facts.data.problem_type == "multi_label_classification"
    float_labels = ".float()" if is_multi_label else ".squeeze(-1)"
    row = TASKS[config.task]
    values: dict[str, object] = {
        **_batch(plan),
        "num_train_epochs": config.train.num_train_epochs,
        "max_steps": config.train.max_steps,
        "learning_rate": config.train.learning_rate,
        "lr_scheduler_type": config.train.lr_scheduler_type,
        "warmup_steps": config.train.warmup_steps,
        "weight_decay": config.train.weight_decay,
        "max_grad_norm": config.train.max_grad_norm,
        "optim": config.train.optim,
        "seed": config.train.seed,
        "data_seed": config.train.data_seed,
        "activation_checkpointing": config.train.activation_checkpointing,
        "bf16": config.model.precision == "mixed",  # what transformers calls it
        "fp16": config.model.precision == "fp16",
        "logging_steps": max(1, plan.num_steps // 20),
        "eval_strategy": "steps" if has_tests else "no",
        "eval_steps": config.train.eval_steps,
        "save_strategy": "no",
        "remove_unused_columns": False,
        "report_to": "none",
        **config.train.extra,
    }
    arguments = "\n".join(f"        {name}={value!r}," for name, value in values.items())
    device = "        use_cpu=not torch.accelerator.is_available(),"
    return SCRIPT.format(
        name=_in_docstring(run.name.replace("\n", " ")),
        **_base(plan),
        pad_id=pad_id,
        dtype=DTYPES[config.model.precision],
        seed=config.train.seed,
        peft=_peft(plan),
        config=METHODS[config.method].config,
        auto_class=row.auto_class,
        task_type=row.task_type,
        head=_head(plan),
        labels=LABELS[config.task].format(squeezed=float_labels),
        type_ids=TYPE_IDS if has_pairs else "",
        pad_config=f"    model.config.pad_token_id = {pad_id}\n" if _head(plan) else "",
        callback=CALLBACK.lstrip("\n") + "\n" if is_adalora else "",
        callbacks=" callbacks=[MoveRanks()]," if is_adalora else "",
        callback_import="TrainerCallback, " if is_adalora else "",
        arguments=f'        output_dir=str(HERE / "checkpoints"),\n{arguments}\n{device}',
        eval_dataset='rows("held-out.jsonl")' if has_tests else "None",
    )


def _base(plan: Plan) -> dict[str, str]:
    """How the script names its base: the Hub id, the user's own folder, or nothing for a built-in model, which is an argument."""
    base = base_of(plan)
    model = plan.facts.model
    default = base.hub_id or ("" if model.name in BUNDLED else model.folder)
    note = base.note or f"The base is {base.name} on the Hub."
    if default:
        note += f"\n--base names another folder or Hub id; without it the base is {default}."
    return {
        "usage": "[--base FOLDER]" if default else "--base FOLDER",
        "base_note": _in_docstring(note),
        "base_option": f"default={default!r}" if default else "required=True",
    }


def _in_docstring(text: str) -> str:
    """Foreign names that cannot end the docstring they are in; lines of ours stay lines."""
    return "\n".join(printable(line).replace("\\", "/").replace('"', "'") for line in text.split("\n"))
