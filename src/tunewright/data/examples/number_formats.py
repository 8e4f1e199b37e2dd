"""Numbers as tables and countries write them: 1.5, 1,5, 1.234,5, 1,234.5, 1 234,5, 50%, $5."""

import math
import re
from collections.abc import Sequence
from typing import Literal

# How digits are grouped: "plain" has a decimal point at most; "comma" a decimal comma; "grouped" commas between thousands.
NumberStyle = Literal["plain", "comma", "grouped"]

PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CURRENCIES = ("$", "€", "£", "¥", "￥", "₹", "₽", "₩")
_UNITS = ("%", "％", "元", *_CURRENCIES)
_SIGNS = ("+", "-")
_COMMA = re.compile(r"[+-]?(?:[0-9]{1,3}(?:[. ’'_][0-9]{3})+|[0-9]+)(?:,[0-9]+)?")
_GROUPED = re.compile(r"[+-]?(?:[0-9]{1,3}(?:[, ’'_][0-9]{3})+|[0-9]+)(?:\.[0-9]+)?")
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-"})


def style_of(texts: Sequence[str]) -> NumberStyle | None:
    """How most of these texts write numbers; None if they do not. Commas before three digits, and no others, separate thousands."""
    bare = [_bare(text) for text in texts]
    patterns: tuple[tuple[NumberStyle, re.Pattern[str]], ...] = (
        ("plain", PLAIN),
        ("grouped", _GROUPED),
        ("comma", _COMMA),
    )
    matching = {style: sum(bool(pattern.fullmatch(text)) for text in bare) for style, pattern in patterns}
    best = max(matching, key=lambda style: matching[style])
    return best if 2 * matching[best] > len(texts) else None


def number_of(text: str, style: NumberStyle) -> float | None:
    """The number that a text writes in this style, a percentage as its number of hundredths; None if it writes none."""
    bare = _bare(text)
    if PLAIN.fullmatch(bare):
        return (
            _float(bare)
            if style != "comma" or not re.fullmatch(r"[+-]?[0-9]{1,3}(?:\.[0-9]{3})+", bare)
            else _float(bare.replace(".", ""))
        )
    pattern = _COMMA if style == "comma" else _GROUPED
    if not pattern.fullmatch(bare):
        return None
    marks = ". ’'_" if style == "comma" else ", ’'_"
    return _float(bare.translate(str.maketrans("", "", marks)).replace(",", "."))


def number_text(value: float) -> str:
    """The shortest plain text that reads back to the same number: 3, 123456, 0.1."""
    return repr(value).removesuffix(".0")


def has_unit(text: str) -> bool:
    """Whether a text has the sign of a currency in front of it, or that or a percent sign behind it."""
    bare = text.strip().translate(_SPACES)
    return bare.removeprefix("-").removeprefix("+").startswith(_CURRENCIES) or bare.endswith(_UNITS)


def _bare(text: str) -> str:
    """The number alone, without one unit in front of it or behind it."""
    bare = text.strip().translate(_SPACES)
    sign = bare[:1] if bare.startswith(_SIGNS) else ""
    digits = bare.removeprefix(sign)
    if digits.startswith(_CURRENCIES):
        return sign + digits[1:].lstrip()
    return bare[:-1].rstrip() if bare.endswith(_UNITS) else bare


def _float(text: str) -> float:
    """The number; one that is too large to hold is infinite."""
    try:
        return float(text)
    except OverflowError:
        return math.inf
