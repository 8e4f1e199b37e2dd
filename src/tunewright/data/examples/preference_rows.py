"""Rows that say which answers are good and which are bad: recognised, and refused as plain examples.

Pairs (DPO and its kin): a better and a worse answer, as TRL, LLaMA-Factory, ms-swift and OpenAI name them. Labels (KTO and its
kin): an answer, and whether it is good. Trained as plain examples, the model would silently learn the worse answers.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tunewright.data.examples.ranked_rows import pair, refuse_rankings
from tunewright.data.examples.rewrite_commands import rewriting
from tunewright.data.examples.row_cells import unpacked
from tunewright.data.files.readers import RawRow
from tunewright.errors import DataError, Problem, Where
from tunewright.i18n import N_, Phrase

# The worse answer, and the better one where it has a column of its own (else it is the answer of the conversation).
_WRITTEN = ("completion", "response", "answer", "output", "messages", "conversations")
_PAIRS: Mapping[str, tuple[str, ...]] = {
    "rejected": ("chosen", "accepted", *_WRITTEN),
    "rejected_response": ("chosen_response", *_WRITTEN),
    "rejected_answer": ("chosen_answer", *_WRITTEN),
    "rejected_messages": ("chosen_messages", "messages", "conversations"),
    "non_preferred_output": ("preferred_output",),
    "rejected_output": ("chosen_output", "output"),
    "loser": ("winner",),
    "response_k": ("response_j",),
}
_LABELS = ("label", "kto_tag", "desirable", "is_desirable", "is_good", "good", "is_chosen", "chosen", "accepted", "is_accepted",
           "approved", "is_approved", "preferred", "is_preferred", "selected", "thumbs_up", "thumbs", "feedback", "user_feedback",
           "preference", "is_correct", "correct", "helpful", "is_helpful", "verdict", "judgement", "judgment", "vote", "quality",
           "标签", "反馈", "是否正确", "质量")  # fmt: skip
# Names of scores too: they mark answers where they hold nothing but good and bad, and both.
_SCORES = ("rating", "score", "reward", "评分")
# Columns that are true for bad answers.
_MARKS_OF_BAD = (
    "rejected",
    "is_rejected",
    "bad",
    "is_bad",
    "undesirable",
    "is_undesirable",
    "incorrect",
    "is_incorrect",
)
_GOOD = frozenset(("true", "1", "1.0", "good", "desirable", "chosen", "accepted", "positive", "up", "thumbs_up", "like",
                   "correct", "yes", "好", "是"))  # fmt: skip
_BAD = frozenset(("false", "0", "0.0", "bad", "undesirable", "rejected", "-1", "-1.0", "negative", "down", "thumbs_down",
                  "dislike", "incorrect", "wrong", "no", "差", "坏", "否"))  # fmt: skip
_ANSWERS = frozenset(
    ("completion", "response", "answer", "output", "messages", "conversations", "conversation", "回答", "输出")
)
_PROMPTS = frozenset(
    ("prompt", "instruction", "question", "query", "input", "messages", "conversations", "conversation", "指令", "问题")
)


def refuse_preferences(rows: Sequence[RawRow], mapping: Mapping[str, str]) -> None:
    """Raises: DataError E233 for pairs of answers, E234 for answers marked bad, E252 and E253 for rankings, unless `mapping`
    itself names the answers.
    """
    sample = [row.value for row in rows]
    if not sample:
        return
    where = Where(rows[0].file, rows[0].line)
    names = {str(column).strip().casefold(): column for row in sample for column in row}
    if columns := _pair(sample, names, mapping):
        worse, better = columns
        fix = _first_of(rows[0].file, sample, names, better) or _fix(sample, names, better)
        raise DataError([Problem("E233", where, {"columns": f"{better}, {worse}", "fix": fix})])
    refuse_rankings(rows, names, mapping, _prompt(names, ""))
    if label := _label(sample, names, mapping):
        is_bad_if = _names_bad(label)
        bad = sum(_verdict(row.get(label)) is is_bad_if for row in sample)
        values = {"column": label, "bad": bad, "rows": len(sample), "fix": _filter(rows[0].file, label)}
        raise DataError([Problem("E234", where, values)])


def _pair(
    sample: Sequence[Mapping[str, object]], names: Mapping[str, str], mapping: Mapping[str, str]
) -> tuple[str, str] | None:
    """Columns of the worse and the better answer; a column of true and false, or of numbers, holds no answers."""
    for worse, betters in _PAIRS.items():
        better = next((names[name] for name in betters if name in names), None)
        if worse not in names or better is None or better in mapping.values():
            continue
        if any(isinstance(row.get(names[worse]), str | list | dict) for row in sample):
            return names[worse], better
    return None


def _fix(sample: Sequence[Mapping[str, object]], names: Mapping[str, str], better: str) -> str:
    """The map that learns the better answers."""
    first = next((unpacked(row[better]) for row in sample if row.get(better)), None)
    is_conversation = isinstance(first, list) and any(_speaker(turn) not in ("assistant", "gpt", "") for turn in first)
    prompt = _prompt(names, better)
    if is_conversation or better in ("messages", "conversations"):
        return f"--map messages={better}"
    if prompt is None:
        return f"--map text={better}"
    inner: Mapping[str, object] = next((cell for row in sample if isinstance(cell := row.get(prompt), dict)), {})
    if "messages" in inner:  # OpenAI's form
        tools = f" --map tools={prompt}.tools" if inner.get("tools") else ""
        return f"--map prompt={prompt}.messages{tools} --map completion={better}"
    return f"--map prompt={prompt} --map completion={better}"


def _prompt(names: Mapping[str, str], better: str) -> str | None:
    return next((names[name] for name in names if name in _PROMPTS and names[name] != better), None)


def _first_of(file: str, sample: Sequence[Mapping[str, object]], names: Mapping[str, str], better: str) -> str | None:
    """The command for better answers that are the only text of a list (LLaMA-Factory's older form)."""
    values = [unpacked(row[better]) for row in sample if row.get(better)]
    prompt = _prompt(names, better)
    if not prompt or not all(isinstance(value, list) and value and isinstance(value[0], str) for value in values):
        return None
    return rewriting(file, pair(prompt, f"r[{json.dumps(better)}][0]"), "better.jsonl")


def _speaker(turn: Any) -> str:
    return str(turn.get("role", turn.get("from", ""))).casefold() if isinstance(turn, dict) else ""


def _label(sample: Sequence[Mapping[str, object]], names: Mapping[str, str], mapping: Mapping[str, str]) -> str | None:
    """The column that calls some answers bad, in rows that have an answer beside it."""
    if not _ANSWERS & names.keys():
        return None
    for name in (*_LABELS, *_MARKS_OF_BAD, *_SCORES):
        column = names.get(name)
        if column is None or column in mapping.values():
            continue
        verdicts = {_verdict(row[column]) for row in sample if row.get(column) is not None}
        is_sure = len(verdicts) > 1 or name not in _SCORES
        if None not in verdicts and _names_bad(name) in verdicts and is_sure:
            return column
    return None


def _names_bad(column: str) -> bool:
    """Which verdict of a column means a bad answer."""
    return column.strip().casefold() in _MARKS_OF_BAD


def _verdict(value: Any) -> bool | None:
    """Whether an answer is good; None for a value that does not say."""
    verdict = str(value).strip().casefold()
    if isinstance(value, bool | int | float | str):
        return True if verdict in _GOOD else False if verdict in _BAD else None
    return None


def _filter(file: str, column: str) -> Phrase:
    """How the good rows are kept."""
    good = _BAD if _names_bad(column) else _GOOD
    is_good = f"str(r[{json.dumps(column, ensure_ascii=False)}]).strip().lower() in {json.dumps(sorted(good), ensure_ascii=False)}"
    command = rewriting(file, "r", "good.jsonl", only=is_good)
    if command is None:
        value = "false" if _names_bad(column) else "true"
        return Phrase(
            N_("keep the rows whose {column} is {value}, in a file of their own, without that column"),
            column=column,
            value=value,
        )
    return Phrase(N_("keep the good rows alone: {command}"), command=command)
