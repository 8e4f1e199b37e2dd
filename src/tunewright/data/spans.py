"""Where the answers stand in a rendered conversation.

They are found by rendering, never by a list of known templates: an assistant turn begins where the template's generation
prompt ends (what the model is given when it is served), and ends behind the turn's end token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jinja2

from tunewright.data.formats import Example, Message
from tunewright.data.tokenizer import TextTokenizer

SENTINEL = "\u2983tunewright\u2984"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A row as text; `spans` are the characters to learn, the last one is the last answer."""

    text: str
    spans: tuple[tuple[int, int], ...]
    is_chat: bool


def render_row(example: Example, tokenizer: TextTokenizer) -> Rendered:
    """The row in the model's template; plain text is itself. Raises jinja2.TemplateError."""
    if not example.messages:
        return Rendered(example.text, ((0, len(example.text)),), is_chat=False)
    full = tokenizer.render(example.messages)
    turns = [i for i, message in enumerate(example.messages) if message.role == "assistant"]
    return Rendered(full, tuple(_answer_span(example.messages, i, full, tokenizer) for i in turns), is_chat=True)


def _answer_span(messages: Sequence[Message], turn: int, full: str, tokenizer: TextTokenizer) -> tuple[int, int]:
    """Characters of one answer in the rendered conversation, with what ends the turn."""
    marked = [replace(m, content=SENTINEL) if i == turn else m for i, m in enumerate(messages)]
    before, found, after = tokenizer.render(marked).partition(SENTINEL)
    if not found or not full.startswith(before) or not full.endswith(after):
        raise jinja2.TemplateError("the answer cannot be found in what the template writes")
    content_end = len(full) - len(after)
    prompt = tokenizer.render(messages[:turn], add_generation_prompt=True)
    start = len(prompt) if before.startswith(prompt) else len(before)
    return start, content_end + _end_of_turn(after, tokenizer)


def _end_of_turn(after: str, tokenizer: TextTokenizer) -> int:
    """Length of the special token that closes the turn, with white space in front of it; 0 if there is none."""
    stripped = after.lstrip()
    closing = [token for token in tokenizer.added_tokens if stripped.startswith(token)]
    return len(after) - len(stripped) + len(max(closing, key=len)) if closing else 0
