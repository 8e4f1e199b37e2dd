"""Foreign text in a page or a notebook: shown, not obeyed."""

import html
from collections.abc import Iterable, Sequence

from tunewright.trust.text import printable


def html_table(title: str, rows: Iterable[Sequence[str]]) -> str:
    """A title and rows of cells, the first of each its head; everything escaped, nothing styled."""
    lines = (
        f"<tr><th>{_safe(head)}</th>{''.join(f'<td>{_safe(cell)}</td>' for cell in cells)}</tr>"
        for head, *cells in rows
    )
    return f"<table><caption>{_safe(title)}</caption>{''.join(lines)}</table>"


def _safe(text: str) -> str:
    return html.escape(printable(text))
