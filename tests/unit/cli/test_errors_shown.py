"""Errors: one form on the screen, one in JSON, the exit code of the catalogue, the traceback in a file."""

import json
import string
from pathlib import Path

import pytest

from tunewright import api
from tunewright.errors import FAMILIES, Problem, Where, errors_of
from tunewright.errors.catalogue import load_catalogue
from tunewright.i18n import language

CONFIG = """model: smollm2
data: my.jsonl
train:
  learing_rate: 2e-4
peft: {r: 0}
"""


def test_a_config_error_shows_place_line_caret_and_suggestion(tw, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(CONFIG)
    shown = tw("config", "validate", "my.yaml")
    assert shown.code == 2
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert lines[0] == 'error E102  my.yaml:4:3  unknown key "learing_rate" in train'
    assert lines[1] == "    4 |   learing_rate: 2e-4"
    assert lines[2] == '      |   ^^^^^^^^^^^^ did you mean "learning_rate"?'
    assert lines[-1] == "2 errors in my.yaml.   tunewright explain E102"


def test_names_and_keys_in_a_fix_are_quoted_for_a_shell() -> None:
    problem = Problem("E507", values={"step": 3, "name": "my run"})
    assert problem.fixes() == ["tunewright runs resume 'my run'"] == problem.to_json()["fixes"]
    problem = Problem("E103", values={"key": "data.train[0].weight", "reason": "is odd", "value": 0})
    assert problem.fixes()[0].startswith("tunewright explain 'data.train[0].weight' ")
    assert "data.train[0].weight is odd" in problem.message()


def test_train_says_that_nothing_was_started(tw, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(CONFIG)
    assert "Nothing was started." in tw("train", "my.yaml").err


def test_a_fault_of_an_option_shows_the_option(tw) -> None:
    shown = tw("train", "smollm2", "my.jsonl", "--set", "peft.rr=8", "--set", "bla")
    assert 'error E110  --set bla  "bla" is not PATH=VALUE' in shown.err
    assert 'error E102  --set peft.rr=8  unknown key "rr" in peft' in shown.err
    assert shown.code == 2


def test_json_errors_stand_on_stderr_and_stdout_is_empty(tw, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(CONFIG)
    shown = tw("train", "my.yaml", "--json")
    error = json.loads(shown.err)
    assert shown.out == ""
    assert error["schema"] == 1
    assert error["error"]["code"] == "E102"
    assert error["error"]["where"] == {"file": "my.yaml", "line": 4, "column": 3}
    assert [problem["code"] for problem in error["problems"]] == ["E102", "E103"]


FIRST_OF_FAMILY = [next(code for code in load_catalogue() if code.startswith(family)) for family in FAMILIES]


@pytest.mark.parametrize("code", [*FIRST_OF_FAMILY, "E402", "E505", "E502", "E501"])
def test_the_exit_code_is_that_of_the_catalogue(tw, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    texts = (load_catalogue()[code].sentence, *load_catalogue()[code].fixes)
    names = [name for text in texts for _text, name, _spec, _conversion in string.Formatter().parse(text) if name]
    values = dict.fromkeys(names, "x")

    def fail() -> None:
        raise errors_of([Problem(code, values=values)])

    monkeypatch.setattr(api, "environment", fail)
    shown = tw("env")
    assert shown.code == load_catalogue()[code].exit_code
    assert f"error {code}" in shown.err


WRONG = {
    ("trian",): "tunewright",
    ("train", "--foo"): "tunewright train",
    ("train", "a", "b.yaml"): "tunewright train",
    ("train", "--map", "x"): "tunewright train",
    ("data", "show"): "tunewright data show",
    ("runs", "rm"): "tunewright runs rm",
}


@pytest.mark.parametrize(("words", "command"), WRONG.items())
def test_wrong_use_is_an_error_like_any_other(tw, words: tuple[str, ...], command: str) -> None:
    shown = tw(*words)
    assert shown.code == 2
    assert shown.err.startswith("error E119  ")
    assert shown.err.rstrip().endswith(f"fix: {command} --help")


def test_wrong_use_is_json_too(tw) -> None:
    shown = tw("train", "--rank", "x", "--json")
    assert (shown.code, json.loads(shown.err)["error"]["code"]) == (2, "E119")


def test_a_misspelt_verb_gets_a_suggestion(tw) -> None:
    assert "Did you mean 'train'?" in tw("trian").err


def test_an_unexpected_fault_leaves_its_traceback_in_a_file(tw, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "environment", lambda: 1 / 0)
    shown = tw("env")
    assert shown.code == 1
    assert "error E802  a fault in Tunewright itself: ZeroDivisionError: division by zero" in shown.err
    assert "Traceback" not in shown.err
    assert str(home / "crash.log") in shown.err
    assert "ZeroDivisionError" in (home / "crash.log").read_text()


def test_the_traceback_is_shown_when_it_is_asked_for(tw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWRIGHT_DEBUG", "1")
    monkeypatch.setattr(api, "environment", lambda: 1 / 0)
    assert "Traceback (most recent call last)" in tw("env").err


def test_at_most_twenty_lines_a_code_are_shown_and_the_rest_is_counted(tw, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [Problem("E203", Where("my.jsonl", i), {"field": f"answer {i}", "row": i}) for i in range(1, 401)]

    def fail() -> None:
        raise errors_of([*problems, Problem("E216", values={"count": 400, "rows": 500})])

    monkeypatch.setattr(api, "environment", fail)
    shown = tw("env")
    assert shown.err.count("error E203") == 20
    assert "... and 380 more with E203; all of them: tunewright data check FILE --json" in shown.err
    assert shown.err.count("leave such rows out, counted: --skip-bad") == 1
    assert "400 errors in my.jsonl." in shown.err
    assert shown.code == 4


def test_what_many_rows_say_is_said_once_with_their_lines(tw, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [Problem("E203", Where("my.jsonl", i), {"field": "answer", "row": i}) for i in range(1, 401)]
    other = Problem("E203", Where("my.jsonl", 7), {"field": "prompt", "row": 7})
    monkeypatch.setattr(api, "environment", lambda: (_ for _ in ()).throw(errors_of([*problems, other])))
    shown = tw("env").err
    assert shown.count("error E203") == 2
    assert "my.jsonl:1  the answer is empty   and 399 more rows (lines 2, 3, 4, 5, 6, 7, 8, 9, ...)" in shown
    assert "my.jsonl:7  the prompt is empty" in shown
    assert "401 errors in my.jsonl." in shown


def test_text_from_outside_cannot_steer_the_terminal(tw, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "train: \x1b[2Jx"
    problem = Problem(
        "E102", Where("my\x1b[31m.yaml", 1, 1, source, 5), {"key": "\x1b[2J", "section": "train", "suggestion": "r"}
    )
    monkeypatch.setattr(api, "environment", lambda: (_ for _ in ()).throw(errors_of([problem])))
    assert "\x1b" not in tw("env").err


def test_ctrl_c_ends_with_130(tw, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "environment", interrupt)
    assert tw("env").code == 130


def test_json_stays_english_whatever_is_spoken(tw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWRIGHT_LANG", "zh")
    languages: list[str] = []
    monkeypatch.setattr(
        api, "environment", lambda: languages.append(language()) or {"schema": 1, "versions": {}, "machine": {}}
    )
    tw("env", "--json")
    tw("env")
    assert languages == ["en", "zh"]
