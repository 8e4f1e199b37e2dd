"""Fast ways to a loss against the plain one, on every family: loss, and every gradient of the adapter.

Tolerances: 1e-5 of the loss and 1e-4 of the gradient's length in fp32, where sums are made in another order. The models are
random and tiny; their sums cancel more than those of a trained one, on which tests/invariants holds 1e-5.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel

from tests import varlen_reference
from tunewright import api
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.engine.evaluation.generation import generate
from tunewright.engine.models.activation_checkpointing import checkpoint_activations
from tunewright.engine.tasks.collator import pad_right
from tunewright.engine.training.loss_backends import select_backend, short_rows
from tunewright.kernels.cross_entropy import LossFunction, answer_loss, answer_loss_unsupported, plain_loss
from tunewright.kernels.document_attention import CannotPack
from tunewright.kernels.kernel_agreement import LossAndGradients, difference, measure
from tunewright.kernels.merged_lora import merged_lora
from tunewright.kernels.packing import (
    attend_by_document,
    pack,
    pack_groups,
    packed_loss,
    packing_unsupported,
    varlen_loss,
)
from tunewright.kernels.varlen_attention import VARLEN
from tunewright.rundir.event_log import EventLog

from .conftest import FAMILIES

pytestmark = pytest.mark.fast_paths
LOSS, GRADIENT = 1e-5, 1e-4
NO_ANSWER_LOSS = {
    "gemma2": "the head uses final_logit_softcapping",
    "granite": "the head uses logits_scaling",
    "phi": "the head is not a plain linear layer",
}
# Attention of their own (biases by distance), not chosen by name; attention with dropout.
NO_PACKING = {"bloom", "falcon", "gpt2"}
# Makes its mask without positions, so packed rows would see each other: a run finds that out and pads.
SYSTEM = [40, 41, 42, 43, 44, 45, 46, 47, 48, 49]


def rows_of(*, shared_prefix: bool) -> list[TokenizedExample]:
    endings = [[3, 4, 5, 6, 7, 8, 2], [9, 10, 11, 2], [12, 13, 14, 15, 16, 17, 18, 19, 2], [9, 10, 20, 21, 2]]
    ids = [[*(SYSTEM if shared_prefix else ()), *ending] for ending in endings]
    learned = len(SYSTEM) + 2 if shared_prefix else 2
    return [TokenizedExample(i, row, [-100] * learned + row[learned:], learned, len(row)) for i, row in enumerate(ids)]


def adapted(folder: Path, rows: Path, **settings: object) -> PeftModel:
    named = {"model.name": str(folder), "data.train": str(rows), "preset": "complex", **settings}
    model, _tokenizer = api.load_for_training(api.load(named=named))
    assert isinstance(model, PeftModel)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return model


def summed(model: PeftModel, loss: LossFunction, batches: list[dict[str, torch.Tensor]]) -> LossAndGradients:
    measured = [measure(model, loss, batch) for batch in batches]
    return LossAndGradients(
        sum(part.loss for part in measured), torch.stack([part.gradients for part in measured]).sum(0)
    )


def assert_equal_losses(plain: LossAndGradients, fast: LossAndGradients) -> None:
    loss, gradient = difference(plain, fast)
    assert loss < LOSS
    assert gradient < GRADIENT


def assert_equal_row_losses(
    model: PeftModel, loss: LossFunction, batch: dict[str, torch.Tensor], rows: list[TokenizedExample]
) -> None:
    """The losses of single rows are those that the plain way gives to each alone."""
    with torch.no_grad():
        alone = torch.stack([plain_loss(model, pad_right([row], 0)) for row in rows])
        torch.testing.assert_close(loss(model, batch, by_row=True), alone, atol=0, rtol=LOSS)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_loss_equals_the_plain_one_or_says_why_not(
    family: str, tiny_model: Callable[..., Path], shop_rows: Path
) -> None:
    model = adapted(tiny_model(family), shop_rows)
    reason = answer_loss_unsupported(model)
    assert reason == NO_ANSWER_LOSS.get(family)
    if reason is None:
        batch = pad_right(rows_of(shared_prefix=False), 0)
        assert_equal_losses(measure(model, plain_loss, batch), measure(model, answer_loss, batch))
        for loss in (plain_loss, answer_loss):
            assert_equal_row_losses(model.eval(), loss, batch, rows_of(shared_prefix=False))


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in NO_ANSWER_LOSS])
def test_packed_rows_give_the_loss_and_gradients_of_padded_ones_or_say_why_not(
    family: str, share: bool, tiny_model: Callable[..., Path], shop_rows: Path
) -> None:
    model = adapted(tiny_model(family), shop_rows)
    reason = packing_unsupported(model, 32)
    assert (reason is not None) == (family in NO_PACKING)
    if reason:
        return
    rows = rows_of(shared_prefix=share)
    plain = measure(model, plain_loss, pad_right(rows, 0))
    packed, alone = pack(rows, share=share), model.eval()
    with torch.no_grad():
        losses = torch.stack([plain_loss(alone, pad_right([row], 0)) for row in rows])
    undo = attend_by_document(model)
    assert packed["input_ids"].shape[1] == sum(len(row.input_ids) for row in rows) - (3 * len(SYSTEM) if share else 0)
    assert_equal_losses(plain, measure(model, packed_loss, packed))
    torch.testing.assert_close(packed_loss(alone, packed, by_row=True), losses, atol=0, rtol=LOSS)
    parts = [pack([rows[i] for i in group], share=share) for group in pack_groups(rows, 24, share=share)]
    assert len(parts) > 1
    assert_equal_losses(plain, summed(model, packed_loss, parts))
    undo()
    assert_equal_losses(plain, measure(model, plain_loss, pad_right(rows, 0)))


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - NO_PACKING - set(NO_ANSWER_LOSS)))
def test_packed_rows_as_a_gpu_computes_them_are_the_plain_ones(
    family: str, share: bool, tiny_model: Callable[..., Path], shop_rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain attention stands in for torch's kernel, which no CPU has."""
    monkeypatch.setattr("tunewright.kernels.varlen_attention.varlen_attn", varlen_reference.varlen_attn)
    model, rows = adapted(tiny_model(family), shop_rows), rows_of(shared_prefix=True)
    plain = measure(model, plain_loss, pad_right(rows, 0))
    packed = pack(rows, share=share)
    undo = attend_by_document(model, VARLEN)
    assert_equal_losses(plain, measure(model, varlen_loss, packed))
    assert_equal_row_losses(model.eval(), varlen_loss, packed, rows)
    assert_equal_losses(plain, measure(model, plain_loss, pad_right(rows, 0)))  # rows in no pack are attended as before
    undo()
    assert_equal_losses(plain, measure(model, plain_loss, pad_right(rows, 0)))


