"""What leaves a run: the adapter as a plain PEFT folder, and the merged model as a plain transformers folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from tunewright.data.tokenizer import TextTokenizer
from tunewright.engine.generate import generate
from tunewright.engine.load import load_hf_tokenizer
from tunewright.errors import error
from tunewright.plan.plan import Plan
from tunewright.runs import durable
from tunewright.runs.card import card
from tunewright.runs.checkpoints import seal
from tunewright.runs.store import RunDir

# Largest difference of logits, as a share of the largest logit: a merge rounds each weight once more.
MERGE_TOLERANCE = {"fp32": 1e-4, "bf16": 3e-2, "fp16": 1e-2}


def save_adapter(model: PeftModel, plan: Plan, run: RunDir, tokenizer: TextTokenizer) -> Path:
    """The adapter with tokenizer, template and card; loads in bare PEFT. Published whole, with a manifest."""
    staged = durable.staging_folder(run.path)
    model.save_pretrained(staged, safe_serialization=True, save_embedding_layers=False)
    load_hf_tokenizer(Path(plan.facts.model.tokenizer_folder), tokenizer).save_pretrained(staged)
    (staged / "README.md").write_text(card(plan, run), encoding="utf-8")
    seal(staged, run_id=run.info()["id"], step=0, identity={"model": plan.facts.model.digest})
    durable.publish_folder(staged, run.adapter_dir)
    return run.adapter_dir


@torch.inference_mode()
def last_logits(model: torch.nn.Module, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logits behind the last token of each prompt (prompts, V)."""
    rows = [model(input_ids=torch.tensor([list(p)], device=model.device)).logits[0, -1].float().cpu() for p in prompts]
    return torch.stack(rows)


def merge(
    model: PeftModel,
    target: Path,
    plan: Plan,
    tokenizer: TextTokenizer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
) -> dict[str, Any]:
    """Base and adapter as one model in `target`, handed over only if it answers like the adapter.

    Raises: SpecError E115 if the folder is in use; ExportError E602 if answers or logits differ.
    Cost: memory of the base model; disk of the merged one.
    """
    if target.exists() and any(target.iterdir()):
        raise error("E115", path=str(target))
    before = generate(model, prompts, tokenizer, max_new_tokens=max_new_tokens)
    logits_before = last_logits(model, prompts)
    merged: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    after = generate(merged, prompts, tokenizer, max_new_tokens=max_new_tokens)
    difference = float((last_logits(merged, prompts) - logits_before).abs().max()) if prompts else 0.0
    equal = sum(a == b for a, b in zip(before, after, strict=True))
    scale = max(1.0, float(logits_before.abs().max())) if prompts else 1.0
    if equal < len(prompts) or difference > MERGE_TOLERANCE[str(plan.run.model.precision)] * scale:
        raise error("E602", equal=equal, total=len(prompts), difference=f"{difference:.2g}")
    staged = durable.staging_folder(target.parent)
    try:
        merged.save_pretrained(staged)
        load_hf_tokenizer(Path(plan.facts.model.tokenizer_folder), tokenizer).save_pretrained(staged)
        durable.publish_folder(staged, target)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return {
        "path": str(target),
        "bytes": size,
        "prompts": len(prompts),
        "equal": equal,
        "max_logit_difference": difference,
    }
