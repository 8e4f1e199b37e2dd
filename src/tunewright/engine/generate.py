"""Answers of a model to prompts: batched, greedy, left-padded, the longest prompts first."""

from collections.abc import Callable, Sequence

import torch
from transformers import GenerationConfig, PreTrainedModel

from tunewright.data.pack import micro_batches
from tunewright.data.tokenizer import TextTokenizer

MAX_ROWS = 64
CACHE_BYTES = 2**29


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    tokenizer: TextTokenizer,
    *,
    max_new_tokens: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """The greedy answer to each prompt, in the order of the prompts, special tokens left out.

    Cost: at most CACHE_BYTES of keys and values at once, or one row's.
    """
    was_training = model.training
    model.eval()
    pad = tokenizer.end_ids[0]
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(tokenizer.end_ids),
        pad_token_id=pad,
        use_cache=True,
    )
    answers = [""] * len(prompts)
    done = 0
    groups = micro_batches([len(prompt) + max_new_tokens for prompt in prompts], CACHE_BYTES // _bytes_per_token(model))
    for group in (part[i : i + MAX_ROWS] for part in groups for i in range(0, len(part), MAX_ROWS)):
        longest = max(len(prompts[i]) for i in group)
        ids = torch.full((len(group), longest), pad)
        mask = torch.zeros((len(group), longest), dtype=torch.long)
        for row, i in enumerate(group):
            ids[row, longest - len(prompts[i]) :] = torch.tensor(prompts[i])
            mask[row, longest - len(prompts[i]) :] = 1
        output = model.generate(
            input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=config
        )
        for row, i in enumerate(group):
            answers[i] = tokenizer.decode(_until_end(output[row, longest:].tolist(), tokenizer.end_ids))
        done += len(group)
        progress(done, len(prompts))
    model.train(was_training)
    return answers


def _bytes_per_token(model: PreTrainedModel) -> int:
    """Keys and values of one token in all layers."""
    config = model.config.get_text_config()
    heads, dtype = config.num_attention_heads, next(model.parameters()).dtype
    settings = config.to_dict()
    kv_heads = settings.get("num_key_value_heads") or heads
    width = settings.get("head_dim") or config.hidden_size // heads
    return 2 * config.num_hidden_layers * kv_heads * width * dtype.itemsize


def _until_end(ids: list[int], end_ids: Sequence[int]) -> list[int]:
    first = next((i for i, token in enumerate(ids) if token in end_ids), len(ids))
    return ids[:first]
