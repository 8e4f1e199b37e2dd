"""LoRA by plain PEFT, and by TRL, on the same rows: `peers.py peft|trl MODEL ROWS SETTINGS`; prints JSON.

Both at their best without other packages: bf16, torch's flash attention, rows padded to the longest of a micro-batch, 4-bit
bases by bitsandbytes. Times are those of steps, with the device waited for. TRL was not run here: it was not installed.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedModel, TrainerCallback

from tunewright.engine.system import device


def base(folder: str, asked: dict[str, Any]) -> PreTrainedModel:
    """The model in bf16, or in 4 bits, on the device."""
    stored = {}
    if asked["quantization"] == "4bit":
        stored["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )  # fmt: skip
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, device_map={"": device.device()}, **stored
    )
    model.config.use_cache = False
    if stored:
        kind = {"use_reentrant": False}
        return prepare_model_for_kbit_training(model, asked["checkpointing"], gradient_checkpointing_kwargs=kind)
    return model


def lora(asked: dict[str, Any]) -> LoraConfig:
    """The adapter that all train."""
    return LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=asked["targets"], task_type="CAUSAL_LM")


def encoded(rows: list[dict[str, str]], tokenizer: Any, longest: int) -> list[tuple[list[int], list[int]]]:
    """Token ids and labels, the loss on answers only."""
    found = []
    for row in rows:
        user = [{"role": "user", "content": row["prompt"]}]
        whole = [*user, {"role": "assistant", "content": row["completion"]}]
        prompt = tokenizer.apply_chat_template(user, add_generation_prompt=True, return_dict=False)
        ids = tokenizer.apply_chat_template(whole, return_dict=False)
        found.append((ids[:longest], ([-100] * len(prompt) + ids[len(prompt) :])[:longest]))
    return found


def plain(folder: str, rows: list[dict[str, str]], asked: dict[str, Any]) -> dict[str, Any]:
    """A loop as people write it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = get_peft_model(base(folder, asked), lora(asked)).train()
    if asked["checkpointing"]:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0, fused=not device.is_on_cpu())
    examples, at, losses = encoded(rows, tokenizer, asked["longest"]), [time.perf_counter()], []
    for step in range(asked["steps"]):
        chosen = examples[step * asked["batch"] : (step + 1) * asked["batch"]]
        learned, total = sum(label != -100 for _ids, labels in chosen for label in labels[1:]), 0.0
        for start in range(0, len(chosen), asked["rows"]):
            part = chosen[start : start + asked["rows"]]
            most = max(len(ids) for ids, _labels in part)
            batch = {
                "input_ids": [ids + [0] * (most - len(ids)) for ids, _ in part],
                "attention_mask": [[1] * len(ids) + [0] * (most - len(ids)) for ids, _ in part],
                "labels": [labels + [-100] * (most - len(labels)) for _, labels in part],
            }
            tensors = {name: torch.tensor(values, device=device.device()) for name, values in batch.items()}
            loss = model(**tensors, num_items_in_batch=learned).loss
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        device.synchronize()
        at.append(time.perf_counter())
        losses.append(total)
    tokens = [sum(len(ids) for ids, _ in examples[i : i + asked["batch"]]) for i in _starts(examples, asked)]
    return {"at": at, "losses": losses, "step_tokens": tokens, "peak_bytes": device.peak_bytes()}


def _starts(examples: list[Any], asked: dict[str, Any]) -> range:
    return range(0, min(len(examples), asked["steps"] * asked["batch"]), asked["batch"])


class _Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        self.at = [time.perf_counter()]

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.at = [time.perf_counter()]

    def on_step_end(self, *_: Any, **__: Any) -> None:
        device.synchronize()
        self.at.append(time.perf_counter())


def by_trl(folder: str, rows: list[dict[str, str]], asked: dict[str, Any]) -> dict[str, Any]:
    """TRL's SFTTrainer. Not run here."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer, clock = AutoTokenizer.from_pretrained(folder), _Clock()
    pairs = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "completion": [{"role": "assistant", "content": row["completion"]}],
        }
        for row in rows
    ]
    config = SFTConfig(
        output_dir=asked["folder"], per_device_train_batch_size=asked["rows"], max_steps=asked["steps"],
        gradient_accumulation_steps=asked["batch"] // asked["rows"], learning_rate=2e-4, lr_scheduler_type="constant",
        bf16=True, max_length=asked["longest"], gradient_checkpointing=asked["checkpointing"], logging_steps=1,
        save_strategy="no", report_to="none", train_sampling_strategy="sequential", use_cpu=device.is_on_cpu(),
    )  # fmt: skip
    trainer = SFTTrainer(
        model=base(folder, asked), args=config, train_dataset=Dataset.from_list(pairs), peft_config=lora(asked),
        processing_class=tokenizer, callbacks=[clock],
    )  # fmt: skip
    trainer.train()
    examples = encoded(rows, tokenizer, asked["longest"])
    return {
        "at": clock.at, "losses": [line["loss"] for line in trainer.state.log_history if "loss" in line],
        "step_tokens": [sum(len(ids) for ids, _ in examples[i : i + asked["batch"]]) for i in _starts(examples, asked)],
        "peak_bytes": device.peak_bytes(),
    }  # fmt: skip


def main() -> None:
    which, folder, rows_file, settings = sys.argv[1:]
    rows = [json.loads(line) for line in Path(rows_file).read_text().splitlines()]
    print(json.dumps({"peft": plain, "trl": by_trl}[which](folder, rows, json.loads(settings))))


if __name__ == "__main__":
    main()
