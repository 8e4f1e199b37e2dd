"""A row as the model sees it, for people: text cut where learned tokens begin and end."""

from dataclasses import dataclass

from tunewright.data.encode import IGNORED, Encoded
from tunewright.data.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Piece:
    """Text of a row as the model sees it, all of it learned or none."""

    text: str
    is_learned: bool


def pieces(row: Encoded, tokenizer: TextTokenizer) -> list[Piece]:
    """A row's text, cut where learned tokens begin and end."""
    found: list[Piece] = []
    start = 0
    learned = [label != IGNORED for label in row.labels]
    for end in range(1, len(learned) + 1):
        if end == len(learned) or learned[end] != learned[start]:
            text = tokenizer.decode(row.ids[start:end], skip_special_tokens=False)
            found.append(Piece(text, learned[start]))
            start = end
    return found
