"""Rows to examples, by the form that was recognised: each row becomes an example or at least one problem, never both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunewright.data.formats import Example, Format, Message
from tunewright.data.labels import LabelKind, read_tags, read_target, read_words
from tunewright.data.read import RawRow
from tunewright.data.row import RowReport, unpacked
from tunewright.data.scan import kind_of
from tunewright.errors import Problem
from tunewright.i18n import N_, Phrase

_TEXT = N_("text")
_TURNS = N_("a list of turns")

_SPEAKERS: Mapping[str, str] = {
    **dict.fromkeys(("user", "human", "用户"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "ai", "function_call", "助手"), "assistant"),
    **dict.fromkeys(("system", "developer", "系统"), "system"),
    **dict.fromkeys(("tool", "function", "observation"), "tool"),
}


def to_examples(
    rows: Sequence[RawRow], fmt: Format, system: str | None = None, kind: LabelKind | None = None
) -> tuple[list[Example], list[Problem]]:
    """Examples of the sound rows, and the problems (E203, E205 to E208, E222 to E224) of the others.

    `system` is put in front of conversations that have no system turn; rows with a label need its `kind`.
    """
    examples: list[Example] = []
    problems: list[Problem] = []
    read = _reader(fmt, kind)
    for row in rows:
        report = RowReport(row, fmt.columns)
        example = read(report, Example(row.number, row.file, row.line))
        if report.problems:
            problems.extend(report.problems)
            continue
        if system and example.messages and example.messages[0].role != "system":
            example = replace(example, messages=(Message("system", system), *example.messages))
        examples.append(example)
    return examples, problems


_Reader = Callable[[RowReport, Example], Example]


def _reader(fmt: Format, kind: LabelKind | None) -> _Reader:
    if "label" in fmt.columns:
        assert kind is not None
        return lambda report, example: _labelled(report, example, kind)
    return next(read for role, read in _READERS.items() if role in fmt.columns)


def _labelled(report: RowReport, example: Example, kind: LabelKind) -> Example:
    pair = report.text_of("pair") if "pair" in report.columns else ""
    return replace(example, text=report.text_of("text"), pair=pair, target=read_target(report, kind))


def _tagged(report: RowReport, example: Example) -> Example:
    words, tags = read_words(report), read_tags(report)
    if len(words) != len(tags) and not report.problems:
        report.add("E222", words=len(words), tags=len(tags))
    return replace(example, words=words, tags=tags)


def _from_text(report: RowReport, example: Example) -> Example:
    return replace(example, text=report.text_of("text"))


def _from_turns(report: RowReport, example: Example) -> Example:
    messages = [*_system(report), *_turns(report.cell("messages"), report.columns["messages"], report)]
    _check_order(messages, report)
    return replace(example, messages=tuple(messages))


def _from_pair(report: RowReport, example: Example) -> Example:
    messages = [*_system(report), *_history(report)]
    prompt, completion = report.cell("prompt"), report.cell("completion")
    addition = _optional_text("input", report)
    if isinstance(prompt, list) and not addition:
        messages += _turns(prompt, report.columns["prompt"], report)
    else:
        request = report.text(prompt, report.columns["prompt"])
        messages.append(Message("user", f"{request}\n{addition}" if addition else request))
    if isinstance(completion, list):
        messages += _turns(completion, report.columns["completion"], report)
    else:
        messages.append(Message("assistant", report.text(completion, report.columns["completion"])))
    _check_order(messages, report)
    return replace(example, messages=tuple(messages))


_READERS: Mapping[str, _Reader] = {
    "words": _tagged,
    "messages": _from_turns,
    "prompt": _from_pair,
    "text": _from_text,
}


def _system(report: RowReport) -> Iterator[Message]:
    if content := _optional_text("system", report):
        yield Message("system", content)


def _optional_text(role: str, report: RowReport) -> str:
    """The text of a column that a row may leave empty; blanks are empty."""
    if role not in report.columns:
        return ""
    text = report.text(report.cell(role), report.columns[role], may_be_empty=True)
    return text if text.strip() else ""


def _history(report: RowReport) -> Iterator[Message]:
    """Earlier turns as pairs of prompt and answer."""
    name = report.columns.get("history", "")
    value = unpacked(report.cell("history")) if name else None
    if value is None or value == "":
        return
    if not isinstance(value, list):
        report.add("E206", field=name, wanted=N_("a list of pairs"), got=kind_of(value))
        return
    for index, pair in enumerate(value):
        place = f"{name}[{index}]"
        if isinstance(pair, list) and len(pair) == 2:
            yield Message("user", report.text(pair[0], f"{place}[0]"))
            yield Message("assistant", report.text(pair[1], f"{place}[1]"))
        else:
            report.add("E206", field=place, wanted=N_("a pair of prompt and answer"), got=kind_of(pair))


def _turns(value: Any, name: str, report: RowReport) -> Iterator[Message]:
    """The turns of a conversation, in OpenAI's keys (role, content) or ShareGPT's (from, value)."""
    turns = unpacked(value)
    if turns is None:
        report.add("E207", field=name)
    elif not isinstance(turns, list):
        report.add("E206", field=name, wanted=_TURNS, got=kind_of(turns))
    elif not turns:
        report.add("E203", field=name)
    else:
        for index, turn in enumerate(turns):
            message = _turn(turn, f"{name}[{index}]", report)
            if message:
                yield message


def _turn(turn: Any, place: str, report: RowReport) -> Message | None:
    if not isinstance(turn, dict):
        report.add("E206", field=place, wanted=kind_of({}), got=kind_of(turn))
        return None
    role_key, content_key = ("role", "content") if "role" in turn or "from" not in turn else ("from", "value")
    speaker = turn.get(role_key)
    if speaker is None:
        report.add("E207", field=f"{place}.{role_key}")
        return None
    role = _SPEAKERS.get(str(speaker).strip().casefold())
    if role is None:
        report.add("E208", reason=Phrase(N_('the role "{role}" of {place} is unknown'), role=speaker, place=place))
        return None
    name, value = f"{place}.{content_key}", turn.get(content_key)
    return Message(role, _content(value, name, report, may_be_empty=role in ("system", "tool") and value is not None))


def _content(value: Any, name: str, report: RowReport, *, may_be_empty: bool) -> str:
    """The text of a turn, given as text or as a list of text parts."""
    if not isinstance(value, list):
        return report.text(value, name, may_be_empty=may_be_empty)
    for index, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            got = f'a part of type "{part["type"]}"' if isinstance(part, dict) and "type" in part else kind_of(part)
            report.add("E206", field=f"{name}[{index}]", wanted=_TEXT, got=got)
            return ""
    return report.text("".join(part["text"] for part in value), name, may_be_empty=may_be_empty)


def _check_order(messages: Sequence[Message], report: RowReport) -> None:
    """E208 unless it is: system or not, then user and assistant in turn, tools between assistants, assistant last."""
    if report.problems:
        return
    if reason := _disorder([message.role for message in messages]):
        report.add("E208", reason=reason)


_AFTER: Mapping[str, tuple[str, ...]] = {
    "": ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}


def _disorder(roles: Sequence[str]) -> str:
    if "assistant" not in roles:
        return N_("no turn is the assistant's")
    for before, role in zip(("", *roles), roles, strict=False):
        if role in _AFTER[before]:
            continue
        if role == "system":
            return N_("a system turn stands in the middle")
        if role == before:
            return N_("two user turns in a row") if role == "user" else N_("two assistant turns in a row")
        if role == "assistant":
            return N_("the assistant speaks first")
        return N_("a tool turn follows no assistant turn") if role == "tool" else N_("a user turn follows a tool turn")
    return "" if roles[-1] == "assistant" else N_("the last turn is not the assistant's")
