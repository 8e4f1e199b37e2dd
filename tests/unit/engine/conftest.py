"""Tiny models and rows for tests of the engine: nothing is loaded, nothing trains for longer than a step."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, set_seed

from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.rundir.event_log import EventLog

VOCABULARY = 16
Rows = Callable[..., list[TokenizedExample]]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def causal_rows() -> Rows:
    """Rows of the given lengths; the first token of each is a prompt."""

    def make(*lengths: int) -> list[TokenizedExample]:
        rows = []
        for number, length in enumerate(lengths):
            ids = [1 + (number + position) % (VOCABULARY - 1) for position in range(length)]
            rows.append(TokenizedExample(number, ids, [IGNORED, *ids[1:]], 1, length))
        return rows

    return make


@pytest.fixture
def tiny_causal_model() -> PeftModel:
    """A causal model of some hundred parameters with LoRA on q_proj; B is not zero."""
    set_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        attn_implementation="sdpa",
    )
    lora = LoraConfig(r=2, lora_alpha=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    return get_peft_model(LlamaForCausalLM(config), lora)


@pytest.fixture
def events(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "events.jsonl")
