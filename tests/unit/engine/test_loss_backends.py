"""Which loss backend is selected: the fastest that the plan names, the model supports, and that agrees with the plain one."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from tests import varlen_reference
from tunewright.engine.tasks.collator import StepCollator, pad_right
from tunewright.engine.tasks.task_losses import predicted_tokens
from tunewright.engine.training import loss_backends
from tunewright.engine.training.loss_backends import (
    fast_backends,
    known_backend,
    plain_backend,
    select_backend,
    shortened,
)
from tunewright.kernels import varlen_attention
from tunewright.kernels.cross_entropy import answer_loss, plain_loss
from tunewright.kernels.document_attention import NAME as DOCUMENTS
from tunewright.kernels.packing import packed_loss, varlen_loss
from tunewright.kernels.varlen_attention import VARLEN
from tunewright.planning.memory_estimate import COMPARED_TOKENS, LEARNED_TOKENS
from tunewright.rundir.event_log import EventLog, read_events

from .conftest import Rows

ALL = ("packing", "shared_prefix", "answer_loss")


def plan_with(*paths: str, max_length: int = 32, precision: str = "fp32") -> Any:
    return SimpleNamespace(
        fast_paths=paths,
        run=SimpleNamespace(
            task="causal_lm",
            model=SimpleNamespace(precision=precision),
            data=SimpleNamespace(max_length=max_length, class_weights="none"),
        ),
    )


def alerts(events: EventLog) -> list[str]:
    return [event.problem.code for event in read_events(events.path) if event.kind == "alert"]


def notes(events: EventLog) -> list[str]:
    return [event.text for event in read_events(events.path) if event.kind == "note"]


@pytest.mark.parametrize(
    ("paths", "device", "expected"),
    [
        (ALL, "cpu", [("packing", "shared_prefix"), ("packing",), ("answer_loss",)]),
        (("packing",), "cpu", [("packing",)]),
        (("answer_loss",), "cpu", [("answer_loss",)]),
        (ALL, "cuda", [("packing", "shared_prefix"), ("packing",), ("answer_loss",)]),
        ((), "cpu", []),
    ],
)
def test_backends_of_a_plan_are_the_fastest_first(
    paths: tuple[str, ...], device: str, expected: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_backends, "is_on_cpu", lambda: device == "cpu")
    backends = list(fast_backends(plan_with(*paths)))
    assert [backend.paths for backend in backends] == expected
    packed = {(b.loss, b.attention) for b in backends if "packing" in b.paths}
    assert packed <= {(packed_loss, DOCUMENTS) if device == "cpu" else (varlen_loss, VARLEN)}


@pytest.fixture
def on_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of which torch says that it has the kernel; a plain attention is in the kernel's place."""
    monkeypatch.setattr(loss_backends, "is_on_cpu", lambda: False)
    monkeypatch.setattr(loss_backends, "has_varlen_attention", lambda: True)
    monkeypatch.setattr(varlen_attention, "varlen_attn", varlen_reference.varlen_attn)


def test_a_card_packs_rows_in_bf16_by_torchs_kernel(
    on_card: None, tiny_causal_model: PeftModel, causal_rows: Rows, events: EventLog
) -> None:
    in_fp32 = select_backend(plan_with(*ALL), tiny_causal_model, causal_rows(9, 7, 5, 8), 0, events)
    assert in_fp32.loss is answer_loss
    assert notes(events)[-1] == "packing: packed rows on a GPU are computed in bf16 and fp16 only"
    backend = select_backend(
        plan_with(*ALL, precision="bf16"), tiny_causal_model.bfloat16(), causal_rows(9, 7, 5, 8), 0, events
    )
    assert (backend.loss, backend.paths) == (varlen_loss, ("packing", "shared_prefix"))
    assert not alerts(events)


