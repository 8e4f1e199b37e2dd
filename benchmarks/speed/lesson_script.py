"""The lesson's training in today's names: every row padded to 512, prompt included in the loss, full logits.

Its fp16 and checkpointing are off: neither helps a CPU. Arguments: model, rows, steps, output.
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

model_name, data, steps, output = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(model_name)
model = AutoModelForCausalLM.from_pretrained(model_name, dtype=torch.float32)
targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules=targets))


def encode(row: dict[str, str]) -> dict[str, list[int]]:
    turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["answer"]}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    return tokenizer(text, truncation=True, max_length=512, padding="max_length")


rows = [encode(row) for row in json.loads(Path(data).read_text())]
arguments = TrainingArguments(
    output, per_device_train_batch_size=4, gradient_accumulation_steps=4, max_steps=int(steps), learning_rate=2e-4,
    lr_scheduler_type="constant", logging_steps=1, save_strategy="no", report_to="none", use_cpu=True,
    train_sampling_strategy="sequential",
)  # fmt: skip
collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collator).train()
