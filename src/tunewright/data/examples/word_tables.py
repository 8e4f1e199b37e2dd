"""Tables of one word a row: the words of a sentence become one row."""

import shlex
from collections.abc import Iterator, Sequence

from tunewright.data.examples.formats import Format, column_list
from tunewright.data.files.column_names import SPELLINGS_OF, normal
from tunewright.data.files.readers import RawRow
from tunewright.errors import DataError, Problem

_MOST = 0.9
_HALF = 0.5  # where a column identifies the sentence, words that contain blanks do not make sentences of words
# Columns of what contains sentences, whose numbers may begin anew in each.
_DOCUMENTS = ("document_id", "doc_id", "docid", "document", "doc", "article_id", "file", "file_name", "filename")


def sentence_column(rows: Sequence[RawRow], fmt: Format) -> str | None:
    """The column that identifies the sentence, if each row is one word; None if rows are sentences.

    Raises: DataError E246 if each row is a word and no column names the sentence.
    """
    words, tags = fmt.columns.get("words"), fmt.columns.get("tags")
    if not words or not rows:
        return None
    cells = [(row.value.get(words), row.value.get(tags or "")) for row in rows]
    single = sum(all(isinstance(cell, str | int) and len(str(cell).split()) < 2 for cell in pair) for pair in cells)
    column = fmt.columns.get("sentence") or _first_of(SPELLINGS_OF["token_cls"]["sentence"].split(), fmt)
    if single < (_HALF if column else _MOST) * len(cells) or len(cells) < 2:
        return None
    if column:
        return column
    values = {"columns": column_list([*fmt.columns.values(), *fmt.unused])}
    raise DataError([Problem("E246", values=values | ({"column": shlex.quote(fmt.unused[0])} if fmt.unused else {}))])


def _first_of(names: Sequence[str], fmt: Format) -> str | None:
    """The first unused column with one of these names."""
    known = {normal(column): column for column in reversed(fmt.unused)}
    return next((known[name] for name in names if name in known), None)


def grouped(rows: Iterator[RawRow | Problem], fmt: Format, column: str) -> Iterator[RawRow | Problem]:
    """A row for each run of rows of one sentence of one document; an empty cell belongs to the sentence above.

    Damaged rows stay rows.
    """
    words, tags = fmt.columns["words"], fmt.columns["tags"]
    names = [name for name in (_first_of(_DOCUMENTS, fmt), column) if name]
    sentence: list[RawRow] = []
    current: dict[str, object] = {}
    for row in rows:
        if isinstance(row, Problem):
            yield row
            continue
        own = {name: value for name in names if (value := row.value.get(name)) not in (None, "")}
        if sentence and own.items() - current.items():
            yield _joined(sentence, words, tags)
            sentence = []
        current |= own
        sentence.append(row)
    if sentence:
        yield _joined(sentence, words, tags)


def _joined(rows: Sequence[RawRow], words: str, tags: str) -> RawRow:
    first = rows[0]
    value = {words: [row.value.get(words) for row in rows], tags: [row.value.get(tags) for row in rows]}
    return RawRow(first.number, first.file, first.line, value)
