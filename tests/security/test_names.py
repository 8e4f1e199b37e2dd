"""Names of strangers in everything that is said: nothing is obeyed, nothing begins a line of its own, commands are quoted."""

import json
import shlex
import unicodedata
from io import BytesIO, StringIO, TextIOWrapper

import pytest

from tests.hostile import TRIED
from tunewright.cli import console, paste_commands, plan_summary
from tunewright.cli.problem_display import print_problems
from tunewright.errors import Problem, Where
from tunewright.i18n import Phrase
from tunewright.report.html_page import environment
from tunewright.security import in_page

NASTY = (
    "\x1b]0;owned\x07", "\x9b31m", "\u202egnp.exe", "\u2066x", "a\u200bb", "\ufeffx", "a\nFAKE b", "a\rFAKE b",
    "a\u2028FAKE b", "a\u2029FAKE b", "a\x85FAKE b", "a\x0bFAKE b", "a\x0cFAKE b", "\x1b[2K\rFAKE b", "\udcff", "\U000e0041",
)  # fmt: skip


def is_clean(text: str) -> bool:
    odd = [char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") and char != "\n"]
    return not odd and not any(line.lstrip().startswith("FAKE") for line in text.splitlines())


@pytest.fixture
def channel() -> console.Channel:
    return console.Channel(StringIO(), False, False, None)


def shown(channel: console.Channel) -> str:
    assert isinstance(channel.stream, StringIO)
    return channel.stream.getvalue()


@pytest.mark.parametrize("name", NASTY)
def test_a_problem_of_such_a_file_keeps_to_its_lines(channel: console.Channel, name: str) -> None:
    of_file = Problem("E204", Where(f"{name}.jsonl", 3, 4), {"reason": f"no JSON: {name}", "row": 3})
    nested = Phrase("it names {what}", what=name)
    print_problems(
        [of_file, Problem("E304", Where("argument", source=name), {"folder": name, "reason": nested})], channel
    )
    assert is_clean(shown(channel))
    TRIED["names"] += 1


@pytest.mark.parametrize("name", NASTY)
def test_tables_lines_and_commands_are_clean(
    channel: console.Channel, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.table(channel, [(name, "a"), ("b", name)], ("c", "d"))
    channel.line(plan_summary.one_line(name))
    command = paste_commands.command("plan", paste_commands.operand(name))
    monkeypatch.setattr(console, "err", lambda: channel)
    console.next_steps((command, "go on"))
    console.note(name)
    assert is_clean(shown(channel))
    assert is_clean(command)
    TRIED["names"] += 1


@pytest.mark.parametrize("name", ["--yes", "-rf", "-"])
def test_a_name_with_a_dash_is_no_option(name: str) -> None:
    assert shlex.split(paste_commands.command("plan", paste_commands.operand(name)))[-1] == f"./{name}"
    TRIED["names"] += 1


@pytest.mark.parametrize("is_tty", [False, True])
@pytest.mark.parametrize("name", [*NASTY, "\x7f", "Prüfung 中文 \U0001f600"])
def test_json_on_a_terminal_is_clean_and_says_the_same(name: str, *, is_tty: bool) -> None:
    """`json.dumps` escapes what is below a blank, and neither C1, DEL, marks of direction nor half characters."""
    stream = TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True)
    console.as_json({name: [name]}, console.Channel(stream, is_tty, False, None))
    text = stream.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]
    assert is_clean(text) and json.loads(text) == {name: [name]}
    assert "中文" in text or "中文" not in name


def test_a_page_shows_controls_and_keeps_letters() -> None:
    assert in_page("a\x1b]0;x\x07\u202egnp") == r"a\x1b]0;x\x07\u202egnp"
    assert in_page("👩\u200d👧 می\u200cروم\n") == "👩\u200d👧 می\u200cروم\n"
    assert in_page(3.5) == 3.5
    page = environment().from_string("<title>{{ name }}</title>").render(name="\x1b[2J<b>")
    assert page == r"<title>\x1b[2J&lt;b&gt;</title>"
