"""The keyed order: every row once, whatever their number; another order for another key; the same place by place."""

import pytest
import torch

from tunewright.engine.training.keyed_order import KeyedOrder, KeyedPermutation


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 16, 17, 1023, 1024, 4097, 65537])
def test_every_number_comes_once(size: int) -> None:
    order = KeyedPermutation(size, "7/0")(torch.arange(size))
    assert torch.equal(order.sort().values, torch.arange(size))


def test_a_place_is_computed_without_the_others() -> None:
    order = KeyedPermutation(1_000_003, "7/0")
    places = torch.tensor([0, 999_999, 17, 1_000_002])
    assert torch.equal(order(torch.arange(1_000_003))[places], order(places))


def test_numbers_far_beyond_what_is_there_stay_below_the_size() -> None:
    size = 10**11 + 3
    rows = KeyedPermutation(size, "7/0")(torch.arange(size - 1000, size))
    assert int(rows.min()) >= 0 and int(rows.max()) < size and len(rows.unique()) == 1000


def test_seed_and_epoch_are_the_key() -> None:
    order = KeyedOrder(501, seed=3)
    first = list(order)
    assert list(order) == first and sorted(first) == list(range(501)) and first != sorted(first)
    order.set_epoch(1)
    assert list(order) != first
    assert list(KeyedOrder(501, seed=4)) != first
    assert list(KeyedOrder(501, seed=3)) == first  # a contract: runs are resumed by it
    assert first[:5] == [161, 491, 304, 265, 44]


def test_neighbours_are_scattered() -> None:
    """The mean distance of neighbours, and the share of those that keep their order, are those of a random order."""
    size = 100_001
    rows = KeyedPermutation(size, "1/0")(torch.arange(size)).double()
    steps = rows.diff()
    assert float(steps.abs().mean()) / size == pytest.approx(1 / 3, abs=0.01)
    assert float((steps > 0).double().mean()) == pytest.approx(0.5, abs=0.01)
    assert abs(float(torch.corrcoef(torch.stack([rows, torch.arange(size).double()]))[0, 1])) < 0.01
