"""Tables of one word a row: the words of a sentence become one row."""

import shlex
from collections.abc import Iterator, Sequence

from tunewright.data.examples.formats import Format, column_list
from tunewright.data.files.column_names import SPELLINGS_OF, normal
from tunewright.data.files.readers import RawRow
from tunewright.errors import DataError, Problem

_MOST = 0.9


def sentence_column(rows: Sequence[RawRow], fmt: Format) -> str | None:
    """The column that identifies the sentence, if each row is one word; None if rows are sentences.

    Raises: DataError E246 if each row is a word and no column names the sentence.
    """
    words, tags = fmt.columns.get("words"), fmt.columns.get("tags")
    if not words or not rows:
        return None
    cells = [(row.value.get(words), row.value.get(tags or "")) for row in rows]
    single = sum(all(isinstance(cell, str | int) and len(str(cell).split()) < 2 for cell in pair) for pair in cells)
    if single < _MOST * len(cells) or len(cells) < 2:
        return None
    if column := fmt.columns.get("sentence"):
        return column
    known = {normal(column): column for column in reversed(fmt.unused)}
    spellings = SPELLINGS_OF["token_cls"]["sentence"].split()
    if column := next((known[name] for name in spellings if name in known), None):
        return column
    values = {"columns": column_list([*fmt.columns.values(), *fmt.unused])}
    raise DataError([Problem("E246", values=values | ({"column": shlex.quote(fmt.unused[0])} if fmt.unused else {}))])


def grouped(rows: Iterator[RawRow | Problem], fmt: Format, column: str) -> Iterator[RawRow | Problem]:
    """A row for each run of rows of one sentence; an empty cell belongs to the sentence above. Damaged rows stay rows."""
    words, tags = fmt.columns["words"], fmt.columns["tags"]
    sentence: list[RawRow] = []
    current = None
    for row in rows:
        if isinstance(row, Problem):
            yield row
            continue
        name = row.value.get(column)
        if sentence and name not in (None, "", current):
            yield _joined(sentence, words, tags)
            sentence = []
        current = name if name not in (None, "") else current
        sentence.append(row)
    if sentence:
        yield _joined(sentence, words, tags)


def _joined(rows: Sequence[RawRow], words: str, tags: str) -> RawRow:
    first = rows[0]
    value = {words: [row.value.get(words) for row in rows], tags: [row.value.get(tags) for row in rows]}
    return RawRow(first.number, first.file, first.line, value)
