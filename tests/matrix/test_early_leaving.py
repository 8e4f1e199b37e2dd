"""Rows that have ended leave a batch: the answers are those of `generate` alone, and nothing is computed for who has left."""

from collections import Counter

import pytest
import torch
from transformers import DynamicCache, GenerationConfig, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from tunewright.engine.evaluation.early_leaving import LEAVING, PromptBatch, written_rows
from tunewright.engine.evaluation.key_cache import ROOM, make_room

from .families import MAMBAS, ZOO

# Of what has an encoder two are enough; transformers itself generates with no T5 whose decoder has another depth.
ENCODERS = ("bart", "encoder-decoder")
WRITERS = {name: tiny for name, tiny in {**ZOO, **MAMBAS}.items() if tiny.task == "causal_lm" or name in ENCODERS}
CONSTANT_STATE = ("mamba", "mamba2", "falcon_h1", "rwkv")  # no row of it can be taken out
LONGEST, SHARED, WRITTEN, ROWS = 15, 9, 24, 16
END_IDS = list(range(2, 512, 14))  # so that some rows end early, some late, some never


def settings() -> GenerationConfig:
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=WRITTEN,
        eos_token_id=END_IDS,
        pad_token_id=END_IDS[0],
        use_cache=True,
    )


def batch_for(model: PreTrainedModel, shared: int = 0) -> PromptBatch:
    """Random prompts of several lengths, padded as the model reads them; the first tokens of all may be the same."""
    torch.manual_seed(5)
    beginning = torch.randint(5, 500, (shared,))
    has_encoder = bool(model.config.is_encoder_decoder)
    ids, mask = torch.full((ROWS, LONGEST), 2), torch.zeros(ROWS, LONGEST, dtype=torch.long)
    for row in range(ROWS):
        length = LONGEST - row % 5
        place = slice(0, length) if has_encoder else slice(LONGEST - length, LONGEST)
        ids[row, place] = torch.cat([beginning, torch.randint(5, 500, (length - shared,))])
        mask[row, place] = 1
    return PromptBatch(model, {"input_ids": ids, "attention_mask": mask}, 1 if has_encoder else LONGEST)


def until_end(ids: list[int]) -> list[int]:
    first = next((i for i, token in enumerate(ids) if token in END_IDS), len(ids))
    return ids[: first + 1]


def work_of(model: PreTrainedModel) -> list[int]:
    """How many rows each call of the model had."""
    rows: list[int] = []
    head = model.get_output_embeddings()
    head.register_forward_hook(lambda _head, inputs, _output: rows.append(inputs[0].shape[0]))
    return rows


@pytest.mark.parametrize("shared", [0, SHARED])
@pytest.mark.parametrize("name", WRITERS)
@torch.no_grad()
def test_answers_are_those_of_generate_alone(name: str, shared: int) -> None:
    model = WRITERS[name].build()
    batch = batch_for(model, shared)
    whole = model.generate(**batch.inputs, generation_config=settings())[:, batch.start_of_answer :].tolist()
    rows, tokens = work_of(model), Counter[str]()
    written = dict(written_rows(batch, settings(), lambda: tokens.update(["token"])))
    assert tokens["token"] >= max(map(len, written.values())), "others that wait hear of each token"
    assert sorted(written) == list(range(ROWS))
    assert [until_end(written[row]) for row in range(ROWS)] == list(map(until_end, whole))
    lengths = sorted(len(until_end(ids)) for ids in whole)
    if not model.config.is_encoder_decoder and name not in CONSTANT_STATE and lengths[ROWS // LEAVING] < lengths[-1]:
        if shared:
            assert rows.pop(0) == 1
        assert rows == sorted(rows, reverse=True) and rows[-1] < rows[0] == ROWS
        # A part ends when enough have ended, so at most one row in LEAVING is computed in vain at any step.
        in_vain = [row_count - sum(length > step for length in lengths) for step, row_count in enumerate(rows)]
        assert max(in_vain) < ROWS / LEAVING


def test_a_cache_with_room_holds_what_one_that_is_copied_holds() -> None:
    torch.manual_seed(0)
    plain, roomy = DynamicCache(), DynamicCache()
    for cache in (plain, roomy):
        torch.manual_seed(1)
        for layer in range(2):
            cache.update(torch.randn(4, 2, 7, 8), torch.randn(4, 2, 7, 8), layer)
    assert make_room(roomy)
    for step in range(2 * ROOM + 5):
        new = [torch.randn(plain.layers[0].keys.shape[0], 2, 1, 8) for _ in range(2)]
        for layer in range(2):
            assert all(map(torch.equal, plain.update(*new, layer), roomy.update(*new, layer)))
        if step == ROOM + 2:
            kept = torch.tensor([0, 2, 3])
            plain.batch_select_indices(kept)
            roomy.batch_select_indices(kept)
        if step == ROOM + 9:
            plain.crop(-3)
            roomy.crop(-3)
        assert plain.get_seq_length() == roomy.get_seq_length()


def test_room_is_made_once_in_a_while() -> None:
    cache = DynamicCache()
    cache.update(torch.randn(1, 1, 3, 4), torch.randn(1, 1, 3, 4), 0)
    assert make_room(cache)
    places = set()
    for _step in range(ROOM):
        cache.update(torch.randn(1, 1, 1, 4), torch.randn(1, 1, 1, 4), 0)
        places.add(cache.layers[0].keys.data_ptr())
    assert len(places) == 1


def test_windows_stay_as_they_are_and_other_caches_too() -> None:
    config = ZOO["gemma2"].config()
    sliding = DynamicCache(config=config)
    assert not make_room(sliding)  # nothing is in it
    for number in range(len(sliding.layers)):
        sliding.update(torch.randn(1, 1, 3, 4), torch.randn(1, 1, 3, 4), number)
    kinds = [type(layer) for layer in sliding.layers]
    assert make_room(sliding)
    changed = [type(layer) is not kind for layer, kind in zip(sliding.layers, kinds, strict=True)]
    assert changed == [kind is DynamicLayer for kind in kinds] and any(changed) and not all(changed)
    hybrid = DynamicCache(config=ZOO["falcon_h1"].config())
    layers = list(hybrid.layers)
    assert not make_room(hybrid) and not make_room(None) and hybrid.layers == layers
