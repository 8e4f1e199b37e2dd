"""Turns of a conversation, as OpenAI, ShareGPT and their relatives write them, to messages.

Whatever a turn holds is used, refused by name, or counted as not used: nothing is dropped silently.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunewright.data.examples.conversation_forms import (
    CALLS,
    CONTENT_KEYS,
    SHAREGPT_KEYS,
    SPEAKER_KEYS,
    SPEAKERS,
    turns_of,
)
from tunewright.data.examples.formats import Message
from tunewright.data.examples.row_cells import RowReport, is_missing, is_structured
from tunewright.data.examples.tool_calls import read_calls, read_tools
from tunewright.data.files.column_names import normal
from tunewright.data.files.json_scanner import kind_of
from tunewright.data.files.row import Row
from tunewright.data.tokenized.thinking import has_no_end, thinking_of
from tunewright.i18n import N_, Phrase

_TEXT = N_("text")
_TEXT_TYPES = ("text", "input_text", "output_text")
_TURNS = N_("a list of turns")
_SWITCH = N_("true or false, 1 or 0")

_CALL_KEYS = ("tool_calls", CALLS, "tool_call", "function_calls", "toolCalls")
# What OpenAI writes instead of a content where the model declines.
_REFUSAL = "refusal"
# Keys of thinking beside the answer, as transformers' `render_jinja_template` and other programs know them; those of OpenRouter
# and LiteLLM hold lists of parts.
_PARTS_OF_REASONING = ("reasoning_details", "thinking_blocks")
_REASONING = ("reasoning_content", "thinking", "reasoning", "thought", "thinking_content", *_PARTS_OF_REASONING)
# Keys that say whether a turn of the assistant is in the loss: OpenAI, Axolotl, ms-swift and others. Of `mask` true means no.
_IN_LOSS = (
    "weight",
    "train",
    "loss",
    "learn",
    "trainable",
    "training",
    "loss_mask",
    "loss_weight",
    "loss_scale",
    "should_train",
    "do_train",
    "is_trainable",
)
MOST_TURNS = 1000  # a template renders a conversation again for each of its turns
_MASKED = ("mask", "masked", "ignore", "ignore_loss")
_YES, _NO = frozenset(("true", "yes", "1", "1.0")), frozenset(("false", "no", "0", "0.0"))
_PLACES = frozenset((*_REASONING, *_IN_LOSS, *_MASKED, *_CALL_KEYS, "name", "tool_call_id"))
_KEYS: Mapping[str, str] = {key.casefold(): key for key in (*_PLACES, *SPEAKER_KEYS, *CONTENT_KEYS, _REFUSAL, "tools")}


def read_turns(value: Any, name: str, report: RowReport) -> Iterator[Message]:
    """The turns of a conversation. Problems: E203, E205 to E208, E263."""
    turns = turns_of(value)
    if turns is None:
        report.add("E207", field=name)
    elif not isinstance(turns, list):
        report.add("E206", field=name, wanted=_TURNS, got=kind_of(turns))
    elif not turns:
        report.add("E203", field=name)
    elif len(turns) > MOST_TURNS:
        report.add("E263", field=name, count=len(turns), most=MOST_TURNS)
    else:
        for index, turn in enumerate(turns):
            message = _turn(turn, f"{name}[{index}]", report)
            if message:
                yield message


def _turn(turn: Any, place: str, report: RowReport) -> Message | None:
    if not isinstance(turn, dict):
        report.add("E206", field=place, wanted=kind_of({}), got=kind_of(turn))
        return None
    turn = _in_usual_case(turn)
    role_key = _key_of(turn, SPEAKER_KEYS)
    content_key = _key_of(turn, SHAREGPT_KEYS if role_key == "from" else CONTENT_KEYS)
    if not turn.get(content_key) and turn.get(_REFUSAL):
        content_key = _REFUSAL
    speaker = turn.get(role_key)
    if speaker is None:
        report.add("E207", field=f"{place}.{role_key}")
        return None
    role = SPEAKERS.get(normal(str(speaker)))
    if role is None:
        report.add("E208", reason=Phrase(N_('the role "{role}" of {place} is unknown'), role=speaker, place=place))
        return None
    places = (*_PLACES, role_key, content_key, *(("tools",) if role == "system" else ()))
    report.unused_keys.extend(key for key, cell in turn.items() if key not in places and cell is not None)
    if role == CALLS:
        return _turn_of_calls(turn.get(content_key), f"{place}.{content_key}", report)
    return _spoken(turn, role, content_key, place, report)


def _in_usual_case(turn: Row) -> dict[str, object]:
    """The turn with the keys that are known written as they are known (`Role`, `Content`, `From`, `Value`), and no NaN."""
    names = {key: _KEYS.get(str(key).casefold(), key) for key in turn}
    return {key if name in turn else name: None if is_missing(turn[key]) else turn[key] for key, name in names.items()}


def _key_of(turn: Row, keys: Sequence[str]) -> str:
    """The first of these keys that says something; tables fill the others with null. Else the first that is there."""
    filled = [key for key in keys if turn.get(key) is not None]
    return next(iter([*filled, *(key for key in keys if key in turn)]), keys[0])


def _turn_of_calls(content: Any, name: str, report: RowReport) -> Message:
    """ShareGPT's turn that holds nothing but calls, as JSON text; calls in another notation are text that is written."""
    scratch = (
        report
        if isinstance(content, str) and content.lstrip()[:1] in ("{", "[")
        else RowReport(report.row, report.columns)
    )
    calls = read_calls(content, name, scratch)
    return Message("assistant", "" if calls else report.text(content, name), tool_calls=calls)


