"""Rows to examples: which column is prompt, answer, conversation or text, and whether a row makes sense.

The form is recognised from the column names and from what stands in them; `--map` corrects it. Every row becomes
an example or at least one problem, never both.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from tunewright.data.read import RawRow
from tunewright.data.scan import kind_of
from tunewright.errors import DataError, Problem, Where, error
from tunewright.i18n import N_, _

ROLES = ("messages", "prompt", "completion", "system", "input", "history", "text")

_MAP_NAMES = {**{role: role for role in ROLES}, "instruction": "prompt", "output": "completion"}

# Role -> names of its column, best first; compared without case, with "_" for blanks and hyphens.
_SPELLINGS: Mapping[str, str] = {
    "messages": "messages conversations conversation dialogue dialog 对话",
    "prompt": "prompt instruction question query problem user human q ask source input input_text source_text"
    " 指令 问题 提问 题目 问 输入 article document sentence text content",
    "completion": "completion response output answer reply solution assistant bot gpt a target output_text target_text"
    " 输出 回答 答案 回复 答 summary highlights label",
    "system": "system system_prompt 系统 系统提示",
    "input": "input context 输入 上下文",
    "history": "history 历史",
    "text": "text content sentence document 文本 内容",
}
_OPTIONAL = ("system", "input", "history")
_ALPACA = frozenset({"instruction", "指令"})

_SPEAKERS: Mapping[str, str] = {
    **dict.fromkeys(("user", "human", "用户"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "ai", "function_call", "助手"), "assistant"),
    **dict.fromkeys(("system", "developer", "系统"), "system"),
    **dict.fromkeys(("tool", "function", "observation"), "tool"),
}

_LABELS = {
    "messages": N_("conversations"),
    "conversations": N_("conversations"),
    "prompt_completion": N_("prompt and answer"),
    "alpaca": N_("instruction and answer"),
    "question_answer": N_("question and answer"),
    "text": N_("plain text"),
}
_TEXT = N_("text")
_TURNS = N_("a list of turns")
_SAMPLE_ROWS = 1000
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; `role` is system, user, assistant or tool."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """What is trained on: a conversation that ends with the assistant, or plain text; with the place of its row."""

    number: int
    file: str
    line: int
    messages: tuple[Message, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Format:
    """The form of the rows and the column that plays each role.

    `name` is messages, conversations, prompt_completion, alpaca, question_answer or text. `unused` are the columns
    that play none.
    """

    name: str
    columns: Mapping[str, str]
    unused: tuple[str, ...] = field(default=(), compare=False)

    def describe(self) -> str:
        """The format for people: "question and answer (question -> prompt, answer -> completion)"."""
        roles = ", ".join(f"{column} -> {role}" for role, column in self.columns.items())
        if not self.unused:
            return f"{_(_LABELS[self.name])} ({roles})"
        return _("{form} ({roles}; not used: {unused})").format(
            form=_(_LABELS[self.name]), roles=roles, unused=", ".join(self.unused)
        )


def sniff(rows: Sequence[RawRow], mapping: Mapping[str, str] | None = None) -> Format:
    """The format that fits most of the first rows; `mapping` says which column plays a role.

    Raises: DataError E211 if no form fits, E212 if a mapped column does not exist; SpecError E103 for a role that
    does not exist, E109 for roles of two forms.
    """
    sample = rows[:_SAMPLE_ROWS]
    union = list(dict.fromkeys(column for row in sample for column in row.value))
    mapped = _checked_mapping(mapping or {}, union)
    forms = [form for form in (_form(roles, union, mapped) for roles in _wanted_forms(mapped)) if form]
    if not forms:
        raise error("E211", columns=", ".join(union))
    return max(forms, key=lambda form: sum(_fits(row.value, form) for row in sample))


def _checked_mapping(mapping: Mapping[str, str], union: Sequence[str]) -> dict[str, str]:
    mapped: dict[str, str] = {}
    for name, column in mapping.items():
        if name not in _MAP_NAMES:
            raise error("E103", key="data.map", reason=f"takes {', '.join(_MAP_NAMES)} on its left", value=name)
        if column not in union:
            values = {"column": column, "columns": ", ".join(union), "roles": ", ".join(ROLES)}
            by_lower = {known.lower(): known for known in union}
            for close in get_close_matches(column.lower(), by_lower, n=1):
                values["suggestion"] = by_lower[close]
            raise DataError([Problem("E212", values=values)])
        mapped[_MAP_NAMES[name]] = column
    return mapped


def _wanted_forms(mapped: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The required roles of each form that the mapping leaves possible, best first."""
    forms = [("messages",), ("prompt", "completion"), ("text",)]
    named = [form for form in forms if set(form) & set(mapped)]
    if len(named) > 1:
        first, second = (next(role for role in form if role in mapped) for form in named[:2])
        reason, fix = "they belong to different forms of rows", f"--map {first}={mapped[first]}"
        raise error("E109", first=f"--map {first}", second=f"--map {second}", reason=reason, fix=fix)
    return named or forms


