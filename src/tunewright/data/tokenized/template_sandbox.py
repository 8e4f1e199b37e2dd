"""A stranger's chat template is tried before it is used, in a process with limits.

jinja2's sandbox keeps a template from everything but the rows; it does not keep it from going on for ever.
"""

import json
import signal
import sys
import traceback
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import FrameType

import jinja2
from jinja2.exceptions import SecurityError

from tunewright.data.examples.formats import Message
from tunewright.data.tokenized.chat_template import Tools, compile_template, parts
from tunewright.security.processes import limit_this_process, tried

SECONDS, MEGABYTES = 5, 256
MAX_SOURCE = 200_000
MAX_WRITTEN = 1_000_000
_ASKED, _ANSWERED = Message("user", "How are you?"), Message("assistant", "Well.")
_CALL = {"type": "function", "function": {"name": "look_up", "arguments": {"word": "well"}}}
_TOOL = {"type": "function", "function": {"name": "look_up", "description": "Look a word up.", "parameters": {}}}
_CALLING = (_ASKED, Message("assistant", "", "Hm.", (_CALL,)), Message("tool", "Fine."), _ANSWERED)
SAMPLES: tuple[tuple[tuple[Message, ...], Tools, bool], ...] = (
    ((_ASKED, _ANSWERED), (), False),
    ((Message("system", "Be kind."), _ASKED, _ANSWERED, _ASKED, _ANSWERED), (), False),
    (_CALLING, (_TOOL,), False),
    ((_ASKED,), (), True),
)
_TEMPLATE = "<template>"  # the file's name in jinja2's tracebacks


def fault_of(source: str, special_tokens: Mapping[str, str]) -> tuple[str, int]:
    """Why a template cannot be used, in one phrase, and its line (0: not known); an empty phrase if it can.

    A template that refuses the sample rows can: it will refuse rows one by one, each with its place.
    """
    return _check(source, tuple(sorted(special_tokens.items())))


@lru_cache(maxsize=32)
def _check(source: str, special_tokens: tuple[tuple[str, str], ...]) -> tuple[str, int]:
    if len(source) > MAX_SOURCE:
        return f"it is longer than {MAX_SOURCE} characters", 0
    request = {"source": source, "special_tokens": dict(special_tokens), "seconds": SECONDS}
    answer = tried("tunewright.data.tokenized.template_sandbox", request)
    if answer is None:
        return f"it takes more than {SECONDS} seconds or {MEGABYTES} MB for a short conversation", 0
    return str(answer["reason"]), int(answer["line"])


class _OutOfTimeError(Exception):
    """The signal that comes before the kill, so that the line can be named."""


def _on_limit(number: int, frame: FrameType | None) -> None:
    raise _OutOfTimeError("it takes too long for a short conversation")


def _attempt(source: str, special_tokens: Mapping[str, str]) -> tuple[str, int]:
    try:
        template = compile_template(source)
        for messages, tools, add_generation_prompt in SAMPLES:
            _write(parts(template, messages, special_tokens, add_generation_prompt, tools))
    except jinja2.TemplateSyntaxError as fault:
        return fault.message or "it is not a template", fault.lineno
    except SecurityError as fault:
        return f"it reaches for what a template must not have: {fault}", _line(fault)
    except MemoryError as fault:
        return f"it takes more than {MEGABYTES} MB for a short conversation", _line(fault)
    except (_OutOfTimeError, OverflowError, RecursionError) as fault:
        return str(fault), _line(fault)
    return "", 0


def _write(text: Iterable[str]) -> None:
    length = 0
    try:
        for part in text:
            length += len(part)
            if length > MAX_WRITTEN:
                raise OverflowError(f"it writes more than {MAX_WRITTEN} characters for a short conversation")
    except SecurityError:
        raise
    except (jinja2.TemplateError, AttributeError, LookupError, TypeError, ValueError, ZeroDivisionError):
        return  # a row that it does not take; such rows are reported with their places


def _line(fault: BaseException) -> int:
    lines = [frame.lineno for frame in traceback.extract_tb(fault.__traceback__) if frame.filename == _TEMPLATE]
    return (lines or [0])[0] or 0


if __name__ == "__main__":
    request = json.load(sys.stdin)
    signal.signal(signal.SIGXCPU, _on_limit)
    limit_this_process(request["seconds"], MEGABYTES)
    reason, line = _attempt(request["source"], request["special_tokens"])
    json.dump({"reason": reason, "line": line}, sys.stdout)
