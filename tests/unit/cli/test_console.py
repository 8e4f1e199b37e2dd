"""Streams, widths and tables."""

import io

import pytest

from tunewright.cli import console
from tunewright.cli.console import Channel


def channel(width: int | None = None, *, color: bool = False) -> Channel:
    return Channel(io.StringIO(), color, color, width)


def text(of: Channel) -> str:
    assert isinstance(of.stream, io.StringIO)
    return of.stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "is_tty", "wanted"),
    [({}, False, False), ({}, True, True), ({"NO_COLOR": "1"}, True, False), ({"FORCE_COLOR": "1"}, False, True),
     ({"FORCE_COLOR": "0"}, True, False), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False), ({"TERM": "dumb"}, True, False)],
)  # fmt: skip
def test_colour_follows_the_terminal_and_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], is_tty: bool, wanted: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", Terminal() if is_tty else io.StringIO())
    assert console.out().has_color is wanted


def test_lines_are_not_broken_in_a_pipe_unless_columns_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert console.out().width is None
    monkeypatch.setenv("COLUMNS", "80")
    assert console.out().width == 80


def test_wide_characters_count_two_columns() -> None:
    assert console.wrap("训练数据里有很多行", 8) == ["训练数据", "里有很多", "行"]
    assert console.pad("训练", 6) == "训练  "


@pytest.mark.parametrize(
    ("text", "columns"),
    [("e\u0301", 1), ("\U0001f468\u200d\U0001f469\u200d\U0001f467", 2), ("\U0001f1e9\U0001f1ea", 2),
     ("\u2764\ufe0f", 2), ("한국어", 6), ("训练 3 轮", 9), ("━╌▁█·–…±×→•", 11), ("a\xa0b·", 4)],
)  # fmt: skip
def test_a_character_of_several_code_points_is_counted_once(text: str, columns: int) -> None:
    assert console.columns_of(text) == columns


def test_the_last_column_is_broken_under_itself() -> None:
    at = channel(30)
    console.table(at, [("r", "16", "preset medium asks for this rank")], ("key", "value", "why"))
    assert text(at).splitlines() == [
        "key  value  why",
        "r    16     preset medium asks",
        "            for this rank",
    ]


def test_headings_stand_on_several_lines_before_a_table_is_wider_than_the_terminal() -> None:
    rows = [("accuracy", "0 %", "12.5 %", "100 %")]
    heads = ("", "untrained head", "most frequent class", "tuned")
    at = channel(40)
    console.table(at, rows, heads, right=(1, 2, 3))
    assert text(at).splitlines() == [
        "                         most",
        "          untrained  frequent",
        "               head     class  tuned",
        "accuracy        0 %    12.5 %  100 %",
    ]
    at = channel(80)
    console.table(at, rows, heads, right=(1, 2, 3))
    assert text(at).splitlines()[0].split("  ")[-3:] == ["untrained head", "most frequent class", "tuned"]


def test_no_line_ends_with_blanks() -> None:
    at = channel()
    console.table(at, [("a", ""), ("bbb", "c")])
    assert all(line == line.rstrip() for line in text(at).splitlines())


def test_paint_adds_nothing_where_there_is_no_colour() -> None:
    assert channel().paint("x", "red") == "x"
    assert console.plain(channel(color=True).paint("x", "red")) == "x"


def test_a_stream_that_cannot_encode_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    console.prepare_streams()
    console.out().line("━╌ ▁█ · 训 …")
    assert raw.getvalue() == b"=- _@ - ? ...\n"
