"""Answers of a model to prompts: batched, greedy, the longest prompts first.

Prompts of a decoder are padded on the left and its answer follows them; those of an encoder on the right, and the
answer is a sequence of its own.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedModel

from tunewright.data.tokenized.micro_batches import micro_batches
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.engine.evaluation.early_leaving import PromptBatch, written_rows
from tunewright.engine.system.oom import BatchSizeBackoff, RowGroup
from tunewright.kernels.merged_lora import merged_lora
from tunewright.planning.resolve import CACHE_BYTES, ROWS_WRITTEN_AT_ONCE
from tunewright.reporting import SILENT, Reporter


@dataclass(frozen=True)
class GeneratedText:
    """What a model generated; `is_cut` if it did not end within `max_new_tokens`. `ids` are without the end token."""

    text: str
    is_cut: bool
    ids: tuple[int, ...]


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    tokenizer: TextTokenizer,
    *,
    max_new_tokens: int,
    merge: bool = False,
    reporter: Reporter = SILENT,
    backoff: BatchSizeBackoff | None = None,
) -> list[GeneratedText]:
    """The greedy answer to each prompt, in the order of the prompts, special tokens left out.

    With `merge` LoRA is merged into the weights while it generates. Cost: at most CACHE_BYTES of keys and values at once, or one
    row's.
    """
    with merged_lora(model) if merge else nullcontext(), contiguous_head(model):
        return _generate(model, prompts, tokenizer, max_new_tokens, reporter, backoff or BatchSizeBackoff())


@contextmanager
def contiguous_head(model: PreTrainedModel) -> Iterator[None]:
    """The last positions of a batch as a matrix of their own before the output layer reads them.

    Of a view of them torch makes a batch of products, and oneDNN a copy of the output layer for each row (4.4 GiB for 40
    prompts of SmolLM2).
    """
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _head, inputs: (inputs[0].contiguous(), *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()


def _generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    tokenizer: TextTokenizer,
    max_new_tokens: int,
    reporter: Reporter,
    backoff: BatchSizeBackoff,
) -> list[GeneratedText]:
    was_training = model.training
    model.eval()
    settings = generation_config(model, tokenizer, max_new_tokens, do_sample=False)
    answers: dict[int, GeneratedText] = {}
    lengths = [len(prompt) + max_new_tokens for prompt in prompts]
    groups = micro_batches(lengths, CACHE_BYTES // _bytes_per_token(model))

    def generate_group(group: RowGroup) -> None:
        batch = prompt_batch(model, [prompts[i] for i in group], tokenizer.end_ids[0])
        for row, ids in written_rows(batch, settings, backoff.beat):
            answer_ids = before_end(ids, tokenizer.end_ids)
            answers[group[row]] = GeneratedText(
                tokenizer.decode(answer_ids), is_cut=len(answer_ids) == max_new_tokens, ids=tuple(answer_ids)
            )
        reporter.progress(backoff.ranks.scaled(len(answers), len(prompts)), len(prompts))

    limit = ROWS_WRITTEN_AT_ONCE
    groups = [group[i : i + limit] for group in groups for i in range(0, len(group), limit)]
    backoff.for_each(groups, generate_group, is_one_pass=False)
    model.train(was_training)
    gathered = backoff.ranks.union({i: vars(answer) for i, answer in answers.items()})
    return [GeneratedText(**{**gathered[i], "ids": tuple(gathered[i]["ids"])}) for i in range(len(prompts))]


def generation_config(
    model: PreTrainedModel, tokenizer: TextTokenizer, max_new_tokens: int, **sampling: float
) -> GenerationConfig:
    """Settings that say all that matters themselves: what is left out, transformers takes from the model's own."""
    has_encoder = bool(model.config.is_encoder_decoder)
    start = {"decoder_start_token_id": model.generation_config.decoder_start_token_id} if has_encoder else {}
    return GenerationConfig(
        **start,
        **sampling,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        min_length=0,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(tokenizer.end_ids),
        pad_token_id=tokenizer.end_ids[0],
        use_cache=True,
    )


def prompt_batch(model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad: int) -> PromptBatch:
    """The prompts in one batch, on the model's device."""
    has_encoder, longest = bool(model.config.is_encoder_decoder), max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        place = slice(0, len(prompt)) if has_encoder else slice(longest - len(prompt), longest)
        ids[row, place] = torch.tensor(prompt)
        mask[row, place] = 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    if not has_encoder and _has_learned_prompt(model):
        return PromptBatch(model.get_base_model(), _embeddings_with_learned_prompt(model, ids, mask), 0)
    return PromptBatch(model, {"input_ids": ids, "attention_mask": mask}, 1 if has_encoder else longest)


def _has_learned_prompt(model: PreTrainedModel) -> bool:
    """Whether learned vectors precede the text (a prefix is keys and values instead)."""
    config = model.active_peft_config if isinstance(model, PeftModel) else None
    return config is not None and config.is_prompt_learning and config.peft_type != "PREFIX_TUNING"


def _embeddings_with_learned_prompt(
    model: PeftModel, ids_BT: torch.Tensor, mask_BT: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The vectors of padded prompts with the learned ones right before each text, as the base takes them.

    PEFT puts them before the padding, which then counts as positions between them and the text.
    """
    learned_BVd = model.get_prompt(batch_size=len(ids_BT))
    text_BTd = model.get_base_model().get_input_embeddings()(ids_BT)
    ones_V = mask_BT.new_ones(learned_BVd.shape[1])
    padding = (mask_BT == 0).sum(dim=1).tolist()
    rows = zip(text_BTd, learned_BVd.to(text_BTd.dtype), mask_BT, padding, strict=True)
    joined = [
        (torch.cat([text[:pad], learned, text[pad:]]), torch.cat([mask[:pad], ones_V, mask[pad:]]))
        for text, learned, mask, pad in rows
    ]
    vectors, masks = zip(*joined, strict=True)
    return {"inputs_embeds": torch.stack(vectors), "attention_mask": torch.stack(masks)}


def _bytes_per_token(model: PreTrainedModel) -> int:
    """Keys and values of one token in all layers."""
    config = model.config.get_text_config(decoder=True)
    heads, dtype = config.num_attention_heads, next(model.parameters()).dtype
    settings = config.to_dict()
    kv_heads = settings.get("num_key_value_heads") or heads
    width = settings.get("head_dim") or config.hidden_size // heads
    return 2 * config.num_hidden_layers * kv_heads * width * dtype.itemsize


def before_end(ids: list[int], end_ids: Sequence[int]) -> list[int]:
    """The ids in front of the first end token."""
    first = next((i for i, token in enumerate(ids) if token in end_ids), len(ids))
    return ids[:first]