def test_a_kernel_that_aligns_its_triangle_at_the_beginning_is_found(
    on_card: None, tiny_causal_model: PeftModel, causal_rows: Rows, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one thing of torch's kernel that was read and not run: with it, no beginning may be shared."""
    monkeypatch.setattr(varlen_reference, "END_ALIGNED", False)
    backend = select_backend(
        plan_with(*ALL, precision="bf16"), tiny_causal_model.bfloat16(), causal_rows(9, 7, 5, 8), 0, events
    )
    assert backend.paths == ("packing",)
    assert notes(events) == ["shared_prefix: torch's kernel lets a row see the beginning of its prefix only"]


def test_what_a_card_has_no_kernel_for_is_noted(
    on_card: None, tiny_causal_model: PeftModel, causal_rows: Rows, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.\nat ...")

    monkeypatch.setattr(varlen_attention, "varlen_attn", missing)
    model = tiny_causal_model.bfloat16()
    before = model.config._attn_implementation
    assert select_backend(plan_with(*ALL, precision="bf16"), model, causal_rows(9, 7), 0, events).loss is answer_loss
    assert notes(events)[-1] == "packing: FlashAttention only supports Ampere GPUs or newer."
    assert model.config._attn_implementation == before
    monkeypatch.setattr(loss_backends, "has_varlen_attention", lambda: False)
    assert select_backend(plan_with(*ALL, precision="bf16"), model, causal_rows(9, 7), 0, events).loss is answer_loss
    assert notes(events)[-1] == "packing: torch has no kernel for packed rows on this device"


def test_a_card_that_is_full_is_not_taken_for_one_without_the_kernel(
    on_card: None, tiny_causal_model: PeftModel, causal_rows: Rows, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(varlen_attention, "varlen_attn", full)
    with pytest.raises(torch.OutOfMemoryError):
        select_backend(plan_with(*ALL, precision="bf16"), tiny_causal_model.bfloat16(), causal_rows(9, 7), 0, events)


@pytest.mark.parametrize(("paths", "expected"), [(ALL, packed_loss), (("answer_loss",), answer_loss), ((), plain_loss)])
def test_the_first_planned_backend_that_agrees_is_selected(
    paths: tuple[str, ...], expected: object, tiny_causal_model: PeftModel, causal_rows: Rows, events: EventLog
) -> None:
    backend = select_backend(plan_with(*paths), tiny_causal_model, causal_rows(9, 7, 5, 8), 0, events)
    assert backend.loss is expected
    assert not alerts(events)


def test_a_backend_with_other_gradients_is_refused_with_an_alert(
    tiny_causal_model: PeftModel, causal_rows: Rows, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = tiny_causal_model.config._attn_implementation

    def scaled(model: nn.Module, batch: Any, *, by_row: bool = False) -> torch.Tensor:
        return 1.01 * packed_loss(model, batch, by_row=by_row)

    monkeypatch.setattr(loss_backends, "packed_loss", scaled)
    backend = select_backend(plan_with(*ALL), tiny_causal_model, causal_rows(9, 7, 5, 8), 0, events)
    assert backend.paths == ("answer_loss",)
    assert alerts(events) == ["W501", "W501"]
    assert tiny_causal_model.config._attn_implementation == attention, "attention is as it was"


def test_a_model_that_is_not_supported_is_noted_and_the_plain_loss_selected(
    tiny_causal_model: PeftModel, causal_rows: Rows, events: EventLog
) -> None:
    base = tiny_causal_model.unload()
    base.config.attention_dropout = 0.1
    base.lm_head = nn.Linear(8, 16, bias=True)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    backend = select_backend(plan_with(*ALL), model, causal_rows(5, 4), 0, events)
    assert backend.loss is plain_loss
    assert notes(events)[-1] == "answer_loss: the head is not a plain linear layer"


def test_a_window_shorter_than_the_rows_is_noted(
    tiny_causal_model: PeftModel, causal_rows: Rows, events: EventLog
) -> None:
    tiny_causal_model.get_base_model().config.sliding_window = 16
    backend = select_backend(plan_with("packing", max_length=32), tiny_causal_model, causal_rows(5, 4), 0, events)
    assert backend.loss is plain_loss
    assert notes(events) == ["packing: its attention sees 16 tokens back, and rows are longer"]


def test_the_backend_of_a_finished_run_is_not_compared_again(
    tiny_causal_model: PeftModel, causal_rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_backends, "measure", lambda *_: pytest.fail("compared"))
    assert known_backend(plan_with(*ALL), tiny_causal_model, causal_rows(5)).loss is packed_loss
    assert known_backend(plan_with(), tiny_causal_model, causal_rows(5)).loss is plain_loss


def test_a_backend_brings_its_own_micro_batches(causal_rows: Rows) -> None:
    plan, rows = plan_with("packing"), causal_rows(6, 5, 4)
    collator = StepCollator(pad_right, predicted_tokens, lambda row: len(row.input_ids), 0, 16)
    (packing,) = fast_backends(plan)
    step = packing.adapt(collator)(rows)
    assert sorted(batch["input_ids"].shape for batch in step["parts"][0]) == [(1, 15)]
    assert int(step["num_padding"]) == 0
    assert plain_backend(plan, rows).adapt(collator) == collator


def test_rows_to_compare_keep_the_beginning_of_prompt_and_of_label_tokens(causal_rows: Rows) -> None:
    (row,) = causal_rows(4 * COMPARED_TOKENS)
    first_label = 2 * COMPARED_TOKENS
    row = loss_backends.replace(row, labels=[-100] * first_label + row.input_ids[first_label:])
    short = shortened(row, COMPARED_TOKENS)
    assert len(short.input_ids) == len(short.labels) == COMPARED_TOKENS
    assert short.input_ids[: COMPARED_TOKENS - LEARNED_TOKENS] == row.input_ids[: COMPARED_TOKENS - LEARNED_TOKENS]
    assert short.labels[-LEARNED_TOKENS:] == row.labels[first_label : first_label + LEARNED_TOKENS]
