"""Codes: each is used, documented, pickles, formats without its values, and belongs to a class with an exit code."""

import pickle
import re
import string
from pathlib import Path

import pytest

from tunewright.errors import FAMILIES, Problem, TunewrightError, Where, exit_codes
from tunewright.errors.catalogue import load_catalogue

ROOT = Path(__file__).parent.parent.parent
SOURCES = [path.read_text(encoding="utf-8") for path in (ROOT / "src/tunewright").rglob("*.py")]
EXIT_CODES = {value for name, value in vars(exit_codes).items() if name.startswith("EXIT_")}


def placeholders(text: str) -> set[str]:
    return {name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name}


def values_of(code: str) -> dict[str, str]:
    entry = load_catalogue()[code]
    return {name: name.upper() for text in (entry.sentence, *entry.fixes) for name in placeholders(text)}


@pytest.mark.parametrize("code", load_catalogue())
def test_an_entry_has_its_parts(code: str) -> None:
    entry = load_catalogue()[code]
    assert entry.sentence and entry.cause
    assert all(entry.fixes)
    assert entry.exit_code in EXIT_CODES
    assert not entry.is_note or code.startswith("W")
    if entry.singular:
        assert "count" in placeholders(entry.sentence)
        assert placeholders(entry.singular) <= placeholders(entry.sentence)


@pytest.mark.parametrize("code", load_catalogue())
def test_a_code_is_whole(code: str) -> None:
    problem = Problem(code, Where("f.jsonl", 3), values_of(code))
    assert problem.message()
    assert problem.to_json()["where"] == {"file": "f.jsonl", "line": 3}
    assert Problem.from_record(problem.to_record()) == problem
    assert f"## {code}" in (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    assert any(code in source for source in SOURCES), "nothing raises it"
    if code.startswith("E"):
        error = FAMILIES[code[:2]]([problem])
        assert error.exit_code != exit_codes.EXIT_OK
        copy = pickle.loads(pickle.dumps(error))
        assert isinstance(copy, TunewrightError)
        assert copy.problems == error.problems


def test_every_code_in_the_source_is_in_the_catalogue() -> None:
    used = {code for source in SOURCES for code in re.findall(r'"([EWD]\d{3})"', source)}
    assert used <= set(load_catalogue())
