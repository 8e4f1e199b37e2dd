"""A conversation to the texts that are trained on: what the model is given, and what it has to write behind it.

For each answer that is learned the prompt is what `apply_chat_template(turns before it, add_generation_prompt=True)` writes,
which is what a server hands to the model; the answer is what the model then has to write to be that turn. Templates are asked
by rendering, none is known by name. Answers whose prompts begin one another share one text; where a template writes earlier
turns otherwise than they were generated (without their thinking, say), an answer has a text of its own.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import jinja2

from tunewright.data.formats import Example, Message
from tunewright.data.template import Tools
from tunewright.data.tokenizer import TextTokenizer
from tunewright.data.tools import with_text_arguments

SENTINEL = "\u2983tunewright\u2984"
Thinking = Literal["learn", "mask", "drop"]
Note = Literal["thinking", "thinking_by_hand", "tools_unseen", "turn_lost", "turns_joined"]
Turns = Literal["as_written", "join"]
OPEN, CLOSE = "<think>", "</think>"
_THOUGHT = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)
# Behind a prompt that ends with the opening tag, files hold the closing tag alone, on a line of its own.
_CLOSED_THOUGHT = re.compile(r"((?:(?!</?think>).)*)(?<=\n)</think>(?:\s*\n|\s*\Z)\s*", re.DOTALL)
_OPENED = re.compile(r"<think>\s*\Z")


class LostCallsError(jinja2.TemplateError):
    """The template writes no calls of tools, or not what they gave back."""


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of one answer: the model takes over at `prompt_end`, and what it learns is from `start` to `end`."""

    prompt_end: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """A row, or a part of its answers, as text; the last span is the last answer's."""

    text: str
    spans: tuple[Span, ...]
    is_chat: bool
    notes: frozenset[Note] = frozenset()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a server gives, and what the model writes: thinking and blanks up to `learned_from`, then the rest."""

    prompt: str
    written: str
    learned_from: int
    is_closed: bool
    notes: frozenset[Note]


def thinking_of(message: Message) -> tuple[str, str]:
    """Thinking and answer of a turn; tags that an answer only mentions are not thinking."""
    if message.reasoning is not None:
        return message.reasoning, message.content
    thought = _THOUGHT.match(message.content) or _CLOSED_THOUGHT.match(message.content)
    if thought is None:
        return "", message.content
    return thought[1], message.content[thought.end() :]


def without_template(message: Message, thinking: Thinking) -> str:
    """An answer with its thinking in front, where no template writes it; what would be masked is left out, as it is not read."""
    reasoning, answer = thinking_of(message)
    return _thought(message, reasoning, answer, "") + answer if thinking == "learn" else answer


def render_row(
    example: Example,
    tokenizer: TextTokenizer,
    *,
    last_only: bool = False,
    thinking: Thinking = "learn",
    turns: Turns = "as_written",
) -> list[Rendered]:
    """The texts of a row in the model's template, in the order of their answers; plain text is itself.

    `last_only` learns the last answer alone; `turns` are as `fitting_turns` takes them.
    Raises jinja2.TemplateError for a row that the template refuses, LostCallsError for one whose calls of tools it leaves out.
    """
    if not example.messages:
        return [Rendered(example.text, (Span(0, 0, len(example.text)),), is_chat=False)]
    written = [_without_thinking(m) if thinking == "drop" else m for m in example.messages]
    messages = fitting_turns(written, example.tools, tokenizer, turns)
    learned = [i for i, message in enumerate(messages) if message.role == "assistant" and message.learn]
    answers = [_answer(messages, i, example.tools, tokenizer, thinking) for i in learned[-1 if last_only else 0 :]]
    notes = _notes(messages, answers[-1], example.tools, tokenizer)
    notes |= {"turns_joined"} if len(messages) < len(written) else set()
    return _joined(answers, notes, tokenizer)


def fitting_turns(
    messages: Sequence[Message], tools: Tools, tokenizer: TextTokenizer, turns: Turns = "as_written"
) -> list[Message]:
    """The turns in a form that this template takes: arguments of calls as objects or as text, with `join` also neighbours
    of one role as one turn, and what the system says at the head of the next user turn where it must not speak.

    Raises LostCallsError if it is the calls that the template does not take. What it takes in no form stays as it is.
    """
    forms = [list(messages)]
    if turns == "join":
        forms = [_neighbours_joined(form) for form in (messages, _without_system(messages))]
    if any(message.tool_calls for message in messages):
        forms += [[replace(m, tool_calls=with_text_arguments(m.tool_calls)) for m in form] for form in forms]
    for form in forms:
        if _is_taken(form, tools, tokenizer):
            return form
    if any(message.tool_calls for message in messages) and _is_taken(map(_without_calls, forms[0]), (), tokenizer):
        raise LostCallsError
    return forms[0]


def _is_taken(messages: Iterable[Message], tools: Tools, tokenizer: TextTokenizer) -> bool:
    try:
        tokenizer.render(messages, tools=tools)
    except jinja2.TemplateError:
        return False
    return True


def _neighbours_joined(messages: Sequence[Message]) -> list[Message]:
    """Turns of one role behind one another as one, parted by a blank line, if both are learned or both are not."""
    joined: list[Message] = []
    for message in messages:
        before = joined[-1] if joined else None
        if before is None or message.role == "tool" or (before.role, before.learn) != (message.role, message.learn):
            joined.append(message)
            continue
        thoughts = [text for text in (before.reasoning, message.reasoning) if text is not None]
        joined[-1] = replace(
            before, content="\n\n".join(text for text in (before.content, message.content) if text),
            reasoning="\n".join(thoughts) if thoughts else None, tool_calls=before.tool_calls + message.tool_calls,
        )  # fmt: skip
    return joined


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """The turns with what the system says as user turns."""
    return [replace(message, role="user") if message.role == "system" else message for message in messages]


def _without_thinking(message: Message) -> Message:
    if message.role != "assistant":
        return message
    return replace(message, content=thinking_of(message)[1], reasoning=None)


def _without_calls(message: Message) -> Message:
    return replace(message, tool_calls=())


def _answer(
    messages: Sequence[Message], turn: int, tools: Tools, tokenizer: TextTokenizer, thinking: Thinking
) -> _Answer:
    """One answer behind its prompt, as the template writes it or, where that loses something, by hand."""
    message, before = messages[turn], messages[:turn]
    reasoning, answer = thinking_of(message)
    opening, after = _around(messages, turn, tools, tokenizer)
    prompt = _prompt(before, tools, tokenizer, opening)
    notes: set[Note] = {"thinking"} if reasoning.strip() else set()
    written = _by_template(message, before, prompt, after, tools, tokenizer)
    if written is None:
        written = _by_hand(message, before, prompt, after, tools, tokenizer)
        notes |= {"thinking_by_hand"} if reasoning.strip() else set()
    if message.tool_calls and answer.strip() not in written:
        notes.add("turn_lost")
    skipped = _end_of_thinking(written, prompt) if thinking == "mask" else 0
    is_closed = written.endswith(tuple(tokenizer.added_tokens)) or bool(after.strip() and not message.tool_calls)
    return _Answer(prompt, written, skipped, is_closed, frozenset(notes))


def _by_template(
    message: Message, before: Sequence[Message], prompt: str, after: str, tools: Tools, tokenizer: TextTokenizer
) -> str | None:
    """The turn as the template writes it behind its prompt; None if that is not what the model has to write.

    Thinking is tried where it stands in the row, then in a key of its own, which also keeps templates from taking a tag that
    an answer only mentions for the end of thinking.
    """
    reasoning, answer = thinking_of(message)
    has_tags = bool(reasoning.strip()) or CLOSE in message.content
    for form in (message, replace(message, reasoning=reasoning, content=answer)) if has_tags else (message,):
        text = tokenizer.render([*before, form], tools=tools)
        if message.tool_calls and text == tokenizer.render([*before, _without_calls(form)], tools=tools):
            raise LostCallsError
        if not text.startswith(prompt):
            continue
        written = text[len(prompt) :]
        is_marked = bool(after) and written.endswith(after)
        written = written[: len(written) - len(after)] + _ending(after, tokenizer) if is_marked else written
        written = written.rstrip() if message.tool_calls else written
        if not has_tags or (answer.strip() in written and reasoning.strip() in written):
            return written
    return None


def _by_hand(
    message: Message, before: Sequence[Message], prompt: str, after: str, tools: Tools, tokenizer: TextTokenizer
) -> str:
    """Thinking, and what the template writes of the turn without it: behind the prompt, or behind what the prompt opens."""
    reasoning, answer = thinking_of(message)
    opened = _OPENED.search(prompt)
    start = prompt[: opened.start()] if opened else prompt
    text = tokenizer.render([*before, replace(message, content=answer, reasoning=None)], tools=tools)
    rest = text[len(start) :] if text.startswith(start) else ""
    if message.tool_calls and not rest:
        raise jinja2.TemplateError("the calls cannot be found behind the prompt that the template writes")
    is_whole = bool(message.tool_calls) or (bool(after) and rest.endswith(after) and answer.strip() in rest)
    if message.tool_calls:
        rest = rest.rstrip()
    elif is_whole:
        rest = rest[: len(rest) - len(after)] + _ending(after, tokenizer)
    thought = _thought(message, reasoning, answer, prompt)
    turn = rest if is_whole else answer + _ending(after, tokenizer)
    return thought + turn.lstrip() if thought else turn


def _around(messages: Sequence[Message], turn: int, tools: Tools, tokenizer: TextTokenizer) -> tuple[str, str]:
    """What the template writes before and behind the content of a turn that ends a conversation."""
    marked = replace(messages[turn], content=SENTINEL, reasoning=None)
    before, mark, after = tokenizer.render([*messages[:turn], marked], tools=tools).partition(SENTINEL)
    if mark:
        return before, after
    if messages[turn].tool_calls:  # some templates write a call and nothing beside it
        return "", ""
    raise jinja2.TemplateError("the answer cannot be found in what the template writes")


def _ending(after: str, tokenizer: TextTokenizer) -> str:
    """What closes a turn: up to the token at which generation ends, or all but the last blanks."""
    ends = [after.index(token) + len(token) for token in tokenizer.end_tokens if token in after]
    return after[: min(ends)] if ends else after.rstrip()


def _prompt(before: Sequence[Message], tools: Tools, tokenizer: TextTokenizer, opening: str) -> str:
    """What the model is given; an answer that nothing was asked before begins where the template puts it."""
    if any(message.role != "system" for message in before):
        return tokenizer.render(before, tools=tools, add_generation_prompt=True)
    try:
        prompt = tokenizer.render(before, tools=tools, add_generation_prompt=True)
    except jinja2.TemplateError:
        return opening
    return prompt if before and opening.startswith(prompt) else opening


def _thought(message: Message, reasoning: str, answer: str, prompt: str) -> str:
    """The thinking as the model has to write it behind this prompt, which may have opened it."""
    opened = _OPENED.search(prompt)
    if message.reasoning is None and message.content != answer:
        thought = message.content[: len(message.content) - len(answer)].lstrip()
    elif reasoning.strip() or opened:
        thought = f"{OPEN}\n{reasoning.strip(chr(10))}\n{CLOSE}\n\n"
    else:
        return ""
    if opened is None:
        return thought if thought.startswith(OPEN) else f"{OPEN}\n{thought}"
    return thought.removeprefix(opened[0]) if thought.startswith(opened[0]) else thought.removeprefix(OPEN)


def _end_of_thinking(written: str, prompt: str) -> int:
    """Characters of a leading block of thinking, with the blanks behind it."""
    thought = re.match(r"\s*<think>.*?</think>\s*", written, re.DOTALL)
    if thought is None and _OPENED.search(prompt):
        thought = re.match(r".*?</think>\s*", written, re.DOTALL)
    return thought.end() if thought else 0


def _joined(answers: Sequence[_Answer], notes: frozenset[Note], tokenizer: TextTokenizer) -> list[Rendered]:
    """As few texts as hold all answers behind their prompts, from the last answer back."""
    texts: list[Rendered] = []
    for answer in reversed(answers):
        whole = answer.prompt + answer.written
        for i, text in enumerate(texts):
            if text.text.startswith(whole) and (end := _end_within(text.text, answer, len(whole), tokenizer)):
                spans = (_span(answer, end), *text.spans)
                texts[i] = replace(text, spans=spans, notes=text.notes | answer.notes)
                break
        else:
            texts.append(Rendered(whole, (_span(answer, len(whole)),), is_chat=True, notes=answer.notes | notes))
    return texts[::-1]


def _span(answer: _Answer, end: int) -> Span:
    prompt_end = len(answer.prompt)
    return Span(prompt_end, prompt_end + answer.learned_from, end)


def _end_within(text: str, answer: _Answer, end: int, tokenizer: TextTokenizer) -> int:
    """Where an answer ends inside a longer text: with its own mark, or with the end token of the next turn; 0 without any."""
    if answer.is_closed:
        return end
    rest = text[end:]
    blanks = len(rest) - len(rest.lstrip())
    marks = [token for token in tokenizer.end_tokens if rest[blanks:].startswith(token)]
    return end + blanks + len(max(marks, key=len)) if marks else 0


def _notes(messages: Sequence[Message], last: _Answer, tools: Tools, tokenizer: TextTokenizer) -> frozenset[Note]:
    """What of the prompt the template leaves out. Raises LostCallsError for what a tool gave back."""
    notes: set[Note] = set()
    for i, message in enumerate(messages):
        if message.role == "assistant" or message.content.strip() in last.prompt:
            continue
        changed = [*messages[:i], replace(message, content=SENTINEL), *messages[i + 1 :]]
        if tokenizer.render(changed, tools=tools) != tokenizer.render(messages, tools=tools):
            continue
        if message.role == "tool":
            raise LostCallsError
        notes.add("turn_lost")
    if tools and tokenizer.render(messages, tools=tools) == tokenizer.render(messages):
        notes.add("tools_unseen")
    return frozenset(notes)
