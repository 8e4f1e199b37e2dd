"""Rows with several answers, of which a number, a name or their order says which is better: recognised and refused as plain
examples. Two columns and a choice (PKU-SafeRLHF, Chatbot Arena), or a list (UltraFeedback, Nectar, LLaMA-Factory's older form).
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from tunewright.data.examples.rewrite_commands import rewriting
from tunewright.data.examples.row_cells import unpacked
from tunewright.data.files.column_names import normal
from tunewright.data.files.readers import RawRow
from tunewright.data.files.row import Row
from tunewright.errors import DataError, Problem, Where
from tunewright.i18n import N_

RankedRow = Row

_NUMBERED = re.compile(r"(.+?)_?([0-2ab])")
_SIDES = (("a", "b"), ("0", "1"), ("1", "2"))
_ANSWERS = frozenset(("response", "answer", "completion", "output", "conversation", "messages", "chat", "human_ref", "generation",
                      "model_output", "assistant", "summary", "reply"))  # fmt: skip
_WHOLE = ("conversation", "messages", "chat")
_CHOICES = ("better_response_id", "better", "winner", "preferred", "preference", "overall_preference", "human_preference",
            "choice", "chosen", "label", "labels", "winner_model_a", "safer_response_id", "score_0", "score_1", "score_a",
            "chosen_position", "preferred_response", "best")  # fmt: skip
_TIES = re.compile(r"tie.*|both.*|neither.*|draw|equal|same|none|")
_TEXTS = ("response", "answer", "text", "content", "completion", "output")
_SCORES = ("overall_score", "score", "rating", "reward", "fine_grained_score", "pm_score", "votes", "upvotes")
_RANKS = ("rank", "ranking")


def refuse_rankings(
    rows: Sequence[RawRow], names: Mapping[str, str], mapping: Mapping[str, str], prompt: str | None
) -> None:
    """Raises: DataError E252 for two answers and a choice, E253 for a list of ranked answers, unless `mapping` names them.

    `names` are columns by their names in small letters, `prompt` the column of what is asked.
    """
    sample, file = [row.value for row in rows], rows[0].file
    where = Where(file, rows[0].line)
    by_name = {normal(name): column for name, column in names.items()}
    used = frozenset(mapping.values())
    if (answers := _two_answers(by_name)) and not used & set(answers.values()):
        choice = next((by_name[name] for name in _CHOICES if name in by_name), None)
        if choice and _hold_answers(sample, answers.values()):
            values = {
                "columns": ", ".join(answers.values()),
                "choice": choice,
                **_better_of_two(file, sample, answers, choice, prompt),
            }
            raise DataError([Problem("E252", where, values)])
    for column in dict.fromkeys(column for row in sample for column in row):
        if column not in used and (best := _best(sample, column, prompt)):
            command = rewriting(file, pair(prompt or "", best), "better.jsonl")
            flags = shlex.join(["--map", f"prompt={prompt}", "--map", f"completion={column}"])
            values = {"column": column, "fix": flags, **({"command": command} if command else {})}
            raise DataError([Problem("E253", where, values)])


def pair(prompt: str, answer: str) -> str:
    """A row of prompt and answer as an expression: the column of the prompt, the expression of the answer."""
    return f'{{"prompt": r[{json.dumps(prompt, ensure_ascii=False)}], "completion": {answer}}}'


def _two_answers(by_name: Mapping[str, str]) -> dict[str, str]:
    """The columns of two answers, by the letter or number at their end; none if there are no such two."""
    ends: dict[str, dict[str, str]] = {}
    for name, column in by_name.items():
        if (match := _NUMBERED.fullmatch(name)) and match[1] in _ANSWERS:
            ends.setdefault(match[1], {})[match[2]] = column
    for columns in ends.values():
        for sides in _SIDES:
            if set(sides) <= columns.keys():
                return {side: columns[side] for side in sides}
    return {}


def _hold_answers(sample: Sequence[RankedRow], columns: Any) -> bool:
    return all(any(isinstance(row.get(column), str | list | dict) for row in sample) for column in columns)


def _better_of_two(
    file: str, sample: Sequence[RankedRow], answers: Mapping[str, str], choice: str, prompt: str | None
) -> dict[str, str]:
    """How the better answers are written to a file, where the choice is clear; and how to train on one of the two."""
    first = next(iter(answers.values()))
    is_conversation = normal(first).startswith(_WHOLE)
    role = [f"messages={first}"] if is_conversation else [f"prompt={prompt or 'COLUMN'}", f"completion={first}"]
    values = {"fix": " ".join(f"--map {shlex.quote(part)}" for part in role)}
    choices = {str(row.get(choice)).strip().lower() for row in sample if row.get(choice) is not None}
    heads = [word.removesuffix(side) for word in sorted(choices) for side in answers if _names(word, side)]
    better = {head + side: column for head in heads for side, column in answers.items()}
    if all(word in better or _TIES.fullmatch(word) for word in choices) and better and (is_conversation or prompt):
        word = f"str(r[{json.dumps(choice, ensure_ascii=False)}]).strip().lower()"
        row = f'{{"messages": r[better[{word}]]}}' if is_conversation else pair(prompt or "", f"r[better[{word}]]")
        before = f"better = {json.dumps(better, ensure_ascii=False)}"
        command = rewriting(file, row, "better.jsonl", only=f"{word} in better", before=before)
        values |= {"command": command} if command else {}
    if "command" not in values:
        values["by_hand"] = N_(
            "write the better answer of each row into a separate column, and name it: --map completion=COLUMN"
        )
    return values


def _names(word: str, side: str) -> bool:
    """Whether a choice names a side: "a", "model_a", "response 1"."""
    return word == side or re.fullmatch(rf"[a-z]+[_ ]?{side}", word) is not None


def _best(sample: Sequence[RankedRow], column: str, prompt: str | None) -> str | None:
    """The expression of the best answer of a list of ranked ones; None if the column holds none."""
    lists = [value for row in sample if (value := unpacked(row.get(column))) is not None]
    if (
        not prompt
        or column == prompt
        or not lists
        or not all(isinstance(value, list) and len(value) > 1 for value in lists)
    ):
        return None
    cell = f"r[{json.dumps(column, ensure_ascii=False)}]"
    if normal(column) in ("output", "chosen") and normal(prompt) == "instruction" and len({len(v) for v in lists}) == 1:
        return f"{cell}[0]" if all(isinstance(text, str) for value in lists for text in value) else None
    if not all(isinstance(item, dict) for value in lists for item in value):
        return None
    shared = set.intersection(*(set(item) for value in lists for item in value))
    text = next((key for key in _TEXTS if key in shared), None)
    score = next((key for key in (*_RANKS, *_SCORES) if key in shared), None)
    if not text or not score:
        return None
    pick = "min" if score in _RANKS else "max"
    return f'{pick}({cell}, key=lambda a: float(a["{score}"] or 0))["{text}"]'