def _form(required: Sequence[str], union: Sequence[str], mapped: Mapping[str, str]) -> Format | None:
    """The format with these roles, None if a column for one of them cannot be found."""
    free = [column for column in union if column not in mapped.values()]
    optional = () if required == ("text",) else ("system",) if required == ("messages",) else _OPTIONAL
    columns: dict[str, str] = {}
    for role in (*required, *optional):
        column = mapped.get(role) or _column_for(role, free)
        if column:
            columns[role] = column
            free = [name for name in free if name != column]
        elif role in required:
            return None
    return Format(_name_of(columns, mapped), columns, tuple(name for name in union if name not in columns.values()))


def _column_for(role: str, free: Sequence[str]) -> str | None:
    known = {_normal(column): column for column in reversed(free)}
    return next((known[spelling] for spelling in _SPELLINGS[role].split() if spelling in known), None)


def _normal(column: str) -> str:
    return re.sub(r"[\s-]+", "_", column.strip().casefold())


def _name_of(columns: Mapping[str, str], mapped: Mapping[str, str]) -> str:
    if "text" in columns:
        return "text"
    if "messages" in columns:
        return "messages" if _normal(columns["messages"]) == "messages" else "conversations"
    prompt, completion = _normal(columns["prompt"]), _normal(columns["completion"])
    if prompt in _ALPACA:
        return "alpaca"
    is_plain = (prompt, completion) == ("prompt", "completion") or "prompt" in mapped or "completion" in mapped
    return "prompt_completion" if is_plain else "question_answer"


def _fits(row: Mapping[str, Any], form: Format) -> bool:
    if "messages" in form.columns:
        return isinstance(_unpacked(row.get(form.columns["messages"])), list)
    required = [column for role, column in form.columns.items() if role not in _OPTIONAL]
    types = str if form.name == "text" else (str, list)
    return all(isinstance(row.get(column), types) for column in required)


def to_examples(rows: Sequence[RawRow], fmt: Format, system: str | None = None) -> tuple[list[Example], list[Problem]]:
    """Examples of the sound rows, and the problems (E203, E205, E206, E207, E208) of the others.

    `system` is put in front of conversations that have no system turn.
    """
    examples: list[Example] = []
    problems: list[Problem] = []
    convert = _CONVERTERS[next(role for role in ("messages", "prompt", "text") if role in fmt.columns)]
    for row in rows:
        report = _Report(row)
        messages, text = convert(row.value, fmt.columns, report)
        if report.problems:
            problems.extend(report.problems)
            continue
        if system and messages and messages[0].role != "system":
            messages = [Message("system", system), *messages]
        examples.append(Example(row.number, row.file, row.line, tuple(messages), text))
    return examples, problems


