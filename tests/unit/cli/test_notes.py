"""Notes in a terminal: those of long work and those of a run, in the language of whoever reads them."""

import io

import pytest

from tests.records import event
from tunewright.cli import live_display
from tunewright.cli.console import Channel
from tunewright.i18n import N_, Phrase, speaking

NOTE = Phrase(N_("continuing from {checkpoint}"), checkpoint="checkpoint-9")


def test_what_long_work_notes_is_said_in_the_readers_language(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(live_display.console, "note", said.append)
    reporter = live_display.ConsoleReporter()
    with speaking("zh"):
        reporter.note(NOTE)
        reporter.note("as it is")
    assert said == ["从 checkpoint-9 继续", "as it is"]


@pytest.mark.parametrize(
    ("language", "words"), [("en", "continuing from checkpoint-9"), ("zh", "从 checkpoint-9 继续")]
)
def test_what_a_run_notes_is_shown_in_the_readers_language(language: str, words: str) -> None:
    channel = Channel(io.StringIO(), False, False, None)
    with speaking(language):
        live_display._show_message(event("note", text=str(NOTE), phrase=NOTE.to_record()), channel)
    assert channel.stream.getvalue().strip() == words
