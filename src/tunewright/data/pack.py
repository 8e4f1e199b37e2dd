"""Rows to micro-batches of about one size, by length, so that little of the work is padding."""

from collections.abc import Sequence


def micro_batches(lengths: Sequence[int], max_tokens: int, *, same_length: bool = False) -> list[list[int]]:
    """Positions of rows grouped by length so that rows x longest of a group stays within `max_tokens`.

    A row longer than that stands alone. Long groups come first: the peak of memory shows at once. With `same_length` all
    rows of a group have one length, for models that cannot tell padding from text.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    groups: list[list[int]] = []
    for i in order:
        longest = lengths[groups[-1][0]] if groups else 0
        if groups and (len(groups[-1]) + 1) * longest <= max_tokens and not (same_length and lengths[i] != longest):
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
