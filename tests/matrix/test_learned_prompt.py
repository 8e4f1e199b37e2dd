"""Prompts of unequal length behind learned vectors, written together, are answered as PEFT answers each alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.evaluation.generation import generate

from .conftest import FAMILIES

LENGTHS, WRITTEN = (3, 11, 6, 17), 5


def alone(model: PeftModel, prompt: list[int], end_ids: tuple[int, ...]) -> list[int]:
    """PEFT's own way, for one prompt without padding."""
    ids = torch.tensor([prompt])
    mask = torch.ones_like(ids)
    output = model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=WRITTEN, do_sample=False, eos_token_id=list(end_ids),
        pad_token_id=end_ids[0],
    )  # fmt: skip
    answer_ids: list[int] = output[0, len(prompt) :].tolist()
    return answer_ids[: next((i for i, token in enumerate(answer_ids) if token in end_ids), WRITTEN)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_answers_as_each_prompt_alone(family: str, tiny_model: Callable[..., Path]) -> None:
    folder = tiny_model(family)
    torch.manual_seed(3)
    base = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    model = get_peft_model(base, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)).eval()
    tokenizer = load_tokenizer(folder, None)
    prompts = [torch.randint(5, 300, (length,)).tolist() for length in LENGTHS]
    together = generate(model, prompts, tokenizer, max_new_tokens=WRITTEN)
    expected = [tokenizer.decode(alone(model, prompt, tuple(tokenizer.end_ids))) for prompt in prompts]
    assert [answer.text for answer in together] == expected
    assert len(set(expected)) > 1
