"""Encoded rows to tensors. Shapes: B rows, T tokens (padded right)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tunewright.data.encode import IGNORED, Encoded
from tunewright.data.pack import micro_batches


def pad_right(rows: Sequence[Encoded], pad_id: int) -> dict[str, Tensor]:
    """input_ids, labels and attention_mask (B, T); padding has no label and no attention."""
    longest = max(len(row.ids) for row in rows)
    ids_BT = torch.full((len(rows), longest), pad_id)
    labels_BT = torch.full((len(rows), longest), IGNORED)
    mask_BT = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        length = len(row.ids)
        ids_BT[i, :length] = torch.tensor(row.ids)
        labels_BT[i, :length] = torch.tensor(row.labels)
        mask_BT[i, :length] = 1
    return {"input_ids": ids_BT, "labels": labels_BT, "attention_mask": mask_BT}


def num_predicted(rows: Sequence[Encoded]) -> int:
    """Label tokens that a causal model predicts: all but a label on a row's first token."""
    return sum(label != IGNORED for row in rows for label in row.labels[1:])


@dataclass(frozen=True)
class StepCollator:
    """The rows of one optimizer step as micro-batches of at most `max_tokens` tokens, padding included."""

    pad_id: int
    max_tokens: int

    def __call__(self, rows: Sequence[Encoded]) -> dict[str, Any]:
        groups = micro_batches([len(row.ids) for row in rows], self.max_tokens)
        return {
            "micro_batches": [pad_right([rows[i] for i in group], self.pad_id) for group in groups],
            "num_label_tokens": torch.tensor(num_predicted(rows)),
            "num_tokens": torch.tensor(sum(len(row.ids) for row in rows)),
            "row_numbers": torch.tensor([row.number for row in rows]),
        }
