"""The comparison before step 1 on the real model in 16 bits: it lets packed rows pass, and not rows that see each other.

Thirty blocks of rounding are what a tiny model does not have: its packed and padded gradients are ten times as near.
"""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.real_model import fetched
from tunewright.data import demo_data
from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.engine.tasks.collator import pad_right
from tunewright.engine.training.loss_backends import short_rows
from tunewright.kernels.cross_entropy import MicroBatch, answer_loss, plain_loss
from tunewright.kernels.document_attention import NAME
from tunewright.kernels.kernel_agreement import agreement, measure
from tunewright.kernels.mixed_precision import to_mixed
from tunewright.kernels.packing import attend_by_document, pack, packed_loss

SAMPLES = 3


@pytest.fixture(scope="module")
def model_path() -> Path:
    return fetched("smollm2")


@pytest.fixture(scope="module")
def samples(model_path: Path) -> list[list[TokenizedExample]]:
    """Pairs of short rows, as they are compared."""
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    rows = []
    for number, row in enumerate(demo_data.generate("train", 64 * SAMPLES, seed=7)):
        turns = demo_data.as_messages(row)["messages"]
        prompt = tokenizer.apply_chat_template(turns[:-1], add_generation_prompt=True, return_dict=False)
        ids = tokenizer.apply_chat_template(turns, return_dict=False)
        labels = [IGNORED] * len(prompt) + ids[len(prompt) :]
        rows.append(TokenizedExample(number, ids, labels, 0, len(prompt)))
    return [short_rows(rows[start : start + 64]) for start in range(0, len(rows), 64)]


@pytest.fixture(scope="module", params=["mixed", "bf16"])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(model_path: Path, precision: str) -> PeftModel:
    base = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.bfloat16)
    torch.manual_seed(0)
    adapter = LoraConfig(r=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    model = get_peft_model(to_mixed(base) if precision == "mixed" else base, adapter)
    attend_by_document(model, NAME)
    return model


def seeing_each_other(rows: list[TokenizedExample]) -> MicroBatch:
    """Packed rows as one document."""
    batch = pack(rows, share=False)
    return {**batch, "spans": torch.tensor([[0, batch["input_ids"].shape[1], 0, 0]])}


def test_what_is_right_passes_and_rows_that_see_each_other_do_not(
    model: PeftModel, precision: str, samples: list[list[TokenizedExample]]
) -> None:
    for rows in samples:
        plain = measure(model, plain_loss, pad_right(rows, 0))
        for share in (True, False):
            assert agreement(precision, plain, measure(model, packed_loss, pack(rows, share=share)))
        assert agreement(precision, plain, measure(model, answer_loss, pad_right(rows, 0)))
        assert not agreement(precision, plain, measure(model, packed_loss, seeing_each_other(rows)))
