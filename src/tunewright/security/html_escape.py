"""Foreign text in a page or a notebook: shown, not obeyed."""

import html
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from tunewright.security.printable_text import printable

_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def html_table(title: str, rows: Iterable[Sequence[str]]) -> str:
    """A title and rows of cells, the first of each its head; everything escaped, nothing styled."""
    lines = (
        f"<tr><th>{_safe(head)}</th>{''.join(f'<td>{_safe(cell)}</td>' for cell in cells)}</tr>"
        for head, *cells in rows
    )
    return f"<table><caption>{_safe(title)}</caption>{''.join(lines)}</table>"


def in_page(value: Any) -> Any:
    """What a template writes: of plain texts the controls and marks that turn the direction of writing are shown.

    Marks inside of letters and emoji stay, which a page, other than a terminal, renders correctly.
    """
    if type(value) is not str or value.isprintable():
        return value
    return "".join(repr(char)[1:-1] if _turns(char) else char for char in value)


def _turns(char: str) -> bool:
    return (unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t\r") or char in _DIRECTIONS


def _safe(text: str) -> str:
    return html.escape(printable(text))
