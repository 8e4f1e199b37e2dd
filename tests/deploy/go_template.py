"""The part of Go's text/template that our Modelfiles use, to see what Ollama would write: text, `range .Messages`, `if eq`, fields.

Written from Go's documentation of text/template; Ollama itself is not to be had here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunewright.data.examples.formats import Message

ACTION = re.compile(r"\{\{(- )?\s*(.*?)\s*( -)?\}\}", re.DOTALL)
EQUALS = re.compile(r'if eq \.Role "([^"]*)"')


@dataclass(frozen=True)
class Piece:
    """Text to write, or an action to follow."""

    text: str
    is_action: bool = False


def pieces(source: str) -> list[Piece]:
    """Text and actions; `{{- ` and ` -}}` trim all blanks beside them, as in Go."""
    found: list[Piece] = []
    end, trims = 0, False
    for match in ACTION.finditer(source):
        text = source[end : match.start()]
        text = text.lstrip() if trims else text
        found.append(Piece(text.rstrip() if match[1] else text))
        found.append(Piece(match[2], is_action=True))
        end, trims = match.end(), bool(match[3])
    return [*found, Piece(source[end:].lstrip() if trims else source[end:])]


def rendered(source: str, messages: Sequence[Message]) -> str:
    """What the template writes for a conversation. Raises: AssertionError for what is not of this part of the language."""
    parts = pieces(source)
    text, rest = _block(parts, messages, None)
    assert not rest, rest
    return text


def _block(parts: list[Piece], messages: Sequence[Message], current: Message | None) -> tuple[str, list[Piece]]:
    """Text up to the `else` or `end` that closes this block, which stays first in the rest."""
    written = ""
    while parts:
        piece, *rest = parts
        if not piece.is_action:
            written += piece.text
        elif piece.text in ("end", "else"):
            return written, parts
        elif piece.text == "range .Messages":
            turns = [_block(rest, messages, message) for message in messages]
            written += "".join(text for text, _rest in turns)
            rest = _after_end(turns[0][1])
        elif match := EQUALS.fullmatch(piece.text):
            assert current is not None
            chosen, rest = _block(rest, messages, current)
            other, rest = _block(rest[1:], messages, current) if rest[0].text == "else" else ("", rest)
            written += chosen if current.role == match[1] else other
            rest = _after_end(rest)
        else:
            assert current is not None and piece.text in (".Role", ".Content"), piece
            written += current.role if piece.text == ".Role" else current.content
        parts = rest
    return written, []


def _after_end(parts: list[Piece]) -> list[Piece]:
    assert parts[0] == Piece("end", is_action=True), parts[0]
    return parts[1:]


def instructions(modelfile: str) -> Iterator[tuple[str, str]]:
    """Instruction and value of each line of a Modelfile, as Ollama's parser reads them (parser/parser.go: unquote)."""
    lines = iter(modelfile.splitlines())
    for line in lines:
        name, _blank, value = line.partition(" ")
        if name == "PARAMETER":
            key, _blank, value = value.partition(" ")
            name = f"PARAMETER {key}"
        while (text := _unquoted(value.strip())) is None:
            value += "\n" + next(lines)
        yield name, text


def _unquoted(value: str) -> str | None:
    """The value without its quotes; None while the closing ones are still to come."""
    for quotes in ('"""', '"'):
        if value.startswith(quotes):
            is_closed = len(value) >= 2 * len(quotes) and value.endswith(quotes)
            return value[len(quotes) : -len(quotes)] if is_closed else None
    return value
