"""Rows to micro-batches without padding, and the beginnings that they share."""

import random

import pytest

from tunewright.data.tokenized.micro_batches import SHORTEST_PREFIX, SharedPrefix, packs, shared_beginnings


def rows_with(prefixes: list[list[int]], suffixes: list[int], seed: int = 0) -> list[list[int]]:
    draw = random.Random(seed)
    return [
        prefix + [draw.randrange(1000, 9000) for _ in range(n)] for prefix, n in zip(prefixes, suffixes, strict=True)
    ]


def computed(groups: list[SharedPrefix], rows: list[list[int]]) -> int:
    return sum(g.length + sum(len(rows[i]) - g.length for i in g.rows) for g in groups)


def test_every_row_stands_in_one_group_and_begins_as_the_group_says() -> None:
    draw = random.Random(1)
    system, tasks = [*range(30)], [[100 + n] * 40 for n in range(3)]
    rows = rows_with([system + draw.choice(tasks) for _ in range(40)], [draw.randrange(1, 60) for _ in range(40)])
    groups = shared_beginnings(rows, [len(row) - 1 for row in rows])
    assert sorted(i for g in groups for i in g.rows) == list(range(40))
    for g in groups:
        assert len({tuple(rows[i][: g.length]) for i in g.rows}) == 1 or g.length == 0


def test_what_saves_most_is_shared() -> None:
    """Three tasks behind one system line: the tasks are shared, as each saves more than the line alone."""
    system, tasks = [*range(30)], [[100 + n] * 40 for n in range(3)]
    rows = rows_with([system + tasks[n % 3] for n in range(30)], [9] * 30)
    groups = shared_beginnings(rows, [len(row) - 1 for row in rows])
    assert sorted(g.length for g in groups) == [70, 70, 70]
    # One row of each task: then the line alone is worth sharing.
    few = rows[:3]
    assert [g.length for g in shared_beginnings(few, [len(row) - 1 for row in few])] == [30]


def test_rows_without_a_common_beginning_are_left_alone() -> None:
    rows = rows_with([[n] for n in range(5)], [20] * 5)
    assert shared_beginnings(rows, [21] * 5) == [SharedPrefix(0, tuple(range(5)))]
    short = rows_with([[1] * (SHORTEST_PREFIX - 1)] * 4, [20] * 4)
    assert all(g.length == 0 for g in shared_beginnings(short, [20] * 4))


def test_nothing_is_shared_beyond_what_a_row_allows() -> None:
    rows = [[1] * 50 for _ in range(4)]
    assert [g.length for g in shared_beginnings(rows, [20] * 4)] == [20]
    assert [g.length for g in shared_beginnings(rows, [0] * 4)] == [0]


@pytest.mark.parametrize("budget", [1, 64, 200, 10_000])
def test_packs_hold_every_row_once_within_the_budget(budget: int) -> None:
    draw = random.Random(2)
    prefixes = [draw.choice([[7] * 25, [8] * 12, []]) for _ in range(30)]
    rows = rows_with(prefixes, [draw.randrange(2, 90) for _ in range(30)])
    batches = packs(rows, [len(row) - 1 for row in rows], budget)
    assert sorted(i for pack in batches for group in pack for i in group.rows) == list(range(30))
    for pack in batches:
        rows_in_it = sum(len(group.rows) for group in pack)
        assert computed(pack, rows) <= budget or rows_in_it == 1
    if budget == 10_000:
        assert len(batches) == 1
        assert computed(batches[0], rows) < sum(map(len, rows)) - 100


def test_rows_that_share_nothing_fill_the_budget() -> None:
    rows = rows_with([[]] * 16, [100] * 16)
    assert [len(pack[0].rows) for pack in packs(rows, [99] * 16, 400)] == [4, 4, 4, 4]
