"""Foreign text for people's eyes: shown, not obeyed, and without the user's keys."""

import json
import os
import re
import shlex
import unicodedata
from typing import Any

_OF_SHELLS = re.compile(r'["$`\\!]')
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")


def printable(text: str) -> str:
    """Foreign text for a terminal: control characters, and what ends lines elsewhere, shown, not obeyed."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(repr(char)[1:-1] if char not in "\n\t" and is_control(char) else char for char in text)


def is_control(char: str) -> bool:
    """Whether a terminal or an editor may obey the character, or show nothing of it."""
    category = unicodedata.category(char)
    return category.startswith("C") or category in ("Zl", "Zp")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value as strict JSON for a terminal: the same value, with what a terminal obeys, and half characters, escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    if text.isprintable():
        return text
    return "".join(json.dumps(char)[1:-1] if char != "\n" and is_control(char) else char for char in text)


def python_line(*statements: str) -> str:
    """Statements as a command for a shell, quoted as plainly as their characters allow."""
    code = "; ".join(statements)
    return f"python -c {shlex.quote(code) if _OF_SHELLS.search(code) else f'{chr(34)}{code}{chr(34)}'}"


def redact(text: str) -> str:
    """The text without Hub tokens, those of the environment and what looks like one."""
    for name in SECRETS:
        if value := os.environ.get(name):
            text = text.replace(value, "***")
    return _TOKEN.sub("hf_***", text)
