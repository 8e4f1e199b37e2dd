"""An answer that is streamed: greedily the one of evaluations; sampled, the same for the same seed; ended where it should."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import count, product
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel

from tunewright.data.tokenized.tokenizer import TextTokenizer, load_tokenizer
from tunewright.engine.evaluation.generation import GeneratedText, generate
from tunewright.engine.evaluation.streaming import stream
from tunewright.rundir.session_protocol import GREEDY, Sampling

from .conftest import FAMILIES

PROMPT = [7, 30, 12, 99, 41]
WRITTEN = 24
VARIED: Sampling = {"temperature": 1.5, "top_p": 0.95, "seed": 7, "stop": []}
ADAPTERS = {
    "lora": LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=False, target_modules="all-linear"),
    "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
    "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
}
COMBINATIONS = [
    pair for pair in product(FAMILIES, ADAPTERS) if pair != ("falcon", "prefix")
]  # PEFT's has all its heads


class Streamed:
    """One answer and the pieces that it came in."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: TextTokenizer,
        sampling: Sampling = GREEDY,
        is_interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.pieces: list[str] = []
        self.answer: GeneratedText = stream(
            model, PROMPT, tokenizer, max_new_tokens=WRITTEN, sampling=sampling, merge=True,
            on_text=self.pieces.append, is_interrupted=is_interrupted,
        )  # fmt: skip
        assert self.pieces[0] == "" and "".join(self.pieces) == self.answer.text


@pytest.fixture
def llama(tiny_model: Callable[..., Path]) -> Iterator[tuple[PreTrainedModel, TextTokenizer]]:
    folder = tiny_model("llama")
    torch.manual_seed(3)
    yield AutoModelForCausalLM.from_pretrained(folder, local_files_only=True), load_tokenizer(folder, None)


@pytest.mark.parametrize(("family", "adapter"), COMBINATIONS)
def test_a_greedy_answer_is_the_one_of_evaluations(family: str, adapter: str, tiny_model: Callable[..., Path]) -> None:
    folder = tiny_model(family)
    torch.manual_seed(3)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder, local_files_only=True), deepcopy(ADAPTERS[adapter])
    )
    tokenizer = load_tokenizer(folder, None)
    (expected,) = generate(model, [PROMPT], tokenizer, max_new_tokens=WRITTEN, merge=True)
    assert Streamed(model, tokenizer).answer == expected


def test_an_encoder_with_a_decoder_streams_too(tiny_model: Callable[..., Path]) -> None:
    folder = tiny_model("t5")
    model, tokenizer = (
        AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True),
        load_tokenizer(folder, None),
    )
    (expected,) = generate(model, [PROMPT], tokenizer, max_new_tokens=WRITTEN)
    assert Streamed(model, tokenizer).answer == expected


def test_the_same_seed_gives_the_same_answer(llama: tuple[PreTrainedModel, TextTokenizer]) -> None:
    first, again = Streamed(*llama, VARIED), Streamed(*llama, VARIED)
    assert first.answer == again.answer and first.pieces == again.pieces
    others = [Streamed(*llama, {**VARIED, "seed": seed}).answer for seed in (8, 9, None, None)]
    assert len({first.answer.text, *(answer.text for answer in others)}) == 5
    assert Streamed(*llama, {**VARIED, "top_p": 1e-6}).answer == Streamed(*llama).answer, "one token is left"


def test_temperature_and_top_p_are_all_that_shapes_the_choice(llama: tuple[PreTrainedModel, TextTokenizer]) -> None:
    model, tokenizer = llama
    expected = Streamed(*llama, VARIED).answer
    model.generation_config.update(top_k=1, min_p=0.9, typical_p=0.1, epsilon_cutoff=0.1, repetition_penalty=3.0)
    assert Streamed(model, tokenizer, VARIED).answer == expected


def test_an_answer_ends_before_a_text_to_stop_at(llama: tuple[PreTrainedModel, TextTokenizer]) -> None:
    whole = Streamed(*llama, VARIED).answer
    assert whole.is_cut and len(whole.ids) == WRITTEN
    middle = len(whole.text) // 2
    stop = whole.text[middle : middle + 3]
    expected = whole.text[: whole.text.index(stop)]
    stopped = Streamed(*llama, {**VARIED, "stop": [stop, "never in it"]})
    assert stopped.answer.text == expected and not stopped.answer.is_cut
    assert len(stopped.answer.ids) < WRITTEN
    begun_only = Streamed(*llama, {**VARIED, "stop": [f"{whole.text[-3:]} and more"]})
    assert begun_only.answer == whole, "what was held back as the beginning of a stop is handed on at the end"


def test_an_answer_can_be_interrupted(llama: tuple[PreTrainedModel, TextTokenizer]) -> None:
    tokens = count(1)
    interrupted = Streamed(*llama, VARIED, is_interrupted=lambda: next(tokens) == 5).answer
    whole = Streamed(*llama, VARIED).answer
    assert interrupted.ids == whole.ids[:5] and not interrupted.is_cut


def test_characters_of_several_tokens_come_as_wholes(tiny_model: Callable[..., Path]) -> None:
    folder = tiny_model("llama")
    tokenizer = load_tokenizer(folder, None)
    ids = tokenizer.encode("你好, ça va?")
    assert len(ids) > len("你好, ça va?"), "the tiny tokenizer has bytes"

    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    plan = iter([*ids, tokenizer.end_ids[0]])

    def forced(_head: torch.nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        output = torch.full_like(output, -1e9)
        output[..., next(plan)] = 0
        return output

    with model.get_output_embeddings().register_forward_hook(forced):
        streamed = Streamed(model, tokenizer)
    assert streamed.answer.text == "你好, ça va?" and not any("\ufffd" in piece for piece in streamed.pieces)
