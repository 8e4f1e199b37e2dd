"""Names of files of mended rows."""

import pytest

from tunewright.rundir.fixed_data import FIXES, names_for


@pytest.mark.parametrize(
    "paths",
    [
        ["d/rows-3.jsonl", "a/rows.jsonl", "b/rows.jsonl"],
        ["a/x.csv", "b/x.json", "x-2.csv"],
        ["fixes.csv", "fixes.tsv"],
        ["a/Rows.csv", "b/rows.csv", "Fixes.csv"],
    ],
)
def test_each_source_has_a_file_of_its_own(paths: list[str]) -> None:
    names = names_for(paths)
    assert len({name.casefold() for name in (*names, FIXES)}) == len(paths) + 1
