"""Rows that ask without an answer: prompts for a trained model, read as training rows are read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunewright.data.formats import Message, sniff, to_examples
from tunewright.data.read import RawRow, read_rows
from tunewright.errors import Problem, error, errors_of
from tunewright.spec.run import DataSpec

PENDING = "..."  # stands where the answer will be, so that the rules for training rows hold for prompts too
ROWS_LOOKED_AT = 50


@dataclass(frozen=True)
class Prompt:
    """A row of the file and the conversation it asks to be continued."""

    row: dict[str, Any]
    turns: tuple[Message, ...]


def read_prompts(path: str, mapping: Mapping[str, str] | None = None) -> tuple[list[Prompt], list[Problem]]:
    """Prompts of a file of conversations, of rows with a prompt (answers beside it are ignored), or of lines of text.

    Raises: DataError E201, E202, E210, E211, E212, E217, E220; problems of single rows are returned.
    """
    raw = read_rows(path)
    found = _lines(raw.rows) if Path(path).suffix.lower() == ".txt" else raw.rows
    if not found:
        raise errors_of(raw.problems) if raw.problems else error("E210", path=path)
    completed = [replace(row, value=_with_answer(row.value)) for row in found]
    examples, problems = to_examples(completed, sniff(completed, mapping))
    rows = {row.number: row.value for row in found}
    return [Prompt(rows[e.number], e.messages[:-1]) for e in examples], raw.problems + problems


def _lines(rows: Sequence[RawRow]) -> list[RawRow]:
    """Each line of a text as a prompt of its own."""
    lines = [
        (row, offset, text)
        for row in rows
        for offset, text in enumerate(row.value["text"].splitlines())
        if text.strip()
    ]
    return [RawRow(n, row.file, row.line + offset, {"prompt": text}) for n, (row, offset, text) in enumerate(lines, 1)]


def _with_answer(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as it would be with an answer: a conversation that ends with the user gets a last turn."""
    turns = {column: _as_turns(cell) for column, cell in row.items()}
    conversations = {column: found for column, found in turns.items() if found}
    if not conversations:
        return {**row, "completion": PENDING}
    return {**row, **{column: _ended(found) for column, found in conversations.items()}}


def _as_turns(cell: Any) -> list[Any] | None:
    """The cell as turns, also where JSON text holds them; None if it is something else."""
    if isinstance(cell, str) and cell.lstrip().startswith("[{"):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return None
    is_turns = isinstance(cell, list) and cell and all(isinstance(turn, dict) for turn in cell)
    return list(cell) if is_turns and ("role" in cell[0] or "from" in cell[0]) else None


def _ended(turns: Sequence[Mapping[str, Any]]) -> list[Any]:
    last = turns[-1].get("role", turns[-1].get("from"))
    is_asking = str(last).strip().casefold() in ("user", "human", "用户", "tool")
    return [*turns, {"role": "assistant", "content": PENDING}] if is_asking else list(turns)


def common_system(spec: DataSpec) -> str | None:
    """The system message that the training rows begin with; None if they have none, or not all the same."""
    if spec.system:
        return spec.system
    rows: list[RawRow] = read_rows(spec.train, hub_split=spec.split, limit=ROWS_LOOKED_AT).rows
    if not rows:
        return None
    examples, _problems = to_examples(rows, sniff(rows, spec.map))
    first = {e.messages[0].content if e.messages and e.messages[0].role == "system" else None for e in examples}
    return first.pop() if len(first) == 1 else None
