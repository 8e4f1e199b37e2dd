"""What was read of very many rows, as bytes: the examples that are held in memory and the account of all, not the rows.

JSON with a digest over all of it, so that what was changed or cut is none.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tunewright.data.examples.formats import Example, Format, Message
from tunewright.data.examples.label_kind import LabelKind
from tunewright.data.loaded_examples import LoadedExamples, LoadedSource
from tunewright.errors import Problem

_PROBLEMS = ("problems", "notes")
_EXAMPLES = ("train", "held_out", "leaked")
_TEXTS = ("messages", "text", "pair", "target", "words", "tags", "tools", "labels", "label_counts", "kind", "key")
_PLAIN = (
    "rows_in", "num_train", "duplicates", "conflicts", "label_counts", "problem_type", "share", "starts",
)  # fmt: skip


def dump(loaded: LoadedExamples, key: str, paths: Sequence[str] = ()) -> bytes:
    """As bytes; `key` says what it was made of, `paths` are those by which rows are found."""
    own = vars(loaded)
    value = {
        **{name: own[name] for name in _PLAIN},
        **{name: [problem.to_record() for problem in own[name]] for name in _PROBLEMS},
        **{name: [as_json(example) for example in own[name]] for name in _EXAMPLES},
        "format": asdict(loaded.format),
        "sources": [
            {**vars(source), "format": asdict(source.format), "files": sorted(source.files), "once_more": [*source.once_more]}
            for source in loaded.sources
        ],
        "labels": loaded.labels,
        "unused": dict(loaded.unused),
        "remarks": dict(loaded.remarks),
        "kind": _kind_as_json(loaded.kind),
        "key": key,
        "paths": list(paths),
    }  # fmt: skip
    content = json.dumps(value).encode()
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def parse(content: bytes, key: str, paths: Sequence[str] = ()) -> LoadedExamples | None:
    """What `dump` wrote with this key, with the paths of now; None if it is not whole."""
    digest, _newline, text = content.partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    value = json.loads(text)
    if value["key"] != key or len(value["paths"]) != len(paths):
        return None
    if value["paths"] != list(paths):
        value = _renamed(value, dict(zip(value["paths"], paths, strict=True)))
    own: dict[str, Any] = {
        **{name: value[name] for name in _PLAIN},
        **{name: [Problem.from_record(record) for record in value[name]] for name in _PROBLEMS},
        **{name: [from_json(example) for example in value[name]] for name in _EXAMPLES},
    }
    return LoadedExamples(
        format=_format(value["format"]),
        sources=[
            LoadedSource(
                **source | {
                    "format": _format(source["format"]),
                    "files": set(source["files"]),
                    "once_more": set(source["once_more"]),
                }
            )
            for source in value["sources"]
        ],
        labels=tuple(value["labels"]),
        unused=Counter(value["unused"]),
        remarks=Counter(value["remarks"]),
        kind=_kind(value["kind"]),
        **own,
    )  # fmt: skip


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The value with other paths, everywhere but in texts of rows."""
    if isinstance(value, dict):
        texts = {name: item for name, item in value.items() if name in _TEXTS}
        rest = {name: item for name, item in value.items() if name not in _TEXTS}
        return {names.get(name, name): _renamed(item, names) for name, item in rest.items()} | texts
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def as_json(example: Example) -> dict[str, Any]:
    """An example for JSON; empty fields are left out."""
    own = {
        "number": example.number, "file": example.file, "line": example.line, "text": example.text, "pair": example.pair,
        "words": example.words, "tags": example.tags, "tools": example.tools, "cut_turns": example.cut_turns,
        "unused_keys": example.unused_keys, "messages": [_turn(message) for message in example.messages],
    }  # fmt: skip
    fields = {name: value for name, value in own.items() if value}
    return fields if example.target is None else {**fields, "target": example.target}


def _turn(message: Message) -> dict[str, Any]:
    return {
        "role": message.role, "content": message.content, "reasoning": message.reasoning, "tool_calls": message.tool_calls,
        "name": message.name, "tool_call_id": message.tool_call_id, "learn": message.learn,
    }  # fmt: skip


def from_json(value: Mapping[str, Any]) -> Example:
    """What `as_json` gave; equal to it, with tuples where JSON has lists."""
    own: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
    own["messages"] = tuple(
        Message(**{**message, "tool_calls": tuple(message["tool_calls"])}) for message in value.get("messages", ())
    )
    return Example(**{"number": 0, "file": "", "line": 0, **own})


def _format(value: Mapping[str, Any]) -> Format:
    return Format(value["name"], value["columns"], tuple(value["unused"]))


def _kind_as_json(kind: LabelKind | None) -> dict[str, Any] | None:
    if kind is None:
        return None
    return {**vars(kind), "missing": sorted(kind.missing), "notes": [note.to_record() for note in kind.notes]}


def _kind(value: Mapping[str, Any] | None) -> LabelKind | None:
    if value is None:
        return None
    notes = tuple(Problem.from_record(record) for record in value["notes"])
    return LabelKind(**{**value, "missing": frozenset(value["missing"]), "notes": notes})
