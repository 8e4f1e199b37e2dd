"""Duplicates, conflicts, leaks, and a split that never leaks."""

import os
import random
import subprocess
import sys
from collections import Counter

import pytest

from tunewright.data import deduplication
from tunewright.data.deduplication import MAX_HELD_OUT_ROWS, RowHashes, held_out
from tunewright.data.examples.formats import Example, Message


def pair(number: int, prompt: str, answer: str) -> Example:
    return Example(number, "f", number, (Message("user", prompt), Message("assistant", answer)))


def text(number: int, content: str) -> Example:
    return Example(number, "f", number, text=content)


def duplicates(rows: list[Example]) -> list[int]:
    return deduplication.duplicates(RowHashes(rows))


def conflicts(rows: list[Example]) -> list[int]:
    return deduplication.conflicts(RowHashes(rows))


def leaks(train: list[Example], tests: list[Example]) -> list[int]:
    return deduplication.leaks(RowHashes(train), RowHashes(tests))


def split(rows: list[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    places = held_out(RowHashes(rows), share, seed)
    return [e for i, e in enumerate(rows) if i not in places], [e for i, e in enumerate(rows) if i in places]


def numbers(examples: list[Example]) -> list[int]:
    return [example.number for example in examples]


def test_duplicates_are_equal_but_for_white_space_and_character_width() -> None:
    rows = [pair(1, "Hello you", "１２"), pair(2, "Hello \n you ", "12"), pair(3, "hello you", "12"), text(4, "Hello")]
    assert duplicates(rows) == [2]


def test_every_later_duplicate_is_named() -> None:
    assert duplicates([text(1, "a"), text(5, "a"), text(7, "b"), text(9, "a")]) == [5, 9]


def test_turns_that_join_to_the_same_text_are_not_duplicates() -> None:
    system = Example(3, "f", 3, (Message("system", "a"), Message("assistant", "b c")))
    assert duplicates([pair(1, "a", "b c"), pair(2, "a b", "c"), system]) == []


def test_conflicts_ask_the_same_and_answer_differently() -> None:
    rows = [pair(1, "q", "a"), pair(2, "q ", "a"), pair(3, "q", "b"), pair(4, "q", "a"), pair(5, "other", "b")]
    assert conflicts(rows) == [3, 4]
    assert conflicts([text(1, "a"), text(2, "b")]) == []


def test_leaks_name_the_held_out_rows() -> None:
    train = [pair(1, "q", "a"), pair(2, "r", "a")]
    assert leaks(train, [pair(1, "q", "b"), pair(2, "r", "a "), pair(3, "s", "a")]) == [2]


@pytest.mark.parametrize("seed", range(8))
def test_a_split_loses_nothing_keeps_order_and_never_leaks(seed: int) -> None:
    rng = random.Random(seed)
    rows = [pair(n, f"q{rng.randrange(60)}", rng.choice("ab")) for n in range(1, rng.randrange(3, 200))]
    share = rng.uniform(0.01, 0.6)
    train, tests = split(rows, share, seed)
    assert Counter(numbers(train) + numbers(tests)) == Counter(numbers(rows))
    assert numbers(train) == sorted(numbers(train))
    assert numbers(tests) == sorted(numbers(tests))
    assert leaks(train, tests) == []
    assert train
    assert 1 <= len(tests) <= max(round(len(rows) * share), 1) + 6


def test_a_split_holds_out_the_share_of_distinct_rows() -> None:
    train, tests = split([text(n, f"row {n}") for n in range(200)], 0.1, 0)
    assert (len(train), len(tests)) == (180, 20)


@pytest.mark.parametrize(
    ("contents", "share", "sizes"),
    [
        ([], 0.1, (0, 0)),
        (["a"], 0.5, (1, 0)),
        (["a", "a", "a"], 0.5, (3, 0)),
        (["a", "b"], 0.01, (1, 1)),
        (["a", "b"], 1.0, (1, 1)),
        (["a", "a", "b", "b", "b"], 0.1, (3, 2)),
        (["a", "b", "c"], 0.0, (3, 0)),
    ],
)
def test_small_splits(contents: list[str], share: float, sizes: tuple[int, int]) -> None:
    train, tests = split([text(n, content) for n, content in enumerate(contents)], share, 0)
    assert (len(train), len(tests)) == sizes


def test_no_more_than_1000_rows_are_held_out() -> None:
    _train, tests = split([text(n, str(n)) for n in range(5000)], 0.5, 0)
    assert len(tests) == MAX_HELD_OUT_ROWS == 1000


def test_another_seed_gives_another_split_and_a_new_row_moves_few() -> None:
    rows = [text(n, f"row {n}") for n in range(400)]
    first = set(numbers(split(rows, 0.1, 1)[1]))
    assert first != set(numbers(split(rows, 0.1, 2)[1]))
    assert len(first - set(numbers(split([*rows, text(400, "new")], 0.1, 1)[1]))) <= 1


def test_a_split_does_not_depend_on_the_hash_seed() -> None:
    script = (
        "from tunewright.data.examples.formats import Example; from tunewright.data.deduplication import RowHashes, held_out;"
        "print(sorted(held_out(RowHashes(Example(n, 'f', n, text=f'row {n}') for n in range(50)), 0.2, 7)))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    here = numbers(split([text(n, f"row {n}") for n in range(50)], 0.2, 7)[1])
    assert runs == [f"{here}\n"] * 2


def labelled(number: int, content: str, label: str | tuple[str, ...] | float, second: str = "") -> Example:
    return Example(number, "f", number, text=content, pair=second, target=label)


def tagged(number: int, words: str, tags: str) -> Example:
    return Example(number, "f", number, words=tuple(words.split()), tags=tuple(tags.split()))


def test_rows_with_labels_are_equal_in_text_pair_and_label() -> None:
    rows = [
        labelled(1, "a", "x"), labelled(2, "a ", "x"), labelled(3, "a", "y"), labelled(4, "a", "x", "b"),
        labelled(5, "a", ("x",)), labelled(6, "a", 0.0), labelled(7, "a", 0.0), labelled(8, "b", "x", "a"),
        tagged(9, "a b", "X Y"), tagged(10, "a b", "X Y"), tagged(11, "a b", "X Z"), tagged(12, "a", "X"),
    ]  # fmt: skip
    assert duplicates(rows) == [2, 7, 10]
    assert conflicts(rows[:4]) == [3]
    assert conflicts(rows[8:]) == [11]
    assert leaks(rows[:1], rows[1:4]) == [2]


@pytest.mark.parametrize("seed", range(5))
def test_a_split_never_holds_out_the_last_row_of_a_label(seed: int) -> None:
    rng = random.Random(seed)
    rows = [labelled(n, f"t{n}", rng.choice("aaaaaabbc")) for n in range(30)]
    rows += [tagged(100 + n, f"w{n} v", f"{rng.choice('XYZ')} O") for n in range(12)]
    train, tests = split(rows, rng.uniform(0.1, 0.9), seed)
    assert tests
    assert {e.target for e in train} == {e.target for e in rows}
    assert {tag for e in train for tag in e.tags} == {tag for e in rows for tag in e.tags}


def test_nothing_is_held_out_where_each_label_has_one_row() -> None:
    rows = [labelled(n, "t", label) for n, label in enumerate("abc")]
    assert split(rows, 0.5, 0) == (rows, [])


@pytest.mark.parametrize("seed", range(5))
def test_of_many_rows_a_part_of_the_draw_gives_what_the_whole_draw_gives(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    rows = RowHashes([pair(n, f"q{rng.randrange(900)}", "a") for n in range(1500)])
    tags = RowHashes([tagged(n, f"w{n}", rng.choice("XXXXYZ")) for n in range(1500)])
    of_a_part = [held_out(each, 0.02, seed) for each in (rows, tags)]
    monkeypatch.setattr(deduplication, "DRAWN", 10**6)
    assert [held_out(each, 0.02, seed) for each in (rows, tags)] == of_a_part
    assert len(of_a_part[0]) == 30
