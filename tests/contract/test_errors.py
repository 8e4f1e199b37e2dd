"""Codes: each is used, documented, pickles, formats without its values, and belongs to a class with an exit code."""

import pickle
import re
import string
from pathlib import Path

import pytest

from tunewright.errors import FAMILIES, Problem, TunewrightError, Where
from tunewright.errors.catalogue import CATALOGUE
from tunewright.errors.catalogue.codes import EXIT_OK

ROOT = Path(__file__).parent.parent.parent
SOURCES = [p.read_text(encoding="utf-8") for p in (ROOT / "src/tunewright").rglob("*.py") if "catalogue" not in p.parts]


def values_of(code: str) -> dict[str, str]:
    entry = CATALOGUE[code]
    return {
        name: name.upper()
        for text in (entry.sentence, *entry.fixes)
        for _, name, _, _ in string.Formatter().parse(text)
        if name
    }


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_code_is_whole(code: str) -> None:
    problem = Problem(code, Where("f.jsonl", 3), values_of(code))
    assert problem.message()
    assert problem.to_json()["where"] == {"file": "f.jsonl", "line": 3}
    assert Problem.from_record(problem.to_record()) == problem
    assert f"## {code}" in (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    assert any(code in source for source in SOURCES), "nothing raises it"
    if code.startswith("E"):
        fault = FAMILIES[code[:2]]([problem])
        assert fault.exit_code != EXIT_OK
        again = pickle.loads(pickle.dumps(fault))
        assert isinstance(again, TunewrightError)
        assert again.problems == fault.problems


def test_every_code_that_is_raised_stands_in_the_catalogue() -> None:
    used = {code for source in SOURCES for code in re.findall(r'"([EWD]\d{3})"', source)}
    assert used <= set(CATALOGUE)