class _Report:
    """The problems of one row."""

    def __init__(self, row: RawRow) -> None:
        self.row = row
        self.problems: list[Problem] = []

    def add(self, code: str, **values: Any) -> None:
        where = Where(self.row.file, self.row.line)
        self.problems.append(Problem(code, where, {**values, "row": self.row.number}))

    def text(self, value: Any, name: str, *, may_be_empty: bool = False) -> str:
        """The value, if it is sound text that says something."""
        if value is None:
            if not may_be_empty:
                self.add("E207", field=name)
            return ""
        if not isinstance(value, str):
            self.add("E206", field=name, wanted=_TEXT, got=kind_of(value))
            return ""
        if control := _CONTROL.search(value):
            self.add("E205", reason=f"the character U+{ord(control[0]):04X} in {name}")
        elif not may_be_empty and not value.strip():
            self.add("E203", field=name)
        return value


Converter = Callable[[Mapping[str, Any], Mapping[str, str], _Report], tuple[list[Message], str]]


def _from_text(row: Mapping[str, Any], columns: Mapping[str, str], report: _Report) -> tuple[list[Message], str]:
    return [], report.text(row.get(columns["text"]), columns["text"])


def _from_turns(row: Mapping[str, Any], columns: Mapping[str, str], report: _Report) -> tuple[list[Message], str]:
    messages = [*_system(row, columns, report), *_turns(row.get(columns["messages"]), columns["messages"], report)]
    _check_order(messages, report)
    return messages, ""


def _from_pair(row: Mapping[str, Any], columns: Mapping[str, str], report: _Report) -> tuple[list[Message], str]:
    messages = [*_system(row, columns, report), *_history(row, columns, report)]
    prompt, completion = row.get(columns["prompt"]), row.get(columns["completion"])
    addition = _optional_text("input", row, columns, report)
    if isinstance(prompt, list) and not addition:
        messages += _turns(prompt, columns["prompt"], report)
    else:
        request = report.text(prompt, columns["prompt"])
        messages.append(Message("user", f"{request}\n{addition}" if addition else request))
    if isinstance(completion, list):
        messages += _turns(completion, columns["completion"], report)
    else:
        messages.append(Message("assistant", report.text(completion, columns["completion"])))
    _check_order(messages, report)
    return messages, ""


_CONVERTERS: Mapping[str, Converter] = {"messages": _from_turns, "prompt": _from_pair, "text": _from_text}


def _system(row: Mapping[str, Any], columns: Mapping[str, str], report: _Report) -> Iterator[Message]:
    if content := _optional_text("system", row, columns, report):
        yield Message("system", content)


def _optional_text(role: str, row: Mapping[str, Any], columns: Mapping[str, str], report: _Report) -> str:
    """The text of a column that a row may leave empty; blanks are empty."""
    if role not in columns:
        return ""
    text = report.text(row.get(columns[role]), columns[role], may_be_empty=True)
    return text if text.strip() else ""


def _history(row: Mapping[str, Any], columns: Mapping[str, str], report: _Report) -> Iterator[Message]:
    """Earlier turns as pairs of prompt and answer."""
    name = columns.get("history", "")
    value = _unpacked(row.get(name)) if name else None
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


def _unpacked(value: Any) -> Any:
    """The value, or the list it holds as JSON text: so a cell of a csv file holds a conversation."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _turns(value: Any, name: str, report: _Report) -> Iterator[Message]:
    """The turns of a conversation, in OpenAI's keys (role, content) or ShareGPT's (from, value)."""
    turns = _unpacked(value)
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


def _turn(turn: Any, place: str, report: _Report) -> Message | None:
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
        report.add("E208", reason=f'the role "{speaker}" of {place} is unknown')
        return None
    name, value = f"{place}.{content_key}", turn.get(content_key)
    return Message(role, _content(value, name, report, may_be_empty=role in ("system", "tool") and value is not None))


def _content(value: Any, name: str, report: _Report, *, may_be_empty: bool) -> str:
    """The text of a turn, given as text or as a list of text parts."""
    if not isinstance(value, list):
        return report.text(value, name, may_be_empty=may_be_empty)
    for index, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            got = f'a part of type "{part["type"]}"' if isinstance(part, dict) and "type" in part else kind_of(part)
            report.add("E206", field=f"{name}[{index}]", wanted=_TEXT, got=got)
            return ""
    return report.text("".join(part["text"] for part in value), name, may_be_empty=may_be_empty)


def _check_order(messages: Sequence[Message], report: _Report) -> None:
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
