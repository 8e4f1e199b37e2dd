"""A batch of answers, written by transformers' `generate` in parts: between them the rows that have ended leave the batch.

`generate` alone goes on with all rows until the last one has ended, copies all keys and values for each token, and reads what
all prompts begin with once for each. What each row is computed from is the same; only the size of the products changes, and
with it their rounding.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from torch import Tensor
from transformers import Cache, GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from tunewright.data.tokenized.micro_batches import SHORTEST_PREFIX
from tunewright.engine.evaluation.key_cache import make_room, spread

FEWEST_ROWS = 4  # for fewer a beginning of their own costs more than it saves
LEAVING = 8  # a part of the writing ends when one row in so many has ended


@dataclass(frozen=True)
class PromptBatch:
    """Padded prompts as transformers' `generate` takes them."""

    generator: PreTrainedModel
    """What generates: the model, or the base behind learned vectors."""
    inputs: dict[str, Tensor]
    start_of_answer: int
    """Where the answers begin in the ids that come back."""


class _SomeEnded(StoppingCriteria):
    """Stops all rows as soon as enough of them have ended, or after the first token."""

    def __init__(self, end_ids: list[int], rows: int, *, is_first: bool) -> None:
        self.end_ids = torch.tensor(end_ids)
        self.ended = torch.zeros(rows, dtype=torch.bool)
        self.is_first = is_first

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        self.ended |= torch.isin(input_ids[:, -1].cpu(), self.end_ids)
        is_over = self.is_first or int(self.ended.sum()) * LEAVING >= len(self.ended)
        return torch.full((len(self.ended),), is_over, device=input_ids.device)


class _AfterEachToken(StoppingCriteria):
    """Calls a function after each token, and stops no row."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        self.call()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def written_rows(
    batch: PromptBatch, settings: GenerationConfig, on_token: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, list[int]]]:
    """The rows of a batch by position, each with the ids of its answer, an end token included; all are of one length or ended.

    `on_token` is called after each token of the whole batch.
    """
    after_each = _AfterEachToken(on_token)
    written = _in_parts(batch, settings, after_each) if _reads_texts_alone(batch) else None
    if written is None:
        output = batch.generator.generate(
            **batch.inputs, generation_config=settings, stopping_criteria=StoppingCriteriaList([after_each])
        )
        yield from enumerate(output[:, batch.start_of_answer :].tolist())
    else:
        yield from written


def _reads_texts_alone(batch: PromptBatch) -> bool:
    """Whether the model is a decoder whose cache holds what its ids say, and nothing that was learned."""
    model = batch.generator
    if model.config.is_encoder_decoder or "input_ids" not in batch.inputs:
        return False
    config = model.active_peft_config if isinstance(model, PeftModel) else None
    if config is None:
        return True
    finds_its_start = isinstance(config, LoraConfig) and config.alora_invocation_tokens is not None
    return not (config.is_prompt_learning or finds_its_start)


def _in_parts(
    batch: PromptBatch, settings: GenerationConfig, after_each: StoppingCriteria
) -> list[tuple[int, list[int]]] | None:
    """The rows as they leave; None for a model whose cache cannot lose rows."""
    ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
    end_ids, end = settings.eos_token_id, ids.shape[1] + settings.max_new_tokens
    rows, left = list(range(len(ids))), []
    cache = _shared_beginning(batch, settings)
    while rows:
        stop = _SomeEnded(end_ids, len(rows), is_first=cache is None)
        written = _part(batch.generator, ids, mask, settings, end - ids.shape[1], cache, (after_each, stop))
        if cache is None:
            cache = written.past_key_values
            if not make_room(cache):
                return None
        going = [] if written.sequences.shape[1] == end else (~stop.ended).nonzero().flatten().tolist()
        answers = written.sequences[:, batch.start_of_answer :].tolist()
        left += [(rows[place], answers[place]) for place in set(range(len(rows))) - set(going)]
        mask = torch.cat([mask, mask.new_ones(len(mask), written.sequences.shape[1] - mask.shape[1])], dim=1)
        ids, rows = written.sequences, [rows[place] for place in going]
        if rows and len(rows) < len(ids):
            row_indices = torch.tensor(going, device=ids.device)
            cache.batch_select_indices(row_indices)
            ids, mask = ids[row_indices], mask[row_indices]
    return left


def _part(
    generator: PreTrainedModel,
    ids: Tensor,
    mask: Tensor,
    settings: GenerationConfig,
    max_new_tokens: int,
    cache: Cache | None = None,
    criteria: Sequence[StoppingCriteria] = (),
) -> Any:
    """What `generate` returns for texts whose beginning may be in the cache already."""
    part = copy.copy(settings)
    part.max_new_tokens, part.return_dict_in_generate = max_new_tokens, True
    known = {} if cache is None else {"past_key_values": cache}
    return generator.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=part,
        stopping_criteria=StoppingCriteriaList(criteria),
        **known,
    )


def _shared_beginning(batch: PromptBatch, settings: GenerationConfig) -> Cache | None:
    """The cache of what all prompts begin with, computed once for all of them; None where that is too little, or cannot be."""
    ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
    padding = ids.shape[1] - mask.sum(dim=1)
    places = padding[:, None] + torch.arange(int(mask.sum(dim=1).min()) - 1, device=ids.device)
    beginnings = ids.gather(1, places)
    length = int((beginnings == beginnings[0]).all(dim=0).long().cumprod(dim=0).sum())
    if len(ids) < FEWEST_ROWS or length < SHORTEST_PREFIX:
        return None
    beginning = beginnings[:1, :length]
    cache = _part(batch.generator, beginning, torch.ones_like(beginning), settings, 1).past_key_values
    return cache if make_room(cache) and spread(cache, padding) else None
