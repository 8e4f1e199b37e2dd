"""Sentences of the catalogue in the number of what they count."""

import pytest

from tunewright.cli import paste_commands
from tunewright.errors import Problem
from tunewright.errors.catalogue import load_catalogue
from tunewright.i18n import _, speaking

COUNTING = [code for code, entry in load_catalogue().items() if entry.singular]


@pytest.mark.parametrize(
    ("code", "values", "singular", "plural"),
    [
        ("W211", {}, "1 row is an exact duplicate of an earlier row", "2 rows are exact duplicates of earlier rows"),
        ("E216", {"rows": 9}, "1 of 9 rows is damaged", "2 of 9 rows are damaged"),
        ("W217", {"labels": "a"}, "1 label has one training example: a", "2 labels have one training example each: a"),
    ],
)
def test_a_count_of_one_is_told_in_the_singular(
    code: str, values: dict[str, object], singular: str, plural: str
) -> None:
    single, several = (Problem(code, values={**values, "count": count}) for count in (1, 2))
    assert (single.message(), several.message()) == (singular, plural)
    assert single.to_json()["message"] == singular


@pytest.mark.parametrize("code", COUNTING)
def test_chinese_says_both_alike(code: str) -> None:
    entry = load_catalogue()[code]
    assert "{count}" in entry.sentence
    with speaking("zh"):
        single, several = (_(text) for text in (entry.singular, entry.sentence))
    assert single == several
    assert single != entry.singular


def test_a_link_to_a_run_goes_alone_and_that_is_said(tw, make_run) -> None:
    run = make_run()
    link = run.path.with_name("linked")
    link.symlink_to(run.path)
    shown = tw("runs", "rm", "linked", "--yes")
    assert f"linked  only the link; the run stays in {paste_commands.shorten(run.path.resolve())}" in shown.err
    assert run.path.is_dir()
    assert not link.is_symlink()
