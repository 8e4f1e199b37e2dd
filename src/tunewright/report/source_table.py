"""The sources of mixed rows: what was taken of each, and how its held-out rows are read before and after."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.data.summary import SourceSummary
from tunewright.metrics.evaluated_rows import ExampleLoss
from tunewright.report import formatting
from tunewright.report.run_record import RunRecord


@dataclass(frozen=True)
class SourceRow:
    """One source: its rows by what became of them, its share of the tokens, and its held-out loss."""

    path: str
    format: str
    mix: str
    """What the config takes of it: rows, a weight."""
    numbers: str
    rows: int
    used: int
    held_out: int
    dropped: int
    not_drawn: int
    tokens: int
    share: float
    loss_before: float | None
    loss_after: float | None


def rows(record: RunRecord) -> list[SourceRow]:
    """A row for each source, for the report and for programs; none where rows are of one source alone."""
    summary = record.summary
    if not summary or not summary.sources:
        return []
    total = max(1, sum(source.tokens for source in summary.sources))
    sources = record.plan.run.data.sources
    return [
        SourceRow(
            path=formatting.file_name(source.path),
            format=source.format,
            mix=formatting.share_text(wanted),
            numbers=formatting.numbers_of(source),
            rows=source.rows,
            used=source.used,
            held_out=source.held_out,
            dropped=source.dropped,
            not_drawn=source.not_drawn,
            tokens=source.tokens,
            share=source.tokens / total,
            loss_before=_loss(source, record.losses[0]),
            loss_after=_loss(source, record.losses[1]),
        )
        for source, wanted in zip(summary.sources, sources, strict=True)
    ]


def _loss(source: SourceSummary, losses: Sequence[ExampleLoss]) -> float | None:
    """The held-out loss of a source's own rows; None where none was held out of it, or nothing was measured."""
    own = [row for row in losses if source.start < row.row <= source.start + source.last] if source.held_out else []
    units = sum(row.units for row in own)
    return math.fsum(row.loss for row in own) / units if units else None
