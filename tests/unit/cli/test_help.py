"""The help of the whole: short, grouped, with examples and the language switch."""

import os
import subprocess
import sys

import pytest

from tunewright import __version__
from tunewright.cli.main import EXAMPLES, GROUPS, app


def _verbs() -> list[str]:
    return [verb for _title, verbs in GROUPS for verb in verbs]


def test_the_help_has_at_most_fifty_lines_all_groups_and_ends_with_three_examples(tw) -> None:
    shown = tw("--help")
    lines = shown.out.rstrip().splitlines()
    assert shown.code == 0
    assert len(lines) <= 50
    assert [line for line in lines if line in [title for title, _verbs in GROUPS]] == [
        title for title, _verbs in GROUPS
    ]
    assert [line.split("   ")[0].strip() for line in lines[-3:]] == [command for command, _why in EXAMPLES]


def test_the_bare_command_shows_the_help_and_the_language_switch(tw) -> None:
    assert tw().out == tw("--help").out
    assert "TUNEWRIGHT_LANG" in tw().out


def test_every_verb_is_listed_and_every_listed_verb_exists(tw) -> None:
    out = tw("--help").out
    visible = {(command.name or command.callback.__name__) for command in app.registered_commands if not command.hidden}
    visible |= {group.name for group in app.registered_groups}
    assert visible == set(_verbs())
    assert all(f"  {verb} " in out for verb in _verbs())


@pytest.mark.parametrize("verb", _verbs())
def test_every_verb_has_a_help_of_its_own(tw, verb: str) -> None:
    shown = tw(verb, "--help")
    assert shown.code == 0
    assert shown.out.startswith(f"Usage: tunewright {verb}")


@pytest.mark.parametrize("words", [("runs",), ("data",), ("config",)])
def test_a_verb_that_only_holds_verbs_shows_its_help(tw, words: tuple[str, ...]) -> None:
    shown = tw(*words)
    assert shown.code == 0
    assert "Commands:" in shown.out


def test_the_shortcuts_work_and_are_hidden(tw) -> None:
    assert "  resume" not in tw("--help").out
    assert tw("resume", "--help").code == 0


def test_the_version_is_one_line(tw) -> None:
    assert tw("--version").out.startswith("tunewright ")


@pytest.mark.parametrize("columns", ["80", "200"])
def test_the_help_of_a_verb_keeps_to_the_width(columns: str) -> None:
    environment = {"COLUMNS": columns, "TUNEWRIGHT_LANG": "en"}
    shown = _fresh("train", "--help", **environment)
    assert max(map(len, shown.stdout.splitlines())) <= int(columns)


def test_chinese_and_an_ascii_terminal_do_not_crash() -> None:
    assert _fresh("--help", TUNEWRIGHT_LANG="zh").returncode == 0
    shown = _fresh(TUNEWRIGHT_LANG="zh", PYTHONIOENCODING="ascii")
    assert shown.returncode == 0
    assert shown.stdout.isascii()


def _fresh(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "tunewright", *words]
    return subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("words", [("-V",), ("--version",), ("version",)])
def test_the_version_is_told_in_every_usual_way(tw, words: tuple[str, ...]) -> None:
    assert tw(*words).out == f"tunewright {__version__}\n"


def test_help_is_given_in_every_usual_way(tw) -> None:
    assert tw("help").out == tw("-h").out == tw("--help").out
    assert tw("help", "train").out == tw("train", "--help").out
    assert tw("help", "runs", "rm").out == tw("runs", "rm", "-h").out
    assert tw("help", "nosuch").code == 2
    assert "--install-completion" in tw("help").out and "VERB" not in tw("help").out
    assert tw("presets", "list").out == tw("presets").out


def test_quiet_says_what_it_prints_instead(tw) -> None:
    texts = {
        "plan": "no progress",
        "compare": "name of the run to take",
        "sweep": "path of the best setting",
        "train": "name of the run",
    }
    for verb, text in texts.items():
        assert text in next(line for line in tw(verb, "--help").out.splitlines() if "--quiet" in line)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400", "-nan"])
@pytest.mark.parametrize(
    ("verb", "option"),
    [("plan", "--price"), ("plan", "--lr"), ("train", "--epochs"), ("train", "--lr"), ("sweep", "--minutes")],
)
def test_a_number_is_neither_nan_nor_infinite(tw, verb: str, option: str, number: str) -> None:
    shown = tw(verb, "smollm2", "my.jsonl", f"{option}={number}")
    assert (shown.code, shown.out) == (2, "")
    is_low = option in ("--price", "--minutes") and number not in ("inf", "1e400")
    reason = "greater than or equal to 0" if is_low else "a finite number"
    assert f"error E119  Invalid value for '{option}': Input should be {reason}" in shown.err


def test_a_price_is_not_negative(tw) -> None:
    shown = tw("plan", "smollm2", "my.jsonl", "--price", "-1")
    assert shown.code == 2 and "error E119  Invalid value for '--price'" in shown.err
