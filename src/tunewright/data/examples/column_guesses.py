"""What columns of unknown names most likely are, by their content: for messages with a fix that can be pasted."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunewright.config.tasks import Task
from tunewright.data.examples.conversation_forms import has_no_speakers, holds_turns
from tunewright.data.examples.row_cells import cell, unpacked
from tunewright.data.files.column_names import CLASSES, SPELLINGS_OF, normal
from tunewright.data.files.row import Row

SampleRow = Row
LONGEST_CLASS = 40  # characters, on average; longer ones are answers
MOST_DISTINCT = 0.9  # of the rows; a class that hardly ever comes again is none
FEW_ROWS = 10
LONGEST_NAME = 3  # words of a column's name
_NUMERAL = re.compile(r"\s*[+-]?[0-9][0-9.,:/ -]*+\s*")
_SENTENCE_END = re.compile(r"[.!?…。！？]['\")”]?\s*$")
# Names of columns that hold neither what is asked nor what is answered.
_NO_TEXT = re.compile(
    r"(?:.*_)?(?:id|ids|uuid|guid|url|hash|idx|index|date|time|timestamp|lang|language|split|version)"
)
_ASKED = ("prompt", "question", "query", "instruction", "problem", "指令", "问题")
_CONTEXTS = ("context", "passage", "background", "document", "article", "title", "subject", "category", "上下文")
TABLES = (".csv", ".tsv", ".txt")


def are_classes(values: Sequence[Any]) -> bool:
    """Whether these could be labels: numbers, lists, or texts that are short and repeat."""
    texts = [value for value in values if isinstance(value, str)]
    if 2 * len(texts) <= len(values):
        return bool(values)
    if sum(map(len, texts)) > LONGEST_CLASS * len(texts):
        return False
    return len(texts) < FEW_ROWS or len(set(texts)) <= MOST_DISTINCT * len(texts)


def flags_for(columns: Sequence[str], sample: Sequence[SampleRow], task: Task) -> str:
    """The flags that would say what the columns are: --map for each role, --task where the rows are for another one."""
    if task == "token_cls":
        return _mapped(**dict(zip(("words", "tags"), _of_one_length(columns, sample), strict=False))) or _blank(
            "words", "tags"
        )
    columns = [column for column in columns if not _NO_TEXT.fullmatch(normal(column))] or columns
    inner = [f"{outer}.{key}" for outer in columns for key in _keys_in(outer, sample)]
    turns = next((column for column in (*columns, *inner) if _are_turns(column, sample)), None)
    if turns and task != "seq_cls":
        return _mapped(messages=turns)
    texts = [column for column in columns if _are_texts(column, sample)]
    label = _class_column(columns, texts, sample)
    if task == "seq_cls" and label is None and len(texts) > 1:
        label = min(texts, key=lambda column: _length(column, sample))
    other_texts = sorted((column for column in texts if column != label), key=lambda column: -_length(column, sample))
    if task == "seq_cls" or (label and other_texts):
        task_flag = "" if task == "seq_cls" else "--task seq_cls "
        return (
            task_flag + _mapped(text=other_texts[0], label=label) if label and other_texts else _blank("text", "label")
        )
    if prompt := next((column for column in columns if normal(column) in _ASKED), None):
        return _answered(prompt, columns, other_texts, sample)
    if len(other_texts) > 1:
        first, second = sorted(other_texts[:2], key=list(columns).index)
        return _mapped(prompt=first, completion=second)
    return _mapped(text=other_texts[0]) if other_texts and task == "causal_lm" else _blank("prompt", "completion")


def _answered(prompt: str, columns: Sequence[str], texts: Sequence[str], sample: Sequence[SampleRow]) -> str:
    """The map where a column of questions is known: the answer is not its context, and is a text rather than a list."""
    free = [column for column in columns if column != prompt and normal(column) not in _CONTEXTS]
    answers = [column for column in texts if column in free]
    lists = [column for column in free if any(isinstance(value, list | dict) for value in _values(column, sample))]
    if answer := next(iter([*answers, *lists]), None):
        return _mapped(prompt=prompt, completion=answer)
    return _blank("prompt", "completion")


def _keys_in(column: str, sample: Sequence[SampleRow]) -> list[str]:
    holders = [value for value in _values(column, sample) if isinstance(value, dict)]
    return list(dict.fromkeys(key for holder in holders for key in holder))


def looks_like_a_row(columns: Sequence[str], sample: Sequence[SampleRow]) -> bool:
    """Whether names of columns are cells of a first row: numbers, sentences, or values that appear again below."""
    if len(columns) > 1 and any(str(row.get(name)).strip() == name for name in columns for row in sample):
        return True
    most = LONGEST_NAME if len(columns) > 1 else 1
    return any(
        _NUMERAL.fullmatch(name)
        or len(name) > LONGEST_CLASS
        or len(name.split()) > most
        or (len(name.split()) > 2 and _SENTENCE_END.search(name))
        for name in columns
    )


def numbered(columns: Sequence[str], sample: Sequence[SampleRow]) -> tuple[list[str], list[SampleRow]]:
    """The same table without a header: names by number, and the first line as a row."""
    names = [f"column_{index}" for index in range(1, len(columns) + 1)]
    first = dict(zip(names, columns, strict=True))
    return names, [first, *({new: row.get(old) for new, old in zip(names, columns, strict=True)} for row in sample)]


def as_conll(file: str) -> str:
    """The command that gives a file of words and tags a name that says so."""
    return shlex.join(["cp", file, str(Path(file).with_suffix(".conll"))])


def _mapped(**roles: str) -> str:
    return " ".join(f"--map {shlex.quote(f'{role}={column}')}" for role, column in roles.items())


def _blank(*roles: str) -> str:
    return " ".join(f"--map {role}=COLUMN" for role in roles)


def _values(column: str, sample: Sequence[SampleRow]) -> list[Any]:
    return [value for row in sample if (value := cell(row, column)) not in (None, "")]


def _are_turns(column: str, sample: Sequence[SampleRow]) -> bool:
    values = [unpacked(value) for value in _values(column, sample)]
    return bool(values) and 2 * sum(holds_turns(v) and not has_no_speakers(v) for v in values) > len(values)


def _are_texts(column: str, sample: Sequence[SampleRow]) -> bool:
    values = _values(column, sample)
    return bool(values) and 2 * sum(isinstance(v, str) and not _NUMERAL.fullmatch(v) for v in values) > len(values)


def _length(column: str, sample: Sequence[SampleRow]) -> float:
    values = _values(column, sample)
    return sum(len(str(value)) for value in values) / max(1, len(values))


def _class_column(columns: Sequence[str], texts: Sequence[str], sample: Sequence[SampleRow]) -> str | None:
    """The column of classes: by its name, or else the shortest of those whose values are few."""
    known = [*SPELLINGS_OF["seq_cls"]["label"].split(), *CLASSES]
    for column in columns:
        if normal(column) in known and are_classes(_values(column, sample)):
            return column
    few = [column for column in columns if _are_few(column, sample) and any(text != column for text in texts)]
    return min(few, key=lambda column: _length(column, sample), default=None)


def _are_few(column: str, sample: Sequence[SampleRow]) -> bool:
    values = list(map(str, _values(column, sample)))
    return (
        len(values) >= 4
        and 1 < len(set(values)) <= len(values) / 2
        and sum(map(len, values)) <= LONGEST_CLASS * len(values)
    )


def _of_one_length(columns: Sequence[str], sample: Sequence[SampleRow]) -> list[str]:
    """Two columns of lists that have one length in each row, the first of texts."""
    lists = [
        column for column in columns if any(isinstance(unpacked(value), list) for value in _values(column, sample))
    ]
    for first in lists:
        for second in lists:
            if first != second and all(_size(row, first) == _size(row, second) for row in sample[:20]):
                return [first, second]
    return []


def _size(row: SampleRow, column: str) -> int:
    value = unpacked(row.get(column))
    return len(value) if isinstance(value, list) else -1
