"""The order of very many rows, computed place by place from a key: no list of all rows is drawn, kept or skipped through.

A Feistel network permutes the numbers below a power of four that is no smaller than the number of rows; what comes out beyond
the rows goes through it again until it does not (cycle walking). Source: Black and Rogaway, Ciphers with Arbitrary Finite
Domains, 2002. Its rounds mix by multiplication, not by a cipher: an order needs no secrecy.
"""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

ROUNDS = 6
PLACES_AT_ONCE = 4096
_MASK31 = 2**31 - 1


class KeyedPermutation:
    """A bijection of the numbers below `size`; of the same key always the same one."""

    def __init__(self, size: int, key: str) -> None:
        assert 0 < size < 2**60
        self.size = size
        self._bits = max(1, ((size - 1).bit_length() + 1) // 2)  # of each half
        digest = hashlib.shake_256(key.encode()).digest(ROUNDS * 12)
        numbers = [int.from_bytes(digest[start : start + 4]) & _MASK31 for start in range(0, len(digest), 4)]
        self._keys = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))

    def __call__(self, places_N: Tensor) -> Tensor:
        """What comes at these places."""
        rows_N = self._once(places_N)
        while (outside := rows_N >= self.size).any():
            rows_N = torch.where(outside, self._once(rows_N), rows_N)
        return rows_N

    def _once(self, numbers_N: Tensor) -> Tensor:
        mask = (1 << self._bits) - 1
        left, right = numbers_N >> self._bits, numbers_N & mask
        for first, second, third in self._keys:
            # Products of 31 bits each, so that nothing overflows and every device computes the same.
            mixed = (right & _MASK31) * (first | 1) + second
            mixed = ((mixed >> 13) & _MASK31) * (third | 1)
            left, right = right, left ^ ((mixed >> 17) & mask)
        return (left << self._bits) | right


class KeyedOrder(Sampler[int]):
    """All rows once in each epoch, in another order each time."""

    def __init__(self, num_rows: int, seed: int) -> None:
        self._num_rows, self._seed, self._epoch = num_rows, seed, 0

    def __len__(self) -> int:
        return self._num_rows

    def set_epoch(self, epoch: int) -> None:
        """accelerate says which one comes next."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = KeyedPermutation(self._num_rows, f"{self._seed}/{self._epoch}")
        for start in range(0, self._num_rows, PLACES_AT_ONCE):
            yield from order(torch.arange(start, min(start + PLACES_AT_ONCE, self._num_rows))).tolist()
