"""Tokenized rows to tensors. Shapes: B rows, T tokens, L target tokens (padded right)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunewright.data.tokenized.dealing import deal
from tunewright.data.tokenized.micro_batches import micro_batches
from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample

Collate = Callable[[Sequence[TokenizedExample], int], dict[str, Tensor]]
Cut = Callable[[Sequence[TokenizedExample], int], list[list[int]]]


def _padded(rows: Sequence[Sequence[float]], fill: int) -> Tensor:
    longest = max(len(row) for row in rows)
    padded = torch.full((len(rows), longest), fill)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = torch.tensor(row)
    return padded


def _padding(batch: dict[str, Tensor]) -> int:
    """Padding positions; packed rows have no mask, and no padding."""
    mask = batch.get("attention_mask")
    return 0 if mask is None else int(mask.numel() - mask.sum())


def _inputs(rows: Sequence[TokenizedExample], pad_id: int) -> dict[str, Tensor]:
    mask_BT = _padded([[1] * len(row.input_ids) for row in rows], 0)
    return {"input_ids": _padded([row.input_ids for row in rows], pad_id), "attention_mask": mask_BT}


def pad_right(rows: Sequence[TokenizedExample], pad_id: int) -> dict[str, Tensor]:
    """input_ids and attention_mask (B, T), labels (B, T), or (B, L) for targets that are texts of their own; padding is -100."""
    return _inputs(rows, pad_id) | {"labels": _padded([row.labels for row in rows], IGNORED)}


def pad_labelled(rows: Sequence[TokenizedExample], pad_id: int) -> dict[str, Tensor]:
    """input_ids and attention_mask (B, T), labels (B) or, for several labels, (B, C); token_type_ids where a pair has them.

    New texts have no labels.
    """
    batch = _inputs(rows, pad_id)
    if rows[0].labels:
        labels = torch.tensor([row.labels for row in rows])
        batch["labels"] = labels if labels.shape[1] > 1 else labels[:, 0]
    if any(row.prompt_length for row in rows):
        kinds = [[int(0 < row.prompt_length <= i) for i in range(len(row.input_ids))] for row in rows]
        batch["token_type_ids"] = _padded(kinds, 0)
    return batch


@dataclass(frozen=True)
class StepCollator:
    """The rows of one optimizer step as micro-batches of at most `max_tokens` tokens, padding included.

    `cut` replaces cutting by padded length where there is no padding. Rows are dealt into `parts` by length first, and of
    these `own` are collated: those that this process computes. Where all processes must make as many passes, `parts_of_each`
    has the parts of each, and `stand_ins` are what this process has to compute for nothing.
    """

    collate: Collate
    units: Callable[[Sequence[TokenizedExample]], int]
    size: Callable[[TokenizedExample], int]
    pad_id: int
    max_tokens: int
    same_length: bool = False
    cut: Cut | None = None
    parts: int = 1
    own: tuple[int, ...] = (0,)
    parts_of_each: tuple[tuple[int, ...], ...] = ()

    def __call__(self, rows: Sequence[TokenizedExample]) -> dict[str, object]:
        dealt = deal([self.size(row) for row in rows], self.parts) if self.parts > 1 else [list(range(len(rows)))]
        parts = [self._micro_batches([rows[i] for i in dealt[part]]) for part in self.own]
        return {
            "parts": parts,
            "stand_ins": self._stand_ins(rows, dealt, sum(map(len, parts))),
            "num_padding": torch.tensor(sum(_padding(batch) for part in parts for batch in part)),
            "num_label_tokens": torch.tensor(self.units(rows)),
            "num_tokens": torch.tensor(sum(self.size(row) for row in rows)),
            "row_numbers": torch.tensor([row.number for row in rows]),
        }

    def _stand_ins(
        self, rows: Sequence[TokenizedExample], dealt: Sequence[Sequence[int]], own: int
    ) -> list[dict[str, Tensor]]:
        """The shortest row, as often as another process has more micro-batches than the `own` of this one."""
        passes = [
            sum(len(self.groups([rows[i] for i in dealt[part]])) for part in parts if dealt[part])
            for parts in self.parts_of_each
        ]
        missing = max(passes, default=own) - own
        shortest = min(rows, key=self.size)
        return [self.collate([shortest], self.pad_id)] * missing

    def _micro_batches(self, rows: Sequence[TokenizedExample]) -> list[dict[str, Tensor]]:
        return [self.collate([rows[i] for i in group], self.pad_id) for group in self.groups(rows)] if rows else []

    def groups(self, rows: Sequence[TokenizedExample], max_tokens: int | None = None) -> list[list[int]]:
        """Positions of the rows of each micro-batch."""
        limit = max_tokens or self.max_tokens
        if self.cut:
            return self.cut(rows, limit)
        return micro_batches([self.size(row) for row in rows], limit, same_length=self.same_length)
