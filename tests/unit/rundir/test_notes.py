"""Notes of a run are kept with what makes them, so that each reader has them in a language of their own."""

import json
from pathlib import Path

import pytest

from tunewright.errors import TrainingError
from tunewright.i18n import N_, Phrase, speaking
from tunewright.rundir.event_log import EventLog, read_events
from tunewright.rundir.events import NoteEvent

NOTE = Phrase(
    N_("{fault}; set aside as {name}"),
    fault=Phrase(N_("{checkpoint}: {file} is {harm}"), checkpoint="checkpoint-9", file="a.bin", harm=N_("missing")),
    name=".corrupt-9-0",
)
ENGLISH = "checkpoint-9: a.bin is missing; set aside as .corrupt-9-0"


def read(path: Path) -> NoteEvent:
    (event,) = read_events(path)
    assert isinstance(event, NoteEvent)
    return event


def test_a_note_is_english_in_the_file_and_in_the_readers_language_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with speaking("zh"):  # whoever starts a run decides nothing for its readers
        EventLog(path).note(NOTE)
    note = read(path)
    assert json.loads(path.read_text())["text"] == note.text == ENGLISH
    with speaking("en"):
        assert note.message() == ENGLISH
    with speaking("zh"):
        assert note.message() == "checkpoint-9：a.bin 缺失；已移开，改名为 .corrupt-9-0"


def test_a_note_of_an_earlier_version_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventLog(path).write("note", text="continuing from checkpoint-54")
    with speaking("zh"):
        assert read(path).message() == "continuing from checkpoint-54"


@pytest.mark.parametrize(
    "phrase", [3, {}, {"template": "{x}", "many": "", "values": {"y": 1}}, {"template": 1, "many": ""}]
)
def test_a_note_that_cannot_be_said_is_damage(tmp_path: Path, phrase: object) -> None:
    path = tmp_path / "events.jsonl"
    EventLog(path).note(NOTE)
    path.write_text(json.dumps({**json.loads(path.read_text()), "phrase": phrase}) + "\n" * 2)
    with pytest.raises(TrainingError, match="E525"):
        read_events(path)
