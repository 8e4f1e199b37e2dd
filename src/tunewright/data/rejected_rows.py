"""The rows that a run leaves out, each once, with its place, the reason and its own text."""

from collections.abc import Iterator
from typing import Any

from tunewright.config.run_config import DataConfig
from tunewright.data.files.json_scanner import KEPT_CHARACTERS
from tunewright.data.files.readers import texts_of
from tunewright.data.load_examples import LoadedExamples
from tunewright.data.train_eval_split import sides_of

_Place = tuple[str, int]  # file, and number of the row
_LEAKED = "W213", "this held-out row is also in the training rows"


def left_out(loaded: LoadedExamples, spec: DataConfig) -> list[dict[str, Any]]:
    """One record for each dropped row: file, line, row, code, reason, text; English, as it is read by programs too.

    A text is cut at KEPT_CHARACTERS. Cost: one more reading of the data, if anything is left out.
    """
    records: dict[_Place, dict[str, Any]] = {}
    for problem in loaded.problems:
        place = problem.where.file, int(problem.values.get("row", problem.where.line))
        reason = problem.to_json()["message"]
        if place in records:
            records[place]["reason"] += f"; {reason}"
        else:
            records[place] = _record(place, problem.where.line, problem.code, reason)
    for example in loaded.leaked:
        place = example.file, example.number
        records[place] = _record(place, example.line, *_LEAKED)
    for place, text in _texts(spec, set(records)):
        records[place]["text"] = _writable(text.rstrip("\r\n"))
    return sorted(records.values(), key=lambda record: (record["file"], record["row"]))


def _record(place: _Place, line: int, code: str, reason: str) -> dict[str, Any]:
    return {"file": place[0], "line": line, "row": place[1], "code": code, "reason": reason, "text": ""}


def _texts(spec: DataConfig, places: set[_Place]) -> Iterator[tuple[_Place, str]]:
    if not places:
        return
    sides = sides_of(spec)
    for source in (sides.train, sides.held_out):
        if source:
            yield from texts_of(source.path, places, source.reading)


def _writable(text: str) -> str:
    """Bytes and lone surrogates that are not text as escapes, so that the record itself is valid."""
    return text[:KEPT_CHARACTERS].encode("utf-8", "backslashreplace").decode()
