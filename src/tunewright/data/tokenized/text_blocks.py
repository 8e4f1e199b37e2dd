"""Plain text longer than max_length is split into blocks; nothing is discarded."""

from collections.abc import Iterator
from dataclasses import replace

from tunewright.data.tokenized.tokenized_example import IGNORED, TokenizedExample

TEXT_BLOCK_TOKENS = 2048  # as models were trained on text; longer blocks cost memory that grows with their square


def blocks(row: TokenizedExample, max_length: int | None) -> Iterator[TokenizedExample]:
    """A row of plain text in blocks of at most `max_length` tokens, in which each of its tokens is in the loss once.

    The first token of a block has nothing in front that could predict it, so a later block begins with the last token of
    the block before, which is not in the loss again. All blocks keep the number of the row and its full length.
    """
    if max_length is None or len(row.input_ids) <= max_length:
        yield row
        return
    yield replace(row, input_ids=row.input_ids[:max_length], labels=row.labels[:max_length])
    for start in range(max_length - 1, len(row.input_ids) - 1, max_length - 1):
        end = start + max_length
        yield replace(row, input_ids=row.input_ids[start:end], labels=[IGNORED, *row.labels[start + 1 : end]])
