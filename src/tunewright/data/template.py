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

from tunewright.data.formats import Message

BUILT_IN: Mapping[str, str] = {
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
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


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


@lru_cache(maxsize=8)
def compile_template(source: str) -> jinja2.Template:
    """The template, ready to render. Raises jinja2.TemplateSyntaxError."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals.update(
        raise_exception=_raise_exception, strftime_now=_strftime_now, namespace=_Namespace, dict=dict
    )
    return environment.from_string(source)


def render(
    source: str, messages: Iterable[Message], special_tokens: Mapping[str, str], *, add_generation_prompt: bool = False
) -> str:
    """A conversation as the model reads it. Raises jinja2.TemplateError if the template refuses it or fails on it."""
    try:
        return "".join(parts(compile_template(source), messages, special_tokens, add_generation_prompt))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as fault:
        raise jinja2.TemplateError(f"{type(fault).__name__}: {fault}") from fault


def parts(
    template: jinja2.Template, messages: Iterable[Message], special_tokens: Mapping[str, str], prompted: bool
) -> Iterator[str]:
    """What the template writes, piece by piece."""
    turns: Sequence[dict[str, str]] = [{"role": m.role, "content": m.content} for m in messages]
    values = {"messages": turns, "tools": None, "documents": None, "add_generation_prompt": prompted}
    return template.generate(**{**special_tokens, **values})
