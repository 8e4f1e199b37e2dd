"""A few rows as the model sees them, cut to what fits a page."""

from collections.abc import Iterator

from tunewright.data.tokenized.tokenized_preview import PreviewPiece, PreviewRow
from tunewright.i18n import _
from tunewright.report.run_record import RunRecord

MOST_PIECES = 400
BEGINNING, ENDING = 1000, 400  # characters kept of a long piece; tokens in the loss are mostly at the end


def rows(record: RunRecord) -> list[PreviewRow]:
    """Rows of the run's file with their pieces; none for runs that did not keep any."""
    return [row.model_copy(update={"pieces": list(_pieces(row))}) for row in record.run.preview_rows()]


def _pieces(row: PreviewRow) -> Iterator[PreviewPiece]:
    for piece in row.pieces[:MOST_PIECES]:
        yield piece.model_copy(update={"text": _without_middle(piece.text)})
    left = len(row.pieces) - MOST_PIECES
    if left > 0:
        yield PreviewPiece(text=" … " + _("[{count} more pieces]").format(count=left), is_learned=False)


def _without_middle(text: str) -> str:
    left = len(text) - BEGINNING - ENDING
    if left <= 0:
        return text
    return f"{text[:BEGINNING]} … {_('[{count} more characters]').format(count=left)} … {text[-ENDING:]}"
