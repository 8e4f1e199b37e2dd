"""Thinking before an answer: where it is in a row, and how a chat template writes it."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import jinja2

from tunewright.data.examples.formats import Message
from tunewright.data.tokenized.chat_template import render
from tunewright.data.tokenized.tokenizer import TextTokenizer

Thinking = Literal["learn", "mask", "drop"]
OPEN, CLOSE = "<think>", "</think>"
_THOUGHT = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)
# Behind a prompt that ends with the opening tag, files hold the closing tag alone, on a line of its own.
_CLOSED_THOUGHT = re.compile(r"((?:(?!</?think>).)*)(?<=\n)</think>(?:\s*\n|\s*\Z)\s*", re.DOTALL)
_BEGUN = re.compile(r"\s*<think>[ \t]*(\n|\Z)")
_OPENED = re.compile(r"<think>\s*\Z")
_SKIPPED = re.compile(r"<think>\s*</think>\s*\Z")
_EMPTY = re.compile(r"\s*<think>\s*</think>\s*")
_QUESTION, _REASON, _ANSWER = Message("user", "?"), "\u2983reason\u2984", "\u2983answer\u2984"
_CALL = {"type": "function", "function": {"name": "look_up", "arguments": {}}}


def thinking_of(message: Message) -> tuple[str, str]:
    """Thinking and answer of a turn; tags that an answer only mentions are not thinking."""
    if message.reasoning is not None:
        return message.reasoning, message.content
    thought = _THOUGHT.match(message.content) or _CLOSED_THOUGHT.match(message.content)
    if thought is None:
        return "", message.content
    return thought[1], message.content[thought.end() :]


def has_no_end(message: Message) -> bool:
    """Whether a turn begins to think and never ends, as where its writing was cut; a tag inside a line is a mention."""
    return message.reasoning is None and CLOSE not in message.content and bool(_BEGUN.match(message.content))


def without_thinking(message: Message) -> Message:
    """The turn with its answer alone."""
    if message.role != "assistant":
        return message
    return replace(message, content=thinking_of(message)[1], reasoning=None)


def opening_of(prompt: str) -> str:
    """The tag that opens thinking at the end of a prompt, with its blanks; "" if there is none."""
    opened = _OPENED.search(prompt)
    return opened[0] if opened else ""


def is_skipped(prompt: str) -> bool:
    """Whether a prompt ends with thinking that is over before it began: the model is to answer at once."""
    return _SKIPPED.search(prompt) is not None


def behind_prompt(message: Message, prompt: str, turn: str, tokenizer: TextTokenizer) -> str:
    """A turn without thinking, as the template wrote it after the head of the turn, with the thinking it has to begin with.

    An empty block that the template put there goes, unless the prompt opened it and it is to be closed.
    """
    reasoning, _answer = thinking_of(message)
    opened, empty = opening_of(prompt), _EMPTY.match(turn)
    if is_skipped(prompt):
        return turn[empty.end() :] if empty else turn
    if not reasoning.strip():
        if not opened:
            return turn
        return turn[turn.index(OPEN) + len(OPEN) :].lstrip() if empty else f"\n{CLOSE}\n\n{turn.lstrip()}"
    return _thought(message, opened, tokenizer) + (turn[empty.end() :] if empty else turn).lstrip()


def _thought(message: Message, opened: str, tokenizer: TextTokenizer) -> str:
    """The thinking between the marks of this template, after what the prompt opened."""
    reasoning, answer = thinking_of(message)
    marks = marks_of(tokenizer)
    thought = f"{marks.before}{reasoning.strip(chr(10))}{marks.after}"
    if marks == USUAL and message.reasoning is None:
        thought = message.content[: len(message.content) - len(answer)].lstrip()
        thought = thought if thought.startswith(OPEN) else f"{OPEN}\n{thought}"
    return thought.removeprefix(opened) if thought.startswith(opened) else thought.removeprefix(OPEN)


def written_before(message: Message) -> str:
    """The answer of a turn after its thinking between the usual tags, where no template writes it."""
    reasoning, answer = thinking_of(message)
    return f"{USUAL.before}{reasoning.strip(chr(10))}{USUAL.after}{answer}" if reasoning.strip() else answer


def end_of_thinking(message: Message, turn: str, prompt: str, tokenizer: TextTokenizer) -> int:
    """Characters of what the model generates that are thinking, with its marks and the blanks after it."""
    closing = marks_of(tokenizer).after.strip() or CLOSE
    reasoning = thinking_of(message)[0].strip()
    if reasoning and reasoning in turn:
        start = turn.index(reasoning) + len(reasoning)
        place = turn.find(closing, start)
        end = start if place < 0 else place + len(closing)
        return end + len(turn[end:]) - len(turn[end:].lstrip())
    thought = re.match(r".*?</think>\s*" if opening_of(prompt) else r"\s*<think>.*?</think>\s*", turn, re.DOTALL)
    return thought.end() if thought else 0


@dataclass(frozen=True)
class ThinkingMarkers:
    """What comes before and after thinking."""

    before: str
    after: str


USUAL = ThinkingMarkers(f"{OPEN}\n", f"\n{CLOSE}\n\n")


def marks_of(tokenizer: TextTokenizer) -> ThinkingMarkers:
    """How this template writes thinking where it does; the usual tags where it never does."""
    assert tokenizer.chat_template is not None
    return _marks(tokenizer.chat_template, tuple(sorted(tokenizer.special_tokens.items())))


@lru_cache(maxsize=8)
def _marks(template: str, special_tokens: tuple[tuple[str, str], ...]) -> ThinkingMarkers:
    """Found by what a turn has more when it thinks; some templates write thinking only in front of calls."""
    tokens = dict(special_tokens)
    for calls in ((), (_CALL,)):
        turn = Message("assistant", _ANSWER, tool_calls=calls)
        try:
            prompt = render(template, [_QUESTION], tokens, add_generation_prompt=True)
            plain = render(template, [_QUESTION, turn], tokens)
            thinking = render(template, [_QUESTION, replace(turn, reasoning=_REASON)], tokens)
        except jinja2.TemplateError:
            continue
        rest = plain[len(prompt) :]
        if plain.startswith(prompt) and thinking.startswith(prompt) and thinking.endswith(rest) and _REASON in thinking:
            before, _reason, after = thinking[len(prompt) : len(thinking) - len(rest)].partition(_REASON)
            if before.strip() and after.strip() and CLOSE not in after:
                return ThinkingMarkers(before, after)
    return USUAL
