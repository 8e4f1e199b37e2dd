"""Examples to token ids with the trained positions marked. Lists of ints, no tensors.

The answer is found by rendering, never by a list of known templates: an assistant turn begins where the template's
generation prompt ends (what the model is given when it is served), and ends behind the turn's end token.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import jinja2
from tokenizers import Encoding

from tunewright.data.formats import Example, Message
from tunewright.data.tokenizer import TextTokenizer
from tunewright.errors import Problem, Where

IGNORED = -100
SENTINEL = "\u2983tunewright\u2984"
CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Encoded:
    """One row for the model. `labels` equals `ids` where trained, else IGNORED.

    `prompt_length` counts the tokens in front of the last answer (0 for plain text); `full_length` the tokens before
    cutting to max_length.
    """

    number: int
    ids: list[int]
    labels: list[int]
    prompt_length: int
    full_length: int

    @property
    def is_truncated(self) -> bool:
        return self.full_length > len(self.ids)

    @property
    def num_label_tokens(self) -> int:
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True, slots=True)
class _Rendered:
    text: str
    spans: tuple[tuple[int, int], ...]  # characters to learn; the last one is the last answer
    is_chat: bool


def encode(
    examples: Sequence[Example],
    tokenizer: TextTokenizer,
    *,
    max_length: int | None,
    train_on: str = "answers",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Encoded], list[Problem]]:
    """Every example as ids and labels, or a problem of that row: none is lost.

    Problems: E219 (the template refuses the row), E209 (nothing of the answer fits), E214 (no end token is learned).
    """
    encoded: list[Encoded] = []
    problems: list[Problem] = []
    for start in range(0, len(examples), CHUNK):
        chunk = examples[start : start + CHUNK]
        rendered: list[tuple[Example, _Rendered]] = []
        for example in chunk:
            try:
                rendered.append((example, _render(example, tokenizer)))
            except jinja2.TemplateError as refusal:
                problems.append(_problem("E219", example, reason=refusal.message or type(refusal).__name__))
        encodings = _encode_texts([r for _, r in rendered], tokenizer)
        for (example, text), encoding in zip(rendered, encodings, strict=True):
            row = _cut(_label(example, text, encoding, tokenizer, train_on), max_length)
            problem = _check(example, row, tokenizer, max_length)
            if problem:
                problems.append(problem)
            else:
                encoded.append(row)
        progress(start + len(chunk), len(examples))
    return encoded, problems


def prompt_ids(messages: Sequence[Message], tokenizer: TextTokenizer) -> list[int]:
    """Ids of a conversation up to where the model begins to answer. Raises jinja2.TemplateError."""
    return tokenizer.encode(tokenizer.render(messages, add_generation_prompt=True))


def _problem(code: str, example: Example, **values: object) -> Problem:
    return Problem(code, Where(example.file, example.line), {"row": example.number, **values})


def _render(example: Example, tokenizer: TextTokenizer) -> _Rendered:
    if not example.messages:
        return _Rendered(example.text, ((0, len(example.text)),), is_chat=False)
    full = tokenizer.render(example.messages)
    turns = [i for i, message in enumerate(example.messages) if message.role == "assistant"]
    return _Rendered(full, tuple(_answer_span(example.messages, i, full, tokenizer) for i in turns), is_chat=True)


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


def _encode_texts(rendered: Sequence[_Rendered], tokenizer: TextTokenizer) -> Iterator[Encoding]:
    """Templates write their own special tokens; plain text gets the tokenizer's (a bos, where it has one)."""
    chats = iter(tokenizer.encode_batch([r.text for r in rendered if r.is_chat]))
    texts = iter(tokenizer.encode_batch([r.text for r in rendered if not r.is_chat], add_special_tokens=True))
    return (next(chats if r.is_chat else texts) for r in rendered)


def _label(
    example: Example, rendered: _Rendered, encoding: Encoding, tokenizer: TextTokenizer, train_on: str
) -> Encoded:
    """Mark the tokens that overlap an answer; the row ends with the last of them, closed by an end token."""
    ids = list(encoding.ids)
    spans = rendered.spans if train_on == "answers" else ((0, len(rendered.text)),)
    trained = [any(a < end and b > start for start, end in spans) for a, b in encoding.offsets]
    last = max((i for i, is_trained in enumerate(trained) if is_trained), default=-1)
    last_start = rendered.spans[-1][0]
    prompt_length = sum(b <= last_start for _, b in encoding.offsets[: last + 1]) if rendered.is_chat else 0
    # Nothing behind the last trained token can reach the loss of a causal model, so it is not computed.
    ids, trained = ids[: last + 1], trained[: last + 1]
    if last >= 0 and ids[-1] not in tokenizer.end_ids:
        ids.append(tokenizer.end_ids[0])
        trained.append(True)
    labels = [token if is_trained else IGNORED for token, is_trained in zip(ids, trained, strict=True)]
    return Encoded(example.number, ids, labels, prompt_length, len(ids))


def _cut(row: Encoded, max_length: int | None) -> Encoded:
    if max_length is None or len(row.ids) <= max_length:
        return row
    return replace(row, ids=row.ids[:max_length], labels=row.labels[:max_length])


def _check(example: Example, row: Encoded, tokenizer: TextTokenizer, max_length: int | None) -> Problem | None:
    # The first token has nothing in front of it that could predict it, so its label does not count.
    if not any(label != IGNORED for label in row.labels[1:]):
        values = {"max_length": max_length or 0, "prompt_tokens": row.prompt_length, "needed": row.full_length}
        return _problem("E209", example, **values)
    if not row.is_truncated and row.labels[-1] not in tokenizer.end_ids:
        return _problem("E214", example)
    return None