def test_checkpointed_layers_ask_the_kernel_of_a_gpu_again(
    tiny_model: Callable[..., Path], shop_rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunewright.kernels.varlen_attention.varlen_attn", varlen_reference.varlen_attn)
    model, rows = adapted(tiny_model("llama"), shop_rows), rows_of(shared_prefix=True)
    plain = measure(model, plain_loss, pad_right(rows, 0))
    checkpoint_activations(model)
    attend_by_document(model, VARLEN)
    model.train()
    loss = varlen_loss(model, pack(rows, share=True))
    loss.backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad and p.grad is not None])
    assert_equal_losses(plain, LossAndGradients(float(loss.detach()), gradients))


def test_long_rows_are_packed_in_blocks(tiny_model: Callable[..., Path], shop_rows: Path) -> None:
    """Rows longer than a block of attention, with a shared beginning that is longer than one, too."""
    model, draw = adapted(tiny_model("llama"), shop_rows), torch.Generator().manual_seed(0)
    begin = torch.randint(3, 90, (150,), generator=draw).tolist()
    ids = [[*begin, *torch.randint(3, 90, (n,), generator=draw).tolist()] for n in (300, 20, 129)]
    rows = [TokenizedExample(i, row, [-100] * 160 + row[160:], 160, len(row)) for i, row in enumerate(ids)]
    plain = measure(model, plain_loss, pad_right(rows, 0))
    attend_by_document(model)
    assert_equal_losses(plain, measure(model, packed_loss, pack(rows, share=True)))


def test_checkpointed_layers_attend_by_document_again(tiny_model: Callable[..., Path], shop_rows: Path) -> None:
    model, rows = adapted(tiny_model("llama"), shop_rows), rows_of(shared_prefix=True)
    plain = measure(model, plain_loss, pad_right(rows, 0))
    checkpoint_activations(model)
    attend_by_document(model)
    model.train()
    loss = packed_loss(model, pack(rows, share=True))
    loss.backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad and p.grad is not None])
    assert_equal_losses(plain, LossAndGradients(float(loss.detach()), gradients))


