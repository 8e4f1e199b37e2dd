"""Rows to micro-batches of about one size, by length, so that little of the work is padding."""

from collections.abc import Sequence


def micro_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Positions of rows grouped by length so that rows x longest of a group stays within `max_tokens`.

    A row longer than that stands alone. Long groups come first: the peak of memory shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    groups: list[list[int]] = []
    for i in order:
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= max_tokens:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
