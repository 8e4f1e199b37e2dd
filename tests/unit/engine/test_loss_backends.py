"""Which loss backend is selected: the fastest that the plan names, the model supports, and that agrees with the plain one."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

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
from tunewright.inspection.machine_info import MachineInfo, SpeedProbe
from tunewright.kernels.cross_entropy import answer_loss, plain_loss
from tunewright.kernels.packing import packed_loss, varlen_loss
from tunewright.planning.memory_estimate import COMPARED_TOKENS, LEARNED_TOKENS
from tunewright.planning.run_plan import InspectedFacts
from tunewright.rundir.event_log import EventLog, read_events

from .conftest import Rows

ALL = ("packing", "shared_prefix", "answer_loss")


def plan_with(*paths: str, device: str = "cpu", max_length: int = 32) -> Any:
    return SimpleNamespace(
        fast_paths=paths,
        run=SimpleNamespace(task="causal_lm", data=SimpleNamespace(max_length=max_length, class_weights="none")),
        facts=InspectedFacts.model_construct(
            machine=MachineInfo.model_construct(probe=SpeedProbe.model_construct(device=device))
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
        (ALL, "cuda", [("packing",), ("answer_loss",)]),
        ((), "cpu", []),
    ],
)
def test_backends_of_a_plan_are_the_fastest_first(
    paths: tuple[str, ...], device: str, expected: list[tuple[str, ...]]
) -> None:
    backends = list(fast_backends(plan_with(*paths, device=device)))
    assert [backend.paths for backend in backends] == expected
    if device == "cuda":
        assert backends[0].loss is varlen_loss


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
    assert sorted(batch["input_ids"].shape for batch in step["micro_batches"]) == [(1, 15)]
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
