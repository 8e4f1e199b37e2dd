"""The outcome of a data check."""

from dataclasses import dataclass
from typing import Any

from tunewright.data.tokenized.tokenization import TokenizedExample
from tunewright.data.tokenized.tokenized_preview import PreviewPiece, pieces
from tunewright.data.validation import ValidatedData
from tunewright.errors import Problem, errors_of
from tunewright.i18n import _
from tunewright.report import formatting
from tunewright.security import html_table


@dataclass(frozen=True, repr=False)
class DataCheck:
    """The validated data of a file, and the problems that would stop a run."""

    validated: ValidatedData
    stopping: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    tokenizer: Any

    def __repr__(self) -> str:
        """The summary in one line, in English."""
        summary = self.validated.summary
        counts = {"to train": summary.used, "held out": summary.held_out, "left out": summary.dropped}
        rows = "1 row" if summary.rows == 1 else f"{summary.rows} rows"
        parts = [rows, *(f"{count} {what}" for what, count in counts.items())]
        return f"DataCheck({', '.join(parts)}: {'stops a run' if self.stopping else 'sound'})"

    def _repr_html_(self) -> str:
        """The summary for a notebook: how many rows of each kind, and what is wrong."""
        counts = [
            (_(formatting.KINDS[kind][0]), f"{count:,}")
            for kind, count in self.validated.summary.counts.items()
            if count
        ]
        problems = [(problem.code, problem.message()) for problem in (*self.stopping, *self.warnings)]
        return html_table(repr(self), [*counts, *problems])

    def pieces(self, row: TokenizedExample) -> list[PreviewPiece]:
        """The text of a row as the model sees it, cut where the tokens in the loss begin and end."""
        loaded = self.validated.loaded
        return pieces(row, self.tokenizer, self.validated.summary.task, loaded.labels, loaded.problem_type)

    def raise_if_stopped(self) -> None:
        """Raises: DataError with everything that would stop a run."""
        if self.stopping:
            raise errors_of(self.stopping)
