"""Rows that ask without an answer: prompts, texts or words for a trained model, read as training rows are read."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunewright.config.run_config import DataConfig
from tunewright.config.tasks import Task
from tunewright.data.examples.conversation_forms import SPEAKER_KEYS, SPEAKERS, holds_turns, turns_of
from tunewright.data.examples.convert import to_examples
from tunewright.data.examples.formats import Example, Message, sniff
from tunewright.data.examples.label_kind import LabelKind
from tunewright.data.examples.label_names import read_words
from tunewright.data.examples.row_cells import RowReport
from tunewright.data.files.column_names import normal
from tunewright.data.files.readers import RawRow, Reading, read_rows
from tunewright.data.files.row import Row
from tunewright.data.files.split_files import TEXTS
from tunewright.data.train_eval_split import RowSource, for_each, train_sources
from tunewright.data.word_text import split_words
from tunewright.errors import Problem, TunewrightError, error, errors_of

PENDING = "..."  # in the place of the answer, so that the rules for training rows hold for prompts too
ROWS_LOOKED_AT = 50
_ANY_NAME = LabelKind("single_label_classification")


@dataclass(frozen=True)
class Prompt:
    """A row of the file and what it asks: a conversation to be continued, a text or two to be labelled, or words."""

    row: dict[str, object]
    turns: tuple[Message, ...] = ()
    text: str = ""
    pair: str = ""
    words: tuple[str, ...] = ()
    tools: tuple[Mapping[str, object], ...] = ()


def read_prompts(
    path: str, mapping: Mapping[str, str] | None = None, task: Task = "causal_lm"
) -> tuple[list[Prompt], list[Problem]]:
    """What the rows of a file ask; answers, labels and tags beside it are ignored. A text file asks line by line.

    Raises: DataError E201, E202, E210, E211, E212, E217, E220, E229; problems of single rows are returned.
    """
    raw = read_rows(path, Reading(sample_by="line"))
    is_text = Path(path).suffix.lower() in TEXTS
    turns = [replace(row, value=_line_value(row.value, task)) if is_text else row for row in raw.rows]
    if not turns:
        raise errors_of(raw.problems) if raw.problems else error("E210", path=path)
    asking = {role: column for role, column in (mapping or {}).items() if role not in ("label", "tags")}
    examples, problems = _COMPLETED[task](turns, asking, task)
    rows = {row.number: row.value for row in turns}
    return [_prompt(rows[example.number], example) for example in examples], raw.problems + problems


def _prompt(row: dict[str, object], example: Example) -> Prompt:
    return Prompt(row, example.messages[:-1], example.text, example.pair, example.words, example.tools)


def _line_value(row: dict[str, object], task: Task) -> dict[str, object]:
    """A line of text as the task reads it; an object is a row as it is."""
    if row.keys() != {"text"} or not isinstance(row["text"], str):
        return row
    if task == "token_cls":
        return {"tokens": split_words(row["text"])}
    return {"text" if task == "seq_cls" else "prompt": row["text"]}


_Examples = tuple[list[Example], list[Problem]]


def _with_answers(rows: Sequence[RawRow], mapping: Mapping[str, str], task: Task) -> _Examples:
    completed = [replace(row, value=_with_answer(row.value)) for row in rows]
    return to_examples(completed, sniff(completed, mapping, task))


def _with_labels(rows: Sequence[RawRow], mapping: Mapping[str, str], task: Task) -> _Examples:
    completed = [replace(row, value={**row.value, "label": PENDING}) for row in rows]
    return to_examples(completed, sniff(completed, {**mapping, "label": "label"}, task), kind=_ANY_NAME)


def _with_tags(rows: Sequence[RawRow], mapping: Mapping[str, str], task: Task) -> _Examples:
    pending = [replace(row, value={**row.value, "tags": PENDING}) for row in rows]
    fmt = sniff(pending, {**mapping, "tags": "tags"}, task)
    completed = []
    for row in pending:
        num_words = len(read_words(RowReport(row, fmt.columns)))
        completed.append(replace(row, value={**row.value, "tags": [PENDING] * num_words or PENDING}))
    return to_examples(completed, fmt)


_COMPLETED: Mapping[Task, Callable[[Sequence[RawRow], Mapping[str, str], Task], _Examples]] = {
    "causal_lm": _with_answers,
    "seq2seq": _with_answers,
    "seq_cls": _with_labels,
    "token_cls": _with_tags,
}


def _with_answer(row: Row) -> dict[str, object]:
    """The row as it would be with an answer: a conversation that ends with the user gets a last turn."""
    turns = {column: _as_turns(cell) for column, cell in row.items()}
    conversations = {column: turns for column, turns in turns.items() if turns}
    if not conversations:
        return {**row, "completion": PENDING}
    return {**row, **{column: _ended(turns) for column, turns in conversations.items()}}


def _as_turns(cell: Any) -> list[Any] | None:
    """The cell as turns, also where JSON text holds them; None if it is something else."""
    if isinstance(cell, str) and cell.lstrip().startswith("[{"):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return None
    is_turns = isinstance(cell, list) and cell and all(isinstance(turn, dict) for turn in cell) and holds_turns(cell)
    return list(turns_of(cell)) if is_turns else None


def _ended(turns: Sequence[Row]) -> list[Any]:
    last = next((value for key, value in turns[-1].items() if str(key).casefold() in SPEAKER_KEYS), "")
    is_answered = SPEAKERS.get(normal(str(last))) == "assistant"
    return list(turns) if is_answered else [*turns, {"role": "assistant", "content": PENDING}]


def common_system(config: DataConfig, task: Task = "causal_lm") -> str | None:
    """The system message that the training rows begin with; None if they have none, or not all the same."""
    if config.system or task in ("seq_cls", "token_cls"):
        return config.system
    first = set().union(*for_each(train_sources(config), lambda source: _first_system(source, task)))
    return first.pop() if len(first) == 1 else None


def _first_system(source: RowSource, task: Task) -> set[str | None]:
    """The system messages of the first rows of a source; None for rows without one."""
    rows: list[RawRow] = read_rows(source.path, source.reading, limit=ROWS_LOOKED_AT).rows
    examples = to_examples(rows, sniff(rows, source.map, task))[0] if rows else []
    return {e.messages[0].content if e.messages and e.messages[0].role == "system" else None for e in examples}


def shared_system(config: DataConfig, task: Task) -> str:
    """The system message that the training rows begin with, as `common_system`; the config's where the rows are gone. Or empty."""
    try:
        return common_system(config, task) or ""
    except TunewrightError:
        return config.system or ""
