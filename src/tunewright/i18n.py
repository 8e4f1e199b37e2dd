"""Language of everything a person reads: gettext, English keys, Chinese catalogue.

Codes, keys, paths and commands are never translated; JSON output and log files stay English.
"""

import gettext
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

LOCALE_DIR = Path(__file__).parent / "locale"
_chosen: ContextVar[str | None] = ContextVar("language", default=None)


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Everything inside is said in this language, whatever the environment asks for."""
    token = _chosen.set(lang)
    try:
        yield
    finally:
        _chosen.reset(token)


def language() -> str:
    """Language of this process: TUNEWRIGHT_LANG, else LC_ALL, LC_MESSAGES, LANG; anything but Chinese is English."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    for name in ("TUNEWRIGHT_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


@cache
def catalogue(lang: str) -> gettext.NullTranslations:
    """Translations of one language; English is the key itself."""
    if lang == "en":
        return gettext.NullTranslations()
    return gettext.translation("tunewright", LOCALE_DIR, languages=[lang], fallback=True)


def _(text: str) -> str:
    """Translate into this process's language."""
    return catalogue(language()).gettext(text) if text else text


def ngettext(one: str, many: str, count: int) -> str:
    """Translate a sentence that depends on a count."""
    return catalogue(language()).ngettext(one, many, count)


def N_(text: str) -> str:
    """Mark a text for translation where it is defined; whoever shows it calls `_`."""
    return text


def width(text: str) -> int:
    """Columns a text takes in a terminal: wide East Asian characters count two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
