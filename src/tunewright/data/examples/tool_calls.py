"""Tools and the calls of them, in the one form that transformers' `apply_chat_template` documents.

A tool is `{"type": "function", "function": {"name", "description", "parameters"}}`, a call `{"type": "function",
"function": {"name", "arguments"}}` with arguments as an object. Files also hold them as JSON text, without the wrapping
object, with arguments as JSON text (OpenAI), or as `function_call` (OpenAI until 2023, ShareGPT).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tunewright.data.examples.row_cells import RowReport
from tunewright.data.files.json_scanner import kind_of
from tunewright.i18n import N_

_TOOLS = N_("a list of tools, each with a name")
_CALLS = N_("a list of calls, each with the name of a function and arguments that are JSON")
# What different programs call the arguments: OpenAI, Llama, Anthropic, and LangChain and Gemini.
_ARGUMENTS = ("arguments", "parameters", "input", "args")
_BESIDE = frozenset(("name", "id", "type", "index", "description", "call_id", "tool_call_id", "function"))


def read_tools(value: Any, name: str, report: RowReport) -> tuple[Mapping[str, object], ...]:
    """The tools of a row; none for an empty cell. Problem: E206."""
    tools = _without_nulls(_from_text(value), report)
    if tools in (None, "", {}):
        return ()
    tools = _by_name(tools) if isinstance(tools, dict) else tools
    if not isinstance(tools, list):
        report.add("E206", field=name, wanted=_TOOLS, got=kind_of(tools))
        return ()
    tools = [tool for holder in tools for tool in _declared(holder)]
    wrapped = [_wrapped(_from_text(tool)) for tool in tools]
    for index, tool in enumerate(wrapped):
        if tool is None:
            report.add("E206", field=f"{name}[{index}]", wanted=_TOOLS, got=kind_of(tools[index]))
            return ()
    return tuple(tool for tool in wrapped if tool is not None)


def _by_name(tools: Mapping[str, Any]) -> list[Any]:
    """The tools listed under their names, each as an object with its parameters or as the schema of these; or one tool."""
    is_single_tool = isinstance(tools.get("name"), str) or isinstance(tools.get("function"), dict)
    if is_single_tool or not all(isinstance(tool, dict) for tool in tools.values()):
        return [tools]
    return [
        tool
        if "function" in tool or "name" in tool
        else {"name": name, **({"parameters": tool} if tool.get("type") == "object" else tool)}
        for name, tool in tools.items()
    ]


def _declared(tool: Any) -> list[Any]:
    """The tools that Gemini's `functionDeclarations` holds; any other tool alone."""
    keys = ("functionDeclarations", "function_declarations")
    lists = [tool[key] for key in keys if isinstance(tool, dict) and isinstance(tool.get(key), list)]
    return lists[0] if lists else [tool]


def _wrapped(tool: Any) -> dict[str, Any] | None:
    """The tool as transformers takes it; None if it names no function."""
    if not isinstance(tool, dict):
        return None
    if isinstance(tool.get("input_schema"), dict):  # Anthropic's form
        tool = {("parameters" if key == "input_schema" else key): value for key, value in tool.items()}
    if isinstance(tool.get("function"), dict):
        return tool if isinstance(tool["function"].get("name"), str) else None
    return {"type": "function", "function": tool} if isinstance(tool.get("name"), str) else None


def read_calls(value: Any, name: str, report: RowReport) -> tuple[Mapping[str, object], ...]:
    """The calls of a turn, in a list or alone, as values or as JSON text; none for an empty list. Problem: E206."""
    calls = _without_nulls(_from_text(value), report)
    if calls is None or calls == "":
        return ()
    calls = [calls] if isinstance(calls, dict) else calls
    read = [_call(_from_text(call)) for call in calls] if isinstance(calls, list) else [None]
    if None in read:
        report.add("E206", field=name, wanted=_CALLS, got=kind_of(calls))
        return ()
    return tuple(call for call in read if call is not None)


def _call(call: Any) -> dict[str, object] | None:
    wrapped = _wrapped(call)
    if wrapped is None:
        return None
    function = wrapped["function"]
    key = next((key for key in _ARGUMENTS if function.get(key) is not None), None)
    if key is None and function.keys() - _BESIDE - set(_ARGUMENTS):
        return None  # arguments under a name that is not known would be lost
    arguments = _from_text(function[key]) if key else None
    if isinstance(arguments, str) and arguments.lstrip()[:1] in ("{", "["):
        return None  # JSON that is broken: the model would learn to write such
    arguments = {} if arguments is None or arguments == "" else arguments
    return {**wrapped, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _without_nulls(value: Any, report: RowReport) -> Any:
    """Of a row from a table what was written: tables fill all keys that any row has with null."""
    if report.row.line:
        return value
    if isinstance(value, dict):
        return {key: _without_nulls(item, report) for key, item in value.items() if item is not None}
    return [_without_nulls(item, report) for item in value] if isinstance(value, list) else value


def _from_text(value: Any) -> Any:
    """The value that a JSON text of an object or a list holds; any other value is itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def with_text_arguments(calls: Sequence[Mapping[str, Any]]) -> tuple[dict[str, object], ...]:
    """The calls with arguments as JSON text, for templates that join them to other text (DeepSeek's do)."""
    return tuple(
        {**call, "function": {**call["function"], "arguments": _as_text(call["function"]["arguments"])}}
        for call in calls
    )


def _as_text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
