"""A terminal as a person has it: colours, names that hold control characters, a window that changes its size."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from tunewright import api
from tunewright.cli import console
from tunewright.cli.console import Channel
from tunewright.cli.redrawn_lines import RedrawnLines

MakeRun = Callable[..., api.TrainedRun]
HOSTILE = "a\x1b[31mb\x07\u202ec\x9b2J"


def in_terminal(*words: str, columns: int = 80) -> str:
    """What a command writes into a terminal of this width, with colours."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tunewright", *words], stdin=follower, stdout=follower, stderr=follower,
        env={**environment, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(follower)
    written = b""
    while select.select([leader], [], [], 60)[0]:
        try:
            written += os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
    os.close(leader)
    assert process.wait(60) == 0, written.decode()
    return written.decode()


@pytest.mark.processes
@pytest.mark.parametrize("columns", [200, 80, 50])
def test_the_end_of_a_training_shows_colours_and_no_codes(make_run: MakeRun, columns: int) -> None:
    shown = in_terminal("runs", "watch", make_run().name, columns=columns)
    train = next(line for line in shown.splitlines() if "4/4   loss 2 " in line)
    assert "\x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m 4/4" in train and "\x1b[36m█" in train
    assert "\\x1b" not in shown and "\U0010ffff" not in shown


def test_a_plan_that_does_not_fit_is_red_and_shows_no_codes(
    tw, model: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 2**24, "available": 2**24})())
    shown = tw("plan", str(model), "my.jsonl")
    assert shown.code == 3
    assert "\x1b[31mdoes not fit" in shown.out and "\\x1b" not in shown.out


@pytest.mark.parametrize("color", [False, True])
def test_what_comes_from_outside_is_shown_and_not_obeyed(color: bool) -> None:
    at = Channel(io.StringIO(), color, color, 40)
    at.line(HOSTILE)
    at.paragraph(f"{at.paint(HOSTILE, 'bold')} {HOSTILE}", "  ", HOSTILE)
    console.table(at, [(HOSTILE, at.paint(HOSTILE, "red"))], ("", HOSTILE))
    text = at.stream.getvalue()  # type: ignore[attr-defined]
    assert "a\\x1b[31mb\\x07\\u202ec\\x9b2J" in text
    assert set(re.findall("\x1b[^m]*m", text)) == ({"\x1b[1m", "\x1b[31m", "\x1b[2m", "\x1b[0m"} if color else set())
    assert not set(text) & set("\x07\u202e\x9b")


def test_painted_text_is_broken_as_if_it_had_no_colour() -> None:
    plain, color = Channel(io.StringIO(), False, False, 30), Channel(io.StringIO(), True, True, 30)
    for at in (plain, color):
        at.paragraph(at.paint("a reason of many words that needs more than one line, 行 行 行 行 行 行", "dim"), "  ")
    without = re.sub("\x1b\\[[0-9;]*m", "", color.stream.getvalue())  # type: ignore[attr-defined]
    assert without == plain.stream.getvalue()  # type: ignore[attr-defined]


class Window:
    """A terminal that breaks its lines anew when its width changes, as most do; only what `Drawing` writes is known."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows = [""]
        self.row = self.column = 0

    def resize(self, columns: int) -> None:
        """Rows that were longer are broken, and the cursor stays behind its character."""
        before, self.rows, self.columns = self.rows, [], columns
        for number, text in enumerate(before):
            pieces = [text[i : i + columns] for i in range(0, len(text), columns)] or [""]
            if number == self.row:
                self.row, self.column = len(self.rows) + len(pieces) - 1, len(pieces[-1])
            self.rows += pieces

    def write(self, text: str) -> None:
        for code, char in re.findall("\x1b\\[([?0-9]*[A-Za-z])|(.)", text, re.DOTALL):
            if code.endswith("A"):
                self.row -= int(code[:-1])
            elif code == "J":
                self.rows = [*self.rows[: self.row], self.rows[self.row][: self.column]]
            elif char == "\r":
                self.column = 0
            elif char == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row == len(self.rows))
            elif char:
                if self.column == self.columns:
                    self.write("\n")
                self.rows[self.row] = self.rows[self.row][: self.column] + char
                self.column += 1


@pytest.mark.parametrize("widths", [(100, 40, 40), (100, 40, 90), (40, 100, 100), (80, 33, 21), (81, 80, 79)])
def test_a_window_that_changes_its_size_keeps_no_old_frame(
    widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Window(widths[0])
    monkeypatch.setattr(console, "terminal_columns", lambda: window.columns)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "write", window.write)
    with RedrawnLines(stream) as drawing:
        drawing.say("what stays")
        for number, width in enumerate(widths):
            window.resize(width)
            drawing.draw([f"{number} first ".ljust(width, "="), f"{number} second ".ljust(width - 3, "=")])
            assert [row[:3] for row in window.rows] == ["wha", f"{number} f", f"{number} s"]
        drawing.say("said later")
        drawing.draw(["last"])
    assert [row for row in window.rows if row] == ["what stays", "said later"]