def _spoken(turn: Row, role: str, content_key: str, place: str, report: RowReport) -> Message:
    """A turn with its content, and with its other keys; an object as the result of a tool is its JSON."""
    calls: tuple[Mapping[str, object], ...] = ()
    if role == "assistant":
        key = next((key for key in _CALL_KEYS if turn.get(key)), CALLS)
        calls = read_calls(turn.get(key), f"{place}.{key}", report)
    else:
        if role == "system" and turn.get("tools"):
            report.tools = read_tools(turn["tools"], f"{place}.tools", report)
        foreign = [key for key in (*_CALL_KEYS, *_REASONING) if turn.get(key)]
        report.unused_keys.extend(foreign)
    parts, thoughts = _parts(turn.get(content_key))
    if role == "tool" and is_structured(parts) and not _are_parts(parts):
        parts = json.dumps(parts, ensure_ascii=False, default=str)
    may_be_empty = bool(calls) or (role in ("system", "tool") and content_key in turn)
    name = f"{place}.{content_key}"
    message = Message(
        role,
        _content(parts, name, report, may_be_empty=may_be_empty),
        reasoning=_reasoning(turn, thoughts, place, report) if role == "assistant" else None,
        tool_calls=calls,
        name=str(turn.get("name") or ""),
        tool_call_id=str(turn.get("tool_call_id") or ""),
        learn=_is_in_loss(turn, place, report),
    )
    is_thought = has_no_end(message) or (bool(message.content.strip()) and not thinking_of(message)[1].strip())
    if role == "assistant" and is_thought and not calls:
        report.add("E206", field=name, wanted=N_("an answer after its thinking"), got=N_("only thinking"))
    return message


def _parts(content: Any) -> tuple[Any, str | None]:
    """A content without its parts of thinking, and the text of these (Mistral's and Anthropic's form)."""
    if not isinstance(content, list):
        return content, None
    thoughts = [part for part in content if isinstance(part, dict) and _is_thought(part)]
    texts = [_joined(part.get("thinking", part.get("text"))) for part in thoughts]
    if not texts or not all(isinstance(text, str) for text in texts):
        return content, None
    return [part for part in content if part not in thoughts], "\n".join(map(str, texts))