def test_a_window_shorter_than_a_row_is_not_packed(tiny_model: Callable[..., Path], shop_rows: Path) -> None:
    model, rows = adapted(tiny_model("mistral"), shop_rows), rows_of(shared_prefix=False)
    for module in model.modules():
        if type(module).__name__ == "MistralAttention":
            module.sliding_window = module.config.sliding_window = 4
    reason = "its attention sees 4 tokens back, and rows are longer"
    assert (packing_unsupported(model, 9), packing_unsupported(model, 4)) == (reason, None)
    attend_by_document(model)
    with pytest.raises(CannotPack):
        packed_loss(model, pack(rows, share=False))


def test_few_and_short_rows_are_compared() -> None:
    """The plain way computes all their logits; a long prompt must not make that larger than the training."""
    lengths = [(900, 950), (3000, 3300), (500, 520), (20, 400), (30, 60)]
    rows = [TokenizedExample(i, [5] * n, [-100] * p + [5] * (n - p), p, n) for i, (p, n) in enumerate(lengths)]
    sample = short_rows(rows)
    assert [(row.number, len(row.input_ids)) for row in sample] == [(2, 44), (0, 48)]
    assert all(any(label >= 0 for label in row.labels) for row in sample)
    assert [len(row.input_ids) for row in short_rows(rows[:2])] == [48, 48]
    assert all(len(row.input_ids) == len(row.labels) for row in sample)


@pytest.mark.parametrize("off", [(), ("shared_prefix",), ("packing",), ("packing", "answer_loss")])
def test_the_fastest_way_that_is_allowed_is_taken(
    off: tuple[str, ...], tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path
) -> None:
    named = {"model.name": str(tiny_model("llama")), "data.train": str(shop_rows)}
    loaded = api.load(named=named | {f"fast_paths.{name}": False for name in off})
    plan, (model, _tokenizer) = api.plan(loaded), api.load_for_training(loaded)
    backend = select_backend(plan, model, rows_of(shared_prefix=True), 0, EventLog(tmp_path / "events.jsonl"))
    expected = {
        (): ("packing", "shared_prefix"), ("shared_prefix",): ("packing",), ("packing",): ("answer_loss",),
        ("packing", "answer_loss"): (),
    }  # fmt: skip
    assert backend.paths == expected[off]


def test_a_way_that_differs_is_left_with_an_alert(
    tiny_model: Callable[..., Path], shop_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = api.load(named={"model.name": str(tiny_model("llama")), "data.train": str(shop_rows)})
    plan, (model, _tokenizer) = api.plan(loaded), api.load_for_training(loaded)
    monkeypatch.setattr(
        "tunewright.engine.training.loss_backends.packed_loss", lambda model, batch: 1.01 * packed_loss(model, batch)
    )
    events = EventLog(tmp_path / "events.jsonl")
    backend = select_backend(plan, model, rows_of(shared_prefix=True), 0, events)
    assert backend.paths == ("answer_loss",)
    assert model.get_base_model().config._attn_implementation == "sdpa"
    alerts = [line for line in (tmp_path / "events.jsonl").read_text().splitlines() if "W501" in line]
    assert len(alerts) == 2


def test_lora_is_merged_while_text_is_written_and_the_weights_are_given_back(
    tiny_model: Callable[..., Path], shop_rows: Path
) -> None:
    folder = tiny_model("llama")
    model, tokenizer = adapted(folder, shop_rows), load_tokenizer(folder)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ids = {"input_ids": torch.tensor([[5, 6, 7, 8]])}
    with torch.no_grad():
        plain = model.eval()(**ids).logits
        with merged_lora(model):
            assert any(not torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
            torch.testing.assert_close(model(**ids).logits, plain, atol=1e-5, rtol=1e-5)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        torch.testing.assert_close(model(**ids).logits, plain, atol=0, rtol=0)
        with model.disable_adapter(), merged_lora(model):
            assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    prompts = [[5, 6, 7], [8, 9]]
    merged, apart = (generate(model, prompts, tokenizer, max_new_tokens=6, merge=merge) for merge in (True, False))
    assert merged == apart
    measure(model, plain_loss, pad_right(rows_of(shared_prefix=False), 0))  # still trains


def test_layers_that_only_another_adapter_has_stay_as_they_are_while_lora_is_merged(
    tiny_model: Callable[..., Path], shop_rows: Path
) -> None:
    model = adapted(tiny_model("llama"), shop_rows, preset="simple")
    model.add_adapter("other", LoraConfig(target_modules=["down_proj"], init_lora_weights=False))
    model.set_adapter("default")
    ids = {"input_ids": torch.tensor([[5, 6, 7, 8]])}
    with torch.no_grad():
        plain = model.eval()(**ids).logits
        with merged_lora(model):
            torch.testing.assert_close(model(**ids).logits, plain, atol=1e-5, rtol=1e-5)
