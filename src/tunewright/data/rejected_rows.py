"""The rows that a run leaves out, each once, with its place, the reason and its own text."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tunewright.config.run_config import DataConfig
from tunewright.data.files.json_scanner import KEPT_CHARACTERS
from tunewright.data.files.readers import texts_of
from tunewright.data.loaded_examples import LoadedExamples, is_of_held_out, place_of
from tunewright.data.train_eval_split import sides_of

_Place = tuple[bool, str, int]  # whether it was held out in rows of their own; file, and number of the row
_LEAKED = "W213", "this held-out row is also in the training rows"


@dataclass(frozen=True)
class RejectedRow:
    """A line of rows.bad.jsonl: a dropped row's place, why, and its own text; English, as it is read by programs too."""

    file: str
    line: int
    row: int
    code: str
    reason: str
    text: str = ""


def left_out(loaded: LoadedExamples, config: DataConfig) -> list[RejectedRow]:
    """One record for each dropped row.

    A text is cut at KEPT_CHARACTERS. Cost: one more reading of the data, if anything is left out.
    """
    records: dict[_Place, RejectedRow] = {}
    for problem in loaded.problems:
        place, reason = (is_of_held_out(problem), *place_of(problem)), problem.message_in_english()
        if place in records:
            records[place] = replace(records[place], reason=f"{records[place].reason}; {reason}")
        else:
            records[place] = _record(place, problem.where.line, problem.code, reason)
    for example in loaded.leaked:
        place = True, example.file, example.number
        records[place] = _record(place, example.line, *_LEAKED)
    for place, text in _texts(config, set(records)):
        records[place] = replace(records[place], text=writable(text.rstrip("\r\n")))
    return sorted(records.values(), key=lambda record: (record.file, record.row))


def _record(place: _Place, line: int, code: str, reason: str) -> RejectedRow:
    _is_held_out, file, number = place
    return RejectedRow(file, line, number, code, reason)


def _texts(config: DataConfig, places: set[_Place]) -> Iterator[tuple[_Place, str]]:
    if not places:
        return
    sides = sides_of(config)
    for is_held_out, sources in ((False, sides.train), (True, (sides.held_out,))):
        own = {(file, number) for is_own, file, number in places if is_own == is_held_out}
        for source in sources:
            if source and own:
                for (file, number), text in texts_of(source.path, own, source.reading):
                    yield (is_held_out, file, number), text


def writable(text: str) -> str:
    """Bytes and lone surrogates that are not text as escapes, so that the record itself is valid."""
    return text[:KEPT_CHARACTERS].encode("utf-8", "backslashreplace").decode()
