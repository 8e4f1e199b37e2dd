"""Rows of other programs that are not examples on their own: turns in rows of their own, exports of labelling programs."""

import json
import shlex
from collections.abc import Mapping, Sequence

from tunewright.data.examples.conversation_forms import CONTENT_KEYS, SPEAKER_KEYS, SPEAKERS
from tunewright.data.examples.rewrite_commands import rewriting
from tunewright.data.files.column_names import normal
from tunewright.data.files.readers import RawRow
from tunewright.data.files.row import Row
from tunewright.errors import DataError, Problem, Where

_GROUPS = ("conversation_id", "conv_id", "dialog_id", "dialogue_id", "session_id", "chat_id", "thread_id", "conversation",
           "session", "dialog", "dialogue", "会话id", "对话id")  # fmt: skip

_DECISIONS = ("accept", "reject", "ignore")  # of Prodigy


def refuse_foreign(rows: Sequence[RawRow], mapping: Mapping[str, str]) -> None:
    """Raises: DataError E251 for rows that are one turn each, E254 for tasks of Label Studio, E255 for Prodigy's; not where
    `mapping` says more.
    """
    if not rows or mapping:
        return
    sample = [row.value for row in rows]
    where = Where(rows[0].file, rows[0].line)
    names = {normal(column): column for row in sample for column in row}
    speaker = next((names[key] for key in SPEAKER_KEYS if key in names), None)
    content = next((names[key] for key in CONTENT_KEYS if key in names), None)
    if speaker and content and _are_turns(sample, speaker, content):
        group = next((names[name] for name in _GROUPS if name in names and "parent_id" not in names), None)
        command = _joining(rows[0].file, speaker, content, group) if group else None
        values = {
            "speaker": speaker,
            "content": shlex.quote(f"text={content}"),
            **({"command": command} if command else {}),
        }
        raise DataError([Problem("E251", where, values)])
    if any(isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list) for row in sample):
        raise DataError([Problem("E254", where)])
    if "text" in names and all(row.get("answer") in _DECISIONS for row in sample):
        values = {"command": command} if (command := _decided(rows[0].file, names)) else {}
        raise DataError([Problem("E255", where, values)])


def _decided(file: str, names: Mapping[str, str]) -> str | None:
    """The command that writes texts with their labels, those that were rejected as `not LABEL`."""
    if "label" not in names:
        return None
    label = 'r["label"] if r["answer"] == "accept" else "not " + r["label"]'
    row = f'{{"text": r["text"], "label": {label}}}'
    return rewriting(file, row, "labelled.jsonl", only='r["answer"] != "ignore"')


def _are_turns(sample: Sequence[Row], speaker: str, content: str) -> bool:
    """Whether these are turns: known speakers, more than one of them, beside texts."""
    words = [str(row.get(speaker)) for row in sample]
    roles = [SPEAKERS.get(normal(word)) for word in words]
    are_texts = all(isinstance(row.get(content), str | None) for row in sample)
    return are_texts and None not in roles and "assistant" in roles and len(set(roles)) > 1


def _joining(file: str, speaker: str, content: str, group: str) -> str | None:
    """The command that writes the turns of each conversation, in their order, as one row."""
    role, text, by = (json.dumps(name, ensure_ascii=False) for name in (speaker, content, group))
    turn = f'{{"role": r[{role}], "content": r[{text}]}}'
    talks = f"talks = {{}}; [talks.setdefault(r[{by}], []).append({turn}) for r in rows]"
    return rewriting(file, '{"messages": r}', "conversations.jsonl", between=talks, rows="talks.values()")
