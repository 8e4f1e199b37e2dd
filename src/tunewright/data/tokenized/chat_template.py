"""Chat templates rendered as transformers renders them, without importing it.

The environment follows transformers' `utils/chat_template_utils.py` (5.23); `tests/matrix/test_template.py` holds both
against each other. Templates come from strangers, so they run in jinja2's immutable sandbox.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tunewright.data.examples.formats import Message

Tools = Sequence[Mapping[str, object]]

BUILT_IN: Mapping[str, str] = {
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    # ChatML with tools as Hermes 2 Pro writes them (the form that vLLM's and SGLang's parser "hermes" reads).
    "hermes": (
        "{% set system = messages[0]['content'] if messages and messages[0]['role'] == 'system' else '' %}"
        "{% if tools %}{{ '<|im_start|>system\n' }}{% if system %}{{ system + '\n\n' }}{% endif %}"
        "{{ 'You may call these functions:\n<tools>\n' }}{% for tool in tools %}{{ tool | tojson + '\n' }}{% endfor %}"
        "{{ '</tools>\n\nWrite each call as a JSON object with name and arguments between tags:\n<tool_call>\n"
        '{"name": <function>, "arguments": <object>}\n</tool_call><|im_end|>\n\' }}{% endif %}'
        "{% for message in messages %}"
        "{% if message['role'] == 'tool' %}"
        "{% if loop.first or messages[loop.index0 - 1]['role'] != 'tool' %}{{ '<|im_start|>user' }}{% endif %}"
        "{{ '\n<tool_response>\n' + message['content'] + '\n</tool_response>' }}"
        "{% if loop.last or messages[loop.index0 + 1]['role'] != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}"
        "{% elif not (tools and system and loop.first) %}{{ '<|im_start|>' + message['role'] }}"
        "{% if message['content'] %}{{ '\n' + message['content'] }}{% endif %}"
        "{% for call in message['tool_calls'] or [] %}"
        """{{ '\n<tool_call>\n{"name": "' + call['function']['name'] + '", "arguments": ' }}"""
        "{{ call['function']['arguments'] | tojson + '}\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\n' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "plain": (
        "{% for message in messages %}{{ message['content'] }}"
        "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
    ),
}


class _Generation(Extension):
    """Lets templates with `{% generation %}` marks render; the marks themselves are not needed here."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Namespace(jinja2.utils.Namespace):
    """jinja2's namespace without underscore names, which lead out of the sandbox."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"namespace attribute {name!r}")
        super().__setitem__(name, value)


def _raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def today() -> datetime:
    """The beginning of this day: what a row says does not depend on the second in which it is written."""
    return datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)


@lru_cache(maxsize=8)
def compile_template(source: str) -> jinja2.Template:
    """The template, ready to render. Raises jinja2.TemplateSyntaxError."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals.update(raise_exception=_raise_exception, namespace=_Namespace, dict=dict)
    return environment.from_string(source)


def render(
    source: str,
    messages: Iterable[Message],
    special_tokens: Mapping[str, str],
    *,
    tools: Tools = (),
    add_generation_prompt: bool = False,
    day: datetime | None = None,
) -> str:
    """A conversation as the model reads it; `day` is now for a template that asks for the time.

    Raises jinja2.TemplateError if the template refuses it or fails on it.
    """
    try:
        return "".join(parts(compile_template(source), messages, special_tokens, add_generation_prompt, tools, day))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as fault:
        raise jinja2.TemplateError(f"{type(fault).__name__}: {fault}") from fault


def parts(
    template: jinja2.Template,
    messages: Iterable[Message],
    special_tokens: Mapping[str, str],
    prompted: bool,
    tools: Tools = (),
    day: datetime | None = None,
) -> Iterator[str]:
    """What the template writes, piece by piece."""
    now = day or today()

    def strftime_now(pattern: str) -> str:
        return now.strftime(pattern)

    values = {
        "messages": [as_turn(message) for message in messages],
        "tools": list(tools) or None,
        "documents": None,
        "add_generation_prompt": prompted,
        "strftime_now": strftime_now,
    }
    return template.generate(**{**special_tokens, **values})


def as_turn(message: Message) -> dict[str, object]:
    """The turn as transformers' `apply_chat_template` hands it to a template: keys without a value are not there."""
    turn: dict[str, object] = {"role": message.role}
    if message.reasoning is not None:
        turn |= {"thinking": message.reasoning, "reasoning_content": message.reasoning}
    if message.content or not message.tool_calls:
        turn["content"] = message.content
    if message.tool_calls:
        turn["tool_calls"] = list(message.tool_calls)
    if message.name:
        turn["name"] = message.name
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def from_turn(turn: Mapping[str, Any]) -> Message:
    """The message that `as_turn` wrote, or that a caller writes in the same keys."""
    return Message(
        str(turn["role"]),
        str(turn.get("content") or ""),
        turn.get("reasoning_content"),
        tuple(turn.get("tool_calls") or ()),
        str(turn.get("name") or ""),
        str(turn.get("tool_call_id") or ""),
    )
