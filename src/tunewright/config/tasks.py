"""The tasks, as a table: what a row of data holds, what is counted, and which class of transformers does it.

A new task is one row here and one in `engine/tasks/task_registry.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tunewright.i18n import N_

Task = Literal["causal_lm", "seq2seq", "seq_cls", "token_cls"]
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


@dataclass(frozen=True)
class TaskRow:
    """`task_type` is PEFT's name, `auto_class` transformers'; `writes` says that answers are texts to be generated."""

    name: Task
    task_type: str
    auto_class: str
    pipeline_tag: str
    writes: bool
    meaning: str


TASKS: Mapping[Task, TaskRow] = {
    "causal_lm": TaskRow(
        "causal_lm", "CAUSAL_LM", "AutoModelForCausalLM", "text-generation", True, N_("generate an answer to a prompt")
    ),
    "seq2seq": TaskRow(
        "seq2seq", "SEQ_2_SEQ_LM", "AutoModelForSeq2SeqLM", "text2text-generation", True, N_("turn one text into another")
    ),
    "seq_cls": TaskRow(
        "seq_cls", "SEQ_CLS", "AutoModelForSequenceClassification", "text-classification", False,
        N_("give a text, or a pair of texts, one label, several labels or a number"),
    ),
    "token_cls": TaskRow(
        "token_cls", "TOKEN_CLS", "AutoModelForTokenClassification", "token-classification", False,
        N_("give each word of a text a tag"),
    ),
}  # fmt: skip
