"""Files that are damaged all over, or very wide, cost no more than their size: what is read is counted, not timed."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tunewright.data import documents, scan
from tunewright.data.formats import Format, looks_like, sniff
from tunewright.data.read import RawRow, read_rows
from tunewright.errors import DataError

READ: Counter[str] = Counter()


class Counting(json.JSONDecoder):
    """Counts the decodings and the characters that lie in front of them, which Python looks at again for each error."""

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        READ["calls"] += 1
        try:
            return super().raw_decode(s, idx)
        except json.JSONDecodeError as fault:
            READ["looked at"] += fault.pos
            raise


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    READ.clear()
    monkeypatch.setattr(scan, "_STRICT", Counting(object_pairs_hook=scan._unique))
    for module in (scan, documents):
        monkeypatch.setattr(module, "LENIENT", Counting(strict=False))
    yield


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("line", ['{"a":[\n', '[\n{"a":\n'])
def test_brackets_that_never_close_are_given_up(tmp_path: Path, name: str, line: str) -> None:
    counts = []
    for times in (2_000, 20_000):
        (tmp_path / name).write_text(line * times)
        READ.clear()
        with pytest.raises(DataError, match="E217"):
            read_rows(str(tmp_path / name))
        counts.append(READ["calls"])
    assert counts[1] < 12 * counts[0]
    assert counts[1] < 20_000 / 10


@pytest.mark.parametrize("end", ["\n", " "])
def test_a_list_of_damaged_rows_is_read_once(tmp_path: Path, end: str) -> None:
    looked_at = []
    for times in (1_000, 4_000):
        (tmp_path / "a.json").write_text("[" + ('{"a": "x" "b"},' + end) * times)
        READ.clear()
        assert len(read_rows(str(tmp_path / "a.json")).problems) == times
        looked_at.append(READ["looked at"])
    assert looked_at[1] < 5 * looked_at[0]


class Name(str):
    """A name of a column that counts how often it is compared."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        READ["compared"] += 1
        return str.__eq__(self, other)


def test_a_header_of_thousands_of_columns_is_compared_once_with_each(tmp_path: Path) -> None:
    names = [Name(f"c{number}") for number in range(3_000)]
    rows = [RawRow(1, "a.jsonl", 1, dict.fromkeys(names, "x"))]
    with pytest.raises(DataError, match="E211") as caught:
        sniff(rows)
    assert looks_like(rows) is None
    Format("text", {"text": "t"}, tuple(names)).describe()
    assert READ["compared"] < 300 * len(names)
    assert len(caught.value.problems[0].message()) < 200


def test_a_wide_table_is_read(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w") as file:
        csv.writer(file).writerows([[f"c{n}" for n in range(20_000)], ["1"] * 20_000])
    (row,) = read_rows(str(tmp_path / "a.csv")).rows
    assert len(row.value) == 20_000