def _joined(thought: Any) -> Any:
    """The text of a thought, which Mistral, OpenRouter and LiteLLM write as a list of parts."""
    parts = thought if isinstance(thought, list) else []
    texts = [part.get("thinking", part.get("text")) for part in parts if isinstance(part, dict)]
    return "".join(map(str, texts)) if texts and all(isinstance(text, str) for text in texts) else thought


def _is_thought(part: Row) -> bool:
    return part.get("type") in ("thinking", "reasoning") or part.get("thought") is True  # the latter is Gemini's


def _are_parts(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(part, dict) and "type" in part for part in content)


def _content(value: Any, name: str, report: RowReport, *, may_be_empty: bool) -> str:
    """The text of a turn, from text or from a list of text parts."""
    if not isinstance(value, list):
        return report.text(value, name, may_be_empty=may_be_empty)
    parts = [{"text": part} if isinstance(part, str) else part for part in value]
    parts = [{"text": part.get(_REFUSAL)} if _is_refusal(part) else part for part in parts]
    for index, part in enumerate(parts):
        is_text = (
            isinstance(part, dict) and part.get("type", "text") in _TEXT_TYPES and isinstance(part.get("text"), str)
        )
        if not is_text:
            got = f'a part of type "{part["type"]}"' if isinstance(part, dict) and "type" in part else kind_of(part)
            report.add("E206", field=f"{name}[{index}]", wanted=_TEXT, got=got)
            return ""
    return report.text("".join(part["text"] for part in parts), name, may_be_empty=may_be_empty)


def _is_refusal(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == _REFUSAL


def _reasoning(turn: Row, thoughts: str | None, place: str, report: RowReport) -> str | None:
    written = {key: _joined(turn[key]) for key in _REASONING if turn.get(key) is not None}
    encrypted = [key for key in _PARTS_OF_REASONING if isinstance(written.get(key), list)]
    report.unused_keys.extend(encrypted)
    readable = [key for key in written if key not in encrypted]
    if not readable:
        return thoughts
    return report.text(written[readable[0]], f"{place}.{readable[0]}", may_be_empty=True)


def _is_in_loss(turn: Row, place: str, report: RowReport) -> bool:
    """Whether the turn's own switches keep it in the loss; all of them must. Problem: E206 for a value that is not a switch."""
    in_loss = True
    for key in (*_IN_LOSS, *_MASKED):
        value = turn.get(key)
        if value is None:
            continue
        switch = _switch(value)
        if switch is None:
            report.add("E206", field=f"{place}.{key}", wanted=_SWITCH, got=kind_of(value))
        elif switch == (key in _MASKED):
            in_loss = False
    return in_loss


def _switch(value: Any) -> bool | None:
    """True or false, also written as text or as a weight; a weight between 0 and 1 is none."""
    text = str(value).strip().casefold()
    if isinstance(value, bool | str | int | float):
        return True if text in _YES else False if text in _NO else None
    return None


def system_turn(value: Any, name: str, report: RowReport) -> Message | None:
    """The content of a system column as a turn, or as the parts of one (Gemini, Bedrock)."""
    turn = value if isinstance(value, dict) else {"content": value}
    return _turn({**turn, "role": "system"}, name, report)


def without_loss(messages: Sequence[Message]) -> list[Message]:
    """The same turns, without loss: those of a prompt."""
    return [replace(message, learn=False) for message in messages]


def to_the_last_answer(messages: Sequence[Message], report: RowReport) -> tuple[Message, ...]:
    """The turns up to the last answer in the loss; the model never sees what comes after it.

    Problems: E208 if no turn is the assistant's, E232 if none of these is in the loss.
    """
    if report.problems:
        return ()
    answers = [i for i, message in enumerate(messages) if message.role == "assistant"]
    if not answers:
        report.add("E208", reason=N_("no turn is the assistant's"))
        return ()
    in_loss = [i for i in answers if messages[i].learn]
    if not in_loss:
        report.add("E232")
        return ()
    return tuple(messages[: in_loss[-1] + 1])
