"""Sixteen rows of unequal length at once, four by four, and one by one: one loss and one gradient, for every task."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tunewright import api
from tunewright.data.load_examples import load_examples
from tunewright.data.tokenized.tokenizer import load_tokenizer
from tunewright.data.validation import validate_data
from tunewright.engine.evaluation.evaluator import row_losses
from tunewright.engine.models.load_model import load_base
from tunewright.engine.models.peft_adapter import attach_adapter, planned_config
from tunewright.engine.system.oom import BatchSizeBackoff
from tunewright.engine.tasks.task_losses import RowLoss
from tunewright.engine.tasks.task_registry import make_collator, task_of
from tunewright.launch import start_run
from tunewright.reporting import SILENT

CELLS = [
    ("causal_lm", "llama", "lora"), ("causal_lm", "llama", "prompt_tuning"), ("seq2seq", "t5", "lora"),
    ("seq2seq", "bert2bert", "prefix_tuning"), ("seq_cls", "bert", "lora"), ("seq_cls", "llama", "lora"),
    ("seq_cls", "llama", "p_tuning"), ("token_cls", "bert", "ia3"), ("token_cls", "llama", "prefix_tuning"),
]  # fmt: skip
ROWS = 16


def loss_and_gradient(
    model: Any, plan: Any, rows: Any, tokenizer: Any, max_tokens: int
) -> tuple[float, torch.Tensor, int]:
    """The step as the Trainer makes it: micro-batches of at most `max_tokens`, divided by the step's units."""
    task, cut = task_of(plan), make_collator(plan, tokenizer, max_tokens)
    loss, step = task.loss(plan, rows), cut(rows)
    model.zero_grad()
    total = torch.zeros(())
    for batch in step["parts"][0]:
        part = loss(model, batch) / step["num_label_tokens"]
        part.backward()
        total += part.detach()
    gradients = [p.grad.flatten() for p in model.parameters() if p.requires_grad and p.grad is not None]
    return float(total), torch.cat(gradients), len(step["parts"][0])


@pytest.mark.parametrize(("task", "family", "method"), CELLS)
def test_a_step_is_the_same_however_it_is_cut(
    task: str, family: str, method: str, tiny_model: Callable[..., Path], task_rows: dict[str, Path]
) -> None:
    folder = tiny_model(family)
    named = {"model.name": str(folder), "data.train": str(task_rows[task]), "task": task, "method": method}
    named |= {"data.class_weights": "balanced"} if task.endswith("cls") else {}
    plan = start_run.plan_for(api.load(named=named), reporter=SILENT)
    tokenizer = load_tokenizer(folder, plan.run.model.chat_template)
    assert plan.run.task != "auto" and plan.run.data.max_length != "auto"
    loaded = load_examples(plan.run.data, 42, plan.run.task)
    validated = validate_data(
        loaded, plan.run.data, tokenizer, task=plan.run.task, max_length=plan.run.data.max_length,
        label_last=plan.facts.model.kind == "decoder",
    )  # fmt: skip
    rows = validated.train[:ROWS]
    assert len({len(row.input_ids) for row in rows}) > 4
    model = attach_adapter(load_base(plan, tokenizer), planned_config(plan), seed=1).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    sizes = [make_collator(plan, tokenizer, 1).size(row) for row in rows]
    at_once = loss_and_gradient(model, plan, rows, tokenizer, 10**6)
    in_parts = loss_and_gradient(model, plan, rows, tokenizer, 4 * max(sizes))
    single = loss_and_gradient(model, plan, rows, tokenizer, 1)
    assert at_once[2] <= in_parts[2] < single[2] == ROWS
    for cut in (in_parts, single):
        assert cut[0] == pytest.approx(at_once[0], rel=2e-6)
        torch.testing.assert_close(cut[1], at_once[1], atol=2e-6, rtol=2e-4)
    collator = make_collator(plan, tokenizer, 10**6)
    loss = task_of(plan).loss(plan, rows)
    losses = row_losses(model, rows, loss, collator, SILENT, BatchSizeBackoff())
    alone = [float(loss(model, collator.collate([row], collator.pad_id))) for row in rows]
    assert [row.loss for row in losses] == pytest.approx(alone, rel=1e-5)
    assert [row.row for row in losses] == [row.number for row in rows]
    assert sum(row.units for row in losses) == collator.units(rows)


class Fixed(nn.Module):
    """A model that gives rows the logits it was made with."""

    def __init__(self, logits_BC: torch.Tensor) -> None:
        super().__init__()
        self.logits_BC = logits_BC

    def forward(self, input_ids: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.logits_BC[input_ids[:, 0]])


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("single_label_classification", torch.tensor([2, 0, 1])),
        ("multi_label_classification", torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1]])),
        ("regression", torch.tensor([0.5, -1.0, 3.0])),
    ],
)
def test_losses_of_rows_are_those_of_each_alone(kind: str, labels: torch.Tensor, is_weighted: bool) -> None:
    columns = 1 if kind == "regression" else 3
    model = Fixed(torch.randn(3, columns, generator=torch.Generator().manual_seed(0)))
    loss = RowLoss(kind, torch.tensor([0.5, 1.0, 2.0]) if is_weighted and columns > 1 else None)
    ids = torch.arange(3)[:, None]
    alone = torch.stack([loss(model, {"input_ids": ids[[i]], "labels": labels[[i]]}) for i in range(3)])
    batch = {"input_ids": ids, "labels": labels}
    torch.testing.assert_close(loss(model, batch, by_row=True), alone)
    torch.testing.assert_close(loss(model, batch), alone.sum())
