"""Control characters in texts: which are white space, which do not belong in a text, and how they are removed."""

import re
from typing import Any

# Tab, line feed, carriage return, vertical tab, form feed and next line are white space and stay.
CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
# What a terminal obeys: colours and cursor (CSI), titles (OSC), and two-letter orders.
_TERMINAL = re.compile("(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|\x1b[@-Z\\\\-_]")


def cleaned(value: Any) -> Any:
    """The value with control characters removed from all its texts; those that are marks of cp1252 become what they mean."""
    if isinstance(value, str):
        return CONTROL.sub(_meaning, _TERMINAL.sub("", value)) if CONTROL.search(value) else value
    if isinstance(value, dict):
        return {cleaned(key): cleaned(item) for key, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list) else value


def _meaning(match: re.Match[str]) -> str:
    """U+0092 is an apostrophe of Windows that was read as Latin-1."""
    code = ord(match[0])
    return bytes([code]).decode("cp1252", "ignore") if 0x80 <= code <= 0x9F else ""
