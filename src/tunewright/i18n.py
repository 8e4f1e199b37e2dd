"""Language of everything a person reads: gettext, English keys, Chinese catalogue.

Codes, keys, paths and commands are never translated; JSON output and log files stay English.
"""

import gettext
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

LOCALE_DIR = Path(__file__).parent / "locale"
_ENDS = {ord(end): repr(end)[1:-1] for end in "\n\r\t\v\f\x1c\x1d\x1e\x85\u2028\u2029"}
_chosen: ContextVar[str | None] = ContextVar("language", default=None)


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Everything inside uses this language, whatever the environment sets."""
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
def translations(lang: str) -> gettext.NullTranslations:
    """Translations of one language; English is the key itself."""
    if lang == "en":
        return gettext.NullTranslations()
    return gettext.translation("tunewright", LOCALE_DIR, languages=[lang], fallback=True)


def _(text: str) -> str:
    """Translate into this process's language."""
    return translations(language()).gettext(text) if text else text


def ngettext(singular: str, plural: str, count: int) -> str:
    """Translate a sentence that depends on a count."""
    return translations(language()).ngettext(singular, plural, count)


class Phrase(str):
    """A text of the catalogue with the values that fill it: as a string English, `spoken` in the reader's language.

    A plain string among the values of a message is what a person or a library wrote, and is never translated.
    """

    template: str
    many: str
    values: Mapping[str, object]

    def __new__(cls, template: str, many: str = "", /, **values: Any) -> "Phrase":
        """`many` is the template for any `count` but one."""
        text = many if many and values["count"] != 1 else template
        phrase = super().__new__(cls, text.format_map(values) if values else text)
        phrase.template, phrase.many, phrase.values = str(template), many, values
        return phrase

    def spoken(self) -> str:
        """The text in this process's language, phrases among its values too."""
        if self.many:
            count = self.values["count"]
            assert isinstance(count, int)
            text = ngettext(self.template, self.many, count)
        else:
            text = _(self.template)
        return text.format_map(spoken(self.values)) if self.values else text

    def to_record(self) -> dict[str, object]:
        """The phrase as JSON holds it; `from_record` reads it back."""
        return {"template": self.template, "many": self.many, **stored(self.values)}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "Phrase":
        return Phrase(record["template"], record["many"], **restored(record))


def stored(values: Mapping[str, object]) -> dict[str, object]:
    """Values of a message as JSON holds them: English, and beside them what makes each phrase, for other languages."""
    phrases = {name: value.to_record() for name, value in values.items() if isinstance(value, Phrase)}
    return {"values": dict(values), "phrases": phrases} if phrases else {"values": dict(values)}


def restored(record: Mapping[str, Any]) -> dict[str, object]:
    """The values that `stored` wrote."""
    phrases = {name: Phrase.from_record(phrase) for name, phrase in record.get("phrases", {}).items()}
    return {**record["values"], **phrases}


def spoken(values: Mapping[str, object]) -> dict[str, object]:
    """Values of a message in this process's language: phrases are translated, other texts stay on their line."""
    return {name: _spoken(value) for name, value in values.items()}


def _spoken(value: Any) -> Any:
    if isinstance(value, Phrase):
        return value.spoken()
    return one_line(value) if isinstance(value, str) else value


def one_line(text: str) -> str:
    """A text with the ends of its lines, and tabs, written as in a string of Python."""
    return text if text.isprintable() else text.translate(_ENDS)


def counted(singular: str, plural: str, count: int) -> Phrase:
    """A number of things, for a sentence: "1 row", "2 rows"."""
    return Phrase(singular, plural, count=count)


def N_(text: str) -> Phrase:
    """Mark a text for translation where it is defined; whoever shows it calls `_`, or `spoken` among values."""
    return Phrase(text)


def gib(num_bytes: float) -> str:
    """Bytes as a text: 5.3 GiB."""
    return f"{num_bytes / 2**30:.1f} GiB"


def width(text: str) -> int:
    """Columns a text takes in a terminal: wide East Asian characters count two, combining marks none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # 11 ms, which an English `--help` does without

    return cell_len(text)
