"""A row as the model sees it, for people: what it is given, and what it learns."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

from tunewright.config.stored_record import Count, StoredRecord
from tunewright.config.tasks import ProblemType, Task
from tunewright.data.examples.number_formats import number_text
from tunewright.data.tokenized.mapped_rows import MappedRows
from tunewright.data.tokenized.tokenization import IGNORED, TokenizedExample
from tunewright.data.tokenized.tokenizer import TextTokenizer


class PreviewPiece(StoredRecord):
    """Text of a row as the model sees it, all of it in the loss or none."""

    text: str
    """decoded tokens"""
    is_learned: bool
    """whether they are in the loss"""


class PreviewRow(StoredRecord):
    """rows.seen.jsonl: a row as the model reads it."""

    row: Count
    """its number"""
    tokens: Count
    """tokens of the row"""
    label_tokens: Count
    """tokens of them in the loss"""
    full_length: Count = 0
    """tokens before truncation"""
    is_truncated: bool = False
    """whether max_length cut it"""
    pieces: list[PreviewPiece]
    """the row in pieces, alternately in the loss and not"""


def pieces(
    row: TokenizedExample,
    tokenizer: TextTokenizer,
    task: Task = "causal_lm",
    labels: Sequence[str] = (),
    problem_type: ProblemType | None = None,
) -> list[PreviewPiece]:
    """A row's text, cut where tokens in the loss begin and end.

    A text to be labelled is followed by its label, a source by its target, the token that answers for a word by its tag.
    """
    if task == "token_cls":
        return list(_tagged(row, tokenizer, labels))
    if task == "causal_lm":
        return list(_pieces_by_loss(row, tokenizer))
    prompt = _piece(tokenizer.decode(row.input_ids, skip_special_tokens=False), False)
    if task == "seq2seq":
        target = tokenizer.decode([int(label) for label in row.labels], skip_special_tokens=False)
        return [prompt, _piece("\n", False), _piece(target, True)]
    return [prompt, _piece(" -> ", False), _piece(_label(row, labels, problem_type), True)]


def _piece(text: str, is_in_loss: bool) -> PreviewPiece:
    return PreviewPiece(text=text, is_learned=is_in_loss)


def preview_rows(
    rows: Sequence[TokenizedExample],
    tokenizer: TextTokenizer,
    task: Task,
    labels: Sequence[str] = (),
    problem_type: ProblemType | None = None,
) -> list[PreviewRow]:
    """The shortest, the middle and the longest row as the model reads them."""
    lengths = rows.full_lengths() if isinstance(rows, MappedRows) else [row.full_length for row in rows]
    places = dict.fromkeys((0, len(lengths) // 2, len(lengths) - 1)) if rows else ()
    chosen = [rows[_at_place(lengths, place)] for place in places]
    return [
        PreviewRow(
            row=row.number,
            tokens=len(row.input_ids),
            label_tokens=row.num_label_tokens,
            full_length=row.full_length,
            is_truncated=row.is_truncated,
            pieces=pieces(row, tokenizer, task, labels, problem_type),
        )
        for row in chosen
    ]


def _at_place(lengths: Sequence[int], place: int) -> int:
    """Which row has this place in the order of lengths; rows of one length keep their order."""
    counts = Counter(lengths)
    for length in sorted(counts):
        if place < counts[length]:
            return next(islice((i for i, other in enumerate(lengths) if other == length), place, None))
        place -= counts[length]
    raise IndexError(place)


def _pieces_by_loss(row: TokenizedExample, tokenizer: TextTokenizer) -> Iterator[PreviewPiece]:
    in_loss = [label != IGNORED for label in row.labels]
    cuts = [0, *(i for i in range(1, len(in_loss)) if in_loss[i] != in_loss[i - 1]), len(in_loss)]
    for start, end in pairwise(cuts):
        yield _piece(tokenizer.decode(row.input_ids[start:end], skip_special_tokens=False), in_loss[start])


def _label(row: TokenizedExample, labels: Sequence[str], problem_type: ProblemType | None) -> str:
    if problem_type == "regression":
        return number_text(row.labels[0])
    if problem_type == "multi_label_classification":
        return ", ".join(name for name, has_it in zip(labels, row.labels, strict=True) if has_it)
    return labels[int(row.labels[0])]


def _tagged(row: TokenizedExample, tokenizer: TextTokenizer, labels: Sequence[str]) -> Iterator[PreviewPiece]:
    """The text, and after each token that answers for a word that word's tag."""
    text_so_far, start = "", 0
    for end, label in enumerate(row.labels, 1):
        if label == IGNORED and end < len(row.input_ids):
            continue
        # Decoded from the start, as blanks depend on what comes before; half a character waits for its other tokens.
        text = tokenizer.decode(row.input_ids[:end], skip_special_tokens=False).rstrip("\ufffd")
        alone = tokenizer.decode(row.input_ids[start:end], skip_special_tokens=False)
        yield _piece(text.removeprefix(text_so_far) if text.startswith(text_so_far) else alone, False)
        if label != IGNORED:
            yield _piece(f"/{labels[int(label)]}", True)
        text_so_far, start = text, end
