"""The data in figures: rows, format, lengths in tokens, how much of them is in the loss."""

from collections.abc import Mapping
from itertools import pairwise

from tunewright.config.frozen_model import FrozenModel
from tunewright.config.tasks import ProblemType


class SourceInfo(FrozenModel):
    """One source of mixed rows; `num_sequences` and `tokens` are those of the rows in memory, repeated as they are read."""

    path: str
    format: str
    num_train: int
    num_held_out: int
    num_sequences: int
    tokens: int


class FixedRowsInfo(FrozenModel):
    """Rows that a person mended: what they were made of, digest by path, and how many rows the `num_fixes` changes concern."""

    originals: dict[str, str]
    num_fixes: int
    num_changed: int
    num_left_out: int


class DataInfo(FrozenModel):
    """What the plan needs to know about the rows; lengths are tokens before cutting.

    `holdout` is what is held out where the ask leaves it open: a share of the rows, or a path. `warnings`
    are the warnings of the data checks (records of problems).
    `labels` are the names of classes or tags in the order of their numbers; () for text and for numbers. `num_truncated`
    training rows are cut. Where long texts go on in further blocks, or rows are repeated, there are more blocks than rows; the
    mean lengths are those of blocks. `sources` are those of mixed rows. `fixed` says what mended rows were made of.
    """

    path: str
    fingerprint: str
    format: str
    columns: dict[str, str]
    num_train: int
    num_held_out: int
    num_bad: int
    is_single_turn: bool
    lengths: dict[str, int]
    longest_prompt: int
    common_prefix: int = 0
    mean_length: float
    mean_label_tokens: float
    answer_lengths: dict[str, int]
    sampled_rows: int
    labels: tuple[str, ...] = ()
    problem_type: ProblemType | None = None
    holdout: float | str = 0.1
    num_truncated: int = 0
    train_blocks: int = 0
    held_out_blocks: int = 0
    sources: tuple[SourceInfo, ...] = ()
    fixed: FixedRowsInfo | None = None
    warnings: tuple[dict[str, object], ...] = ()

    @property
    def num_sequences(self) -> int:
        """What a training reads in one epoch: rows, or the blocks that long texts go on in."""
        return self.train_blocks or self.num_train

    @property
    def num_held_out_sequences(self) -> int:
        return self.held_out_blocks or self.num_held_out


def length_at(lengths: Mapping[str, int], share: float) -> float:
    """The length at a quantile, between those that are known."""
    known = (
        (0.0, 0),
        (0.5, lengths["median"]),
        (0.95, lengths["p95"]),
        (0.99, lengths["p99"]),
        (1.0, lengths["longest"]),
    )
    for (low, below), (high, above) in pairwise(known):
        if share <= high:
            return below + (above - below) * (share - low) / (high - low)
    return known[-1][1]
