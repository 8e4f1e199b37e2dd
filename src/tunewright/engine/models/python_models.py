"""Models as Python objects, for notebooks and the lesson's classes: load with a fresh or trained adapter, generate a few tokens."""

from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.models.activation_checkpointing import checkpoint_activations
from tunewright.engine.models.load_model import load_base, load_hf_tokenizer
from tunewright.engine.models.peft_adapter import attach_adapter, planned_config
from tunewright.planning.run_plan import Plan


def load_for_training(plan: Plan) -> tuple[PeftModel, PreTrainedTokenizerBase]:
    """The planned base with a fresh adapter, and its tokenizer; both work with a stock Trainer."""
    folder = Path(plan.facts.model.tokenizer_folder)
    text_tokenizer = load_tokenizer(folder, plan.run.model.chat_template)
    model = attach_adapter(load_base(plan, text_tokenizer), planned_config(plan), seed=plan.run.train.seed)
    if plan.run.train.activation_checkpointing:
        checkpoint_activations(model)
    return model, load_hf_tokenizer(folder, text_tokenizer)


def count_parameters(model: PreTrainedModel | PeftModel) -> tuple[int, int]:
    """Trainable parameters, and all of them."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(n for n, trained in sizes if trained), sum(n for n, _ in sizes)


@torch.inference_mode()
def continue_text(model: PeftModel, tokenizer: PreTrainedTokenizerBase, prompt: str, max_new_tokens: int) -> str:
    """The prompt and the tokens that the model generates after it, greedily."""
    inputs = tokenizer(prompt, return_tensors="pt").to(model.device)
    model.eval()
    output = model.generate(
        **inputs, max_new_tokens=max_new_tokens, do_sample=False, use_cache=True, pad_token_id=tokenizer.eos_token_id
    )
    return str(tokenizer.decode(output[0], skip_special_tokens=True))
