"""A text that comes in pieces looks as it would if it had come as a whole."""

import io

import pytest

from tunewright.cli.console import Channel
from tunewright.cli.growing_text import GrowingText
from tunewright.cli.problem_display import printable

TEXTS = (
    "The parcel arrives within three working days, and can be sent back within thirty.",
    "1. first\n2. second  \n\n    indented code that is longer than the line\nend \n",
    "包裹将在三个工作日内送达，并可在三十天内用 llama.cpp 退回。",
    "one\x1b[31mtwo\ttab", "unbrokenwordthatislongerthanthewholewidthofthewindow after", " ", "",
)  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_laid_out_as_a_paragraph(text: str, size: int) -> None:
    whole, growing = (Channel(io.StringIO(), True, False, 30) for _ in range(2))
    whole.paragraph(printable(text), " " * 6, "tuned ")
    shown = GrowingText(growing, "tuned ", 30)
    shown.begin()
    for i in range(0, len(text), size):
        shown.add(text[i : i + size])
    shown.end()
    lines, expected = (channel.stream.getvalue().splitlines() for channel in (growing, whole))  # type: ignore[attr-defined]
    assert [line.rstrip() for line in lines] == expected


def test_words_are_shown_before_the_text_has_ended() -> None:
    channel = Channel(io.StringIO(), False, False, None)
    shown = GrowingText(channel, line_end="\\n")
    seen = []
    for piece in ("Hel", "lo", " the", "re\n", "你好", "x"):
        shown.add(piece)
        seen.append(channel.stream.getvalue())  # type: ignore[attr-defined]
    assert seen == ["", "", "Hello", "Hello there\\n", "Hello there\\n你好", "Hello there\\n你好"]
    shown.end()
    assert channel.stream.getvalue() == "Hello there\\n你好x\n"  # type: ignore[attr-defined]
