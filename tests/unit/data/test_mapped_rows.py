"""Encoded rows in files: what goes in comes out, in few bytes, and what does not hold is named."""

import random
from collections import Counter
from pathlib import Path

import pytest

from tunewright.data.row_tally import NumberedRows, SortedCounts
from tunewright.data.tokenized import mapped_rows
from tunewright.data.tokenized.mapped_rows import DamagedRows, RowWriter, open_rows
from tunewright.data.tokenized.tokenized_cache import BlockBuilder, dump, parse
from tunewright.data.tokenized.tokenized_example import IGNORED, TokenizedExample
from tunewright.errors import Problem, Where


@pytest.fixture(autouse=True, params=[0, 2**26], ids=["mapped", "read"])
def _mapped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_rows, "MAPPED_FROM_BYTES", request.param)


def conversation(number: int, length: int, *, vocabulary: int = 50_000, turns: int = 1) -> TokenizedExample:
    draw = random.Random(number)
    ids = [draw.randrange(vocabulary) for _ in range(length)]
    in_loss = [i * 2 * turns // length % 2 == 1 for i in range(length)]
    labels = [token if learned else IGNORED for token, learned in zip(ids, in_loss, strict=True)]
    return TokenizedExample(number, ids, labels, length // 2, length + 3, number % 2 == 0, frozenset({"thinking"}))


def written(folder: Path, rows: list[TokenizedExample]) -> list[Path]:
    writer = RowWriter(folder, "train", lambda path, content: path.write_bytes(content) and None)
    writer.extend(rows)
    writer.close()
    return [folder / name for name in writer.digests]


def test_rows_come_back_from_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_rows, "MOST_ROWS", 7)
    rows = [conversation(number, 9 + number, turns=1 + number % 3) for number in range(23)]
    paths = written(tmp_path, rows)
    mapped = open_rows(paths)
    assert [path.name for path in paths] == [f"train-{number:05}.rows" for number in range(4)]
    assert list(mapped) == rows and [row.notes for row in mapped] == [row.notes for row in rows]
    assert (mapped[-1], mapped[6:9], len(mapped)) == (rows[-1], rows[6:9], 23)
    assert list(mapped.full_lengths()) == [row.full_length for row in rows]
    with pytest.raises(IndexError):
        mapped[23]


def test_no_rows_are_a_file_too(tmp_path: Path) -> None:
    assert list(open_rows(written(tmp_path, []))) == []


@pytest.mark.parametrize(("vocabulary", "most"), [(50_000, 3), (150_000, 5)])
def test_a_token_takes_few_bytes(vocabulary: int, most: float) -> None:
    rows = [conversation(number, 45, vocabulary=vocabulary) for number in range(1000)]
    assert len(dump(rows)) / sum(len(row.input_ids) for row in rows) < most


ODD = [
    [1, 2, 3], [IGNORED, 2, 3], [1, IGNORED, 3], [IGNORED, 2, IGNORED], [IGNORED] * 3, [3, 2, 1], [9, IGNORED, 3], [70_000, 0, -5],
    [0.5, 1.0, 2.0], [1.0, 2.0, 3.0], [7], [], [1, 0, 1, 1],
]  # fmt: skip


@pytest.mark.parametrize("labels", ODD, ids=str)
@pytest.mark.parametrize("first", [[1, 2, 3], [IGNORED, 2, 3], [5]], ids=str)
def test_labels_of_every_kind_come_back(first: list[int], labels: list[float]) -> None:
    rows = [TokenizedExample(1, [1, 2, 3], first, 1, 3), TokenizedExample(2, [1, 2, 3], labels, 1, 3)]  # type: ignore[arg-type]
    back = list(parse(dump(rows)) or [])
    assert back == rows
    if any(isinstance(label, float) for label in labels):
        assert all(isinstance(label, float) for label in back[1].labels)


def test_problems_lie_beside_the_rows() -> None:
    problem = Problem("E219", Where("a.jsonl", 7), {"row": 7, "reason": "no"})
    stored = parse(dump([], "k", [problem]), "k")
    assert stored is not None and stored.problems == [problem] and list(stored) == []


@pytest.mark.parametrize("harm", ["cut", "changed", "gone", "empty", "other"])
def test_a_file_that_does_not_hold_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    monkeypatch.setattr(mapped_rows, "MOST_ROWS", 5)
    paths = written(tmp_path, [conversation(number, 20) for number in range(12)])
    content = paths[1].read_bytes()
    if harm == "gone":
        paths[1].unlink()
    else:
        other = content[:-1] + bytes([content[-9] ^ 1]) if harm == "changed" else b"" if harm == "empty" else b"{}\n"
        paths[1].write_bytes(content[:-8] if harm == "cut" else other)
    with pytest.raises(DamagedRows, match=r"^train-00001\.rows$"):
        open_rows(paths)


def test_of_many_bytes_some_files_are_checked_and_all_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_rows, "MOST_ROWS", 2)
    paths = written(tmp_path, [conversation(number, 20) for number in range(20)])
    monkeypatch.setattr(mapped_rows, "CHECKED_BYTES", 3 * paths[0].stat().st_size)
    content = bytearray(paths[1].read_bytes())
    content[-9] ^= 1
    paths[1].write_bytes(content)
    assert len(open_rows(paths)) == 20
    with pytest.raises(DamagedRows, match="train-00001"):
        open_rows(paths, checks_all=True)
    paths[1].write_bytes(content[:-8])  # sizes are always compared
    with pytest.raises(DamagedRows, match="train-00001"):
        open_rows(paths)


def test_a_file_that_is_replaced_stays_as_it_was_for_who_has_it(tmp_path: Path) -> None:
    rows = [conversation(number, 20) for number in range(5)]
    (path,) = written(tmp_path, rows)
    mapped = open_rows([path])
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    other.replace(path)
    assert list(mapped) == rows


def test_a_builder_takes_rows_one_by_one() -> None:
    builder = BlockBuilder()
    rows = [conversation(1, 10), TokenizedExample(2, [1, 2], [7], 1, 2), conversation(3, 4)]
    builder.extend(rows)
    assert (len(builder), builder.num_tokens) == (3, 16)
    assert list(parse(builder.block()) or []) == rows


def test_counts_stand_for_the_sorted_values() -> None:
    values = [5, 3, 3, 9, 3, 7, 7]
    counted = SortedCounts(Counter(values))
    assert list(counted) == sorted(values) and counted[-1] == 9 and counted[1:3] == [3, 3]
    with pytest.raises(IndexError):
        counted[7]


def test_of_many_numbers_the_smallest_are_kept() -> None:
    rows = NumberedRows(reversed(range(5000)))
    assert (rows.count, rows.smallest()) == (5000, list(range(1000)))
