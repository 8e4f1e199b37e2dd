"""The tasks in the worker, one row each; what the parent knows of them is in `config/tasks.py`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from tunewright.config.tasks import Task
from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer
from tunewright.engine.tasks.collator import Collate, StepCollator, pad_labelled, pad_right
from tunewright.engine.tasks.task_losses import (
    RowLoss,
    TagLoss,
    balanced_weights,
    labelled,
    predicted_tokens,
    seq2seq_loss,
)
from tunewright.kernels.cross_entropy import LossFunction, plain_loss
from tunewright.planning.run_plan import Plan


def _tokens(row: TokenizedExample) -> int:
    return len(row.input_ids)


def _tokens_and_targets(row: TokenizedExample) -> int:
    return len(row.input_ids) + len(row.labels)


def _rows(rows: Sequence[TokenizedExample]) -> int:
    return len(rows)


def _weights(plan: Plan, rows: Sequence[TokenizedExample]) -> Tensor | None:
    if plan.run.data.class_weights == "none" or plan.facts.data.problem_type == "regression":
        return None
    is_multi_label = plan.facts.data.problem_type == "multi_label_classification"
    return balanced_weights(rows, len(plan.facts.data.labels), is_multi_label=is_multi_label)


@dataclass(frozen=True)
class EngineTask:
    """How a task loads, collates, computes its loss and counts: the loss is a sum, divided by the step's `units`."""

    auto_class: Any
    collate: Collate
    loss: Callable[[Plan, Sequence[TokenizedExample]], LossFunction]
    units: Callable[[Sequence[TokenizedExample]], int]
    size: Callable[[TokenizedExample], int] = _tokens


ENGINE_TASKS: Mapping[Task, EngineTask] = {
    "causal_lm": EngineTask(AutoModelForCausalLM, pad_right, lambda plan, rows: plain_loss, predicted_tokens),
    "seq2seq": EngineTask(
        AutoModelForSeq2SeqLM, pad_right, lambda plan, rows: seq2seq_loss, labelled, _tokens_and_targets
    ),
    "seq_cls": EngineTask(
        AutoModelForSequenceClassification,
        pad_labelled,
        lambda plan, rows: RowLoss(str(plan.facts.data.problem_type), _weights(plan, rows)),
        _rows,
    ),
    "token_cls": EngineTask(
        AutoModelForTokenClassification, pad_right, lambda plan, rows: TagLoss(_weights(plan, rows)), labelled
    ),
}


def task_of(plan: Plan) -> EngineTask:
    """The row of the plan's task."""
    return ENGINE_TASKS[plan.run.task]


def make_collator(plan: Plan, tokenizer: TextTokenizer, max_tokens: int) -> StepCollator:
    """The collator that cuts the rows of a step into micro-batches for this model.

    A decoder that classifies finds a row's last token by its pad id. After a learned prompt it is given embeddings without
    ids and takes the last position, so there rows of a micro-batch must have one length.
    """
    task = task_of(plan)
    has_no_ids = plan.run.method in ("prompt_tuning", "p_tuning") and plan.run.task == "seq_cls"
    return StepCollator(
        task.collate,
        task.units,
        task.size,
        tokenizer.pad_id,
        max_tokens,
        same_length=has_no_ids and plan.facts.model.kind == "decoder",
    )
