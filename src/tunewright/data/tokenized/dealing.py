"""Dealing the rows of a step to those who compute it."""

from collections.abc import Sequence


def deal(costs: Sequence[float], parts: int) -> list[list[int]]:
    """Positions in parts of about the same cost: the dearest first, each to the part that has least so far.

    Ties go to the lower number, so that everybody deals alike. Positions of a part keep their order. Greedy dealing by
    length fills parts to 98 % and more of the fullest where rows are many and of all lengths.
    """
    dealt: list[list[int]] = [[] for _ in range(parts)]
    loads = [0.0] * parts
    for position in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        part = min(range(parts), key=lambda number: (loads[number], number))
        dealt[part].append(position)
        loads[part] += costs[position]
    return [sorted(part) for part in dealt]
