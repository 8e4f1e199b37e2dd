"""A loop of a page, as people write it: padded to the longest of 4 rows, loss on the answer, full logits.

Arguments: model, rows, steps, output (not used).
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

model_name, data, steps, _output = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(model_name)
model = AutoModelForCausalLM.from_pretrained(model_name, dtype=torch.float32)
targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules=targets))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4, weight_decay=0.0)


def encode(row: dict[str, str]) -> tuple[list[int], list[int]]:
    user = [{"role": "user", "content": row["prompt"]}]
    prompt = tokenizer.apply_chat_template(user, add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template([*user, {"role": "assistant", "content": row["answer"]}], return_dict=False)
    return whole[:512], ([-100] * len(prompt) + whole[len(prompt) :])[:512]


rows = [encode(row) for row in json.loads(Path(data).read_text())]
for step in range(int(steps)):
    chosen = rows[16 * step : 16 * step + 16]
    learned = sum(label != -100 for _ids, labels in chosen for label in labels[1:])
    total = 0.0
    for start in range(0, 16, 4):
        part = chosen[start : start + 4]
        longest = max(len(ids) for ids, _labels in part)
        ids = torch.tensor([row + [0] * (longest - len(row)) for row, _labels in part])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row, _labels in part])
        labels = torch.tensor([row + [-100] * (longest - len(row)) for _ids, row in part])
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].flatten(0, 1)
        loss = cross_entropy(logits, labels[:, 1:].flatten(), ignore_index=-100, reduction="sum") / learned
        loss.backward()
        total += float(loss)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    print({"loss": round(total, 4), "grad_norm": round(float(norm), 4)}, flush=True)
