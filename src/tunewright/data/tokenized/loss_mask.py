"""A conversation as rendered text, and which characters of it are in the loss.

For each answer in the loss the prompt is what `apply_chat_template(turns before it, add_generation_prompt=True)` writes,
which is what a server gives to the model; the answer is what the model then generates to complete that turn. Templates are
probed by rendering, none is known by name. Answers whose prompts begin one another share one text; where a template writes earlier
turns differently from how they were generated (without their thinking, say), an answer has a text of its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import jinja2

from tunewright.data.examples.formats import Example, Message
from tunewright.data.examples.tool_calls import with_text_arguments
from tunewright.data.tokenized.chat_template import Tools
from tunewright.data.tokenized.thinking import (
    CLOSE,
    USUAL,
    Thinking,
    behind_prompt,
    end_of_thinking,
    is_skipped,
    marks_of,
    opening_of,
    thinking_of,
    without_thinking,
)
from tunewright.data.tokenized.tokenizer import TextTokenizer

SENTINEL = "\u2983tunewright\u2984"
RenderNote = Literal["thinking", "thinking_by_hand", "thinking_lost", "tools_unseen", "turn_lost", "turns_joined"]
Turns = Literal["as_written", "join"]


class LostCallsError(jinja2.TemplateError):
    """The template writes no calls of tools, or not what they gave back."""


@dataclass(frozen=True, slots=True)
class TextSpan:
    """Characters of one answer: generation begins at `prompt_end`, and `start` to `end` is in the loss."""

    prompt_end: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class RenderedConversation:
    """A row, or a part of its answers, as text; the last span is the last answer's."""

    text: str
    spans: tuple[TextSpan, ...]
    is_chat: bool
    notes: frozenset[RenderNote] = frozenset()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a server gives, and what the model writes: thinking and blanks up to `loss_from`, then the rest."""

    prompt: str
    text: str
    loss_from: int
    is_closed: bool
    notes: frozenset[RenderNote]


def render_row(
    example: Example,
    tokenizer: TextTokenizer,
    *,
    last_only: bool = False,
    thinking: Thinking = "learn",
    turns: Turns = "as_written",
) -> list[RenderedConversation]:
    """The texts of a row in the model's template, in the order of their answers; plain text is itself.

    `last_only` puts the last answer alone in the loss; `turns` are as `fitting_turns` takes them.
    Raises jinja2.TemplateError for a row that the template refuses, LostCallsError for one whose calls of tools it leaves out.
    """
    if not example.messages:
        return [RenderedConversation(example.text, (TextSpan(0, 0, len(example.text)),), is_chat=False)]
    all_turns = [without_thinking(m) if thinking == "drop" else m for m in example.messages]
    messages = fitting_turns(all_turns, example.tools, tokenizer, turns)
    in_loss = [i for i, message in enumerate(messages) if message.role == "assistant" and message.learn]
    answers = [_answer(messages, i, example.tools, tokenizer, thinking) for i in in_loss[-1 if last_only else 0 :]]
    notes = _notes(messages, answers[-1], example.tools, tokenizer)
    notes |= {"turns_joined"} if len(messages) < len(all_turns) else set()
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
    if len(forms) == 1:  # the only one, whether the template takes it or not
        return forms[0]
    for form in forms:
        if _is_accepted(form, tools, tokenizer):
            return form
    calling = next((message for message in messages if message.tool_calls), None)
    if calling and not _knows_calls(calling, tokenizer):
        raise LostCallsError
    return forms[0]


def _knows_calls(message: Message, tokenizer: TextTokenizer) -> bool:
    """Whether the template writes the first call of a turn, after nothing but a question."""
    first_call = replace(message, tool_calls=message.tool_calls[:1])
    question = Message("user", "?")
    for calls in (first_call.tool_calls, with_text_arguments(first_call.tool_calls)):
        try:
            text = tokenizer.render([question, replace(first_call, tool_calls=calls)])
            return text != tokenizer.render([question, _without_calls(first_call)])
        except jinja2.TemplateError:
            continue
    return False


def _is_accepted(messages: Iterable[Message], tools: Tools, tokenizer: TextTokenizer) -> bool:
    try:
        tokenizer.render(messages, tools=tools)
    except jinja2.TemplateError:
        return False
    return True


def _neighbours_joined(messages: Sequence[Message]) -> list[Message]:
    """Consecutive turns of one role as one, separated by a blank line, if both are in the loss or both are not."""
    joined: list[Message] = []
    for message in messages:
        before = joined[-1] if joined else None
        if before is None or message.role == "tool" or (before.role, before.learn) != (message.role, message.learn):
            joined.append(message)
            continue
        thoughts = [text for text in (before.reasoning, message.reasoning) if text is not None]
        joined[-1] = replace(
            before,
            content="\n\n".join(text for text in (before.content, message.content) if text),
            reasoning="\n".join(thoughts) if thoughts else None,
            tool_calls=before.tool_calls + message.tool_calls,
        )
    return joined


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """The turns with what the system says as user turns."""
    return [replace(message, role="user") if message.role == "system" else message for message in messages]


def _without_calls(message: Message) -> Message:
    return replace(message, tool_calls=())


def _answer(
    messages: Sequence[Message], turn: int, tools: Tools, tokenizer: TextTokenizer, thinking: Thinking
) -> _Answer:
    """One answer after its prompt, as the template renders it or, where that loses something, inserted directly."""
    message, before = messages[turn], messages[:turn]
    reasoning, answer = thinking_of(message)
    opening, after = _around(messages, turn, tools, tokenizer)
    prompt = _prompt(before, tools, tokenizer, opening)
    notes: set[RenderNote] = {"thinking"} if reasoning.strip() else set()
    turn_text = _by_template(message, before, prompt, after, tools, tokenizer)
    if turn_text is None:
        turn_text = _by_hand(message, before, prompt, opening, after, tools, tokenizer)
        notes |= {"thinking_lost" if is_skipped(prompt) else "thinking_by_hand"} if reasoning.strip() else set()
    if answer.strip() not in turn_text:
        notes.add("turn_lost")
    skipped = end_of_thinking(message, turn_text, prompt, tokenizer) if thinking == "mask" else 0
    is_closed = turn_text.endswith(tuple(tokenizer.added_tokens)) or bool(after.strip() and not message.tool_calls)
    return _Answer(prompt, turn_text, skipped, is_closed, frozenset(notes))


def _by_template(
    message: Message, before: Sequence[Message], prompt: str, after: str, tools: Tools, tokenizer: TextTokenizer
) -> str | None:
    """The turn as the template renders it after its prompt; None if that is not what the model has to generate.

    Thinking is tried where it is in the row, then in a key of its own, which also keeps templates from taking a tag that
    an answer only mentions for the end of thinking.
    """
    reasoning, answer = thinking_of(message)
    has_tags = bool(reasoning.strip()) or CLOSE in message.content
    forms = [message, replace(message, reasoning=reasoning.strip("\n"), content=answer)] if has_tags else [message]
    if reasoning.strip() and marks_of(tokenizer) != USUAL:  # tags in the content are text to this template
        forms = forms[1:]
    for form in forms:
        text = tokenizer.render([*before, form], tools=tools)
        if message.tool_calls and text == tokenizer.render([*before, _without_calls(form)], tools=tools):
            raise LostCallsError
        if not text.startswith(prompt):
            continue
        turn_text = text[len(prompt) :]
        turn_text = _ended(turn_text, after, message, tokenizer)
        if not has_tags or (answer.strip() in turn_text and reasoning.strip() in turn_text):
            return turn_text
    return None


def _by_hand(
    message: Message,
    before: Sequence[Message],
    prompt: str,
    opening: str,
    after: str,
    tools: Tools,
    tokenizer: TextTokenizer,
) -> str:
    """Thinking, and what the template writes of the turn without it after the head of the turn."""
    answer = thinking_of(message)[1]
    head = prompt.removesuffix(opening_of(prompt))
    text = tokenizer.render([*before, replace(message, content=answer, reasoning=None)], tools=tools)
    turn = text[len(head) :] if text.startswith(head) else _behind_head(head, text, opening, before, tools, tokenizer)
    if message.tool_calls and not turn:
        raise jinja2.TemplateError("the calls cannot be found after the prompt that the template renders")
    if message.tool_calls or (after and turn.endswith(after) and answer.strip() in turn):
        turn = _ended(turn, after, message, tokenizer)
    else:
        turn = answer + _ending(after, tokenizer)
    return behind_prompt(message, prompt, turn, tokenizer)


def _behind_head(
    head: str, text: str, opening: str, before: Sequence[Message], tools: Tools, tokenizer: TextTokenizer
) -> str:
    """The turn after what a prompt adds to the turns before it, as earlier turns may be rendered differently by now."""
    known = tokenizer.render(before, tools=tools)
    added = head.removeprefix(known) if head.startswith(known) else ""
    place = (opening or text).rfind(added) if added else -1
    return text[place + len(added) :] if place >= 0 else ""


def _ended(turn: str, after: str, message: Message, tokenizer: TextTokenizer) -> str:
    """A turn up to its end; one with calls may hold tokens that would end another."""
    if message.tool_calls:
        return turn.rstrip()
    is_marked = bool(after) and turn.endswith(after)
    return turn[: len(turn) - len(after)] + _ending(after, tokenizer) if is_marked else turn


def _around(messages: Sequence[Message], turn: int, tools: Tools, tokenizer: TextTokenizer) -> tuple[str, str]:
    """What the template writes before and after the content of a turn that ends a conversation."""
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


def _joined(
    answers: Sequence[_Answer], notes: frozenset[RenderNote], tokenizer: TextTokenizer
) -> list[RenderedConversation]:
    """As few texts as hold all answers after their prompts, from the last answer back."""
    texts: list[RenderedConversation] = []
    for answer in reversed(answers):
        full_text = answer.prompt + answer.text
        for i, text in enumerate(texts):
            if text.text.startswith(full_text) and (end := _end_within(text.text, answer, len(full_text), tokenizer)):
                spans = (_span(answer, end), *text.spans)
                texts[i] = replace(text, spans=spans, notes=text.notes | answer.notes)
                break
        else:
            texts.append(
                RenderedConversation(
                    full_text, (_span(answer, len(full_text)),), is_chat=True, notes=answer.notes | notes
                )
            )
    return texts[::-1]


def _span(answer: _Answer, end: int) -> TextSpan:
    prompt_end = len(answer.prompt)
    return TextSpan(prompt_end, prompt_end + answer.loss_from, end)


def _end_within(text: str, answer: _Answer, end: int, tokenizer: TextTokenizer) -> int:
    """Where an answer ends inside a longer text: with its own mark, or with the end token of the next turn; 0 without any."""
    if answer.is_closed:
        return end
    rest = text[end:]
    blanks = len(rest) - len(rest.lstrip())
    marks = [token for token in tokenizer.end_tokens if rest[blanks:].startswith(token)]
    return end + blanks + len(max(marks, key=len)) if marks else 0


def _notes(messages: Sequence[Message], last: _Answer, tools: Tools, tokenizer: TextTokenizer) -> frozenset[RenderNote]:
    """What of the prompt the template leaves out. Raises LostCallsError for what a tool gave back."""
    notes: set[RenderNote] = set()
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
