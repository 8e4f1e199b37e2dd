"""Rows to micro-batches: padded rows of similar length, or packed sequences without padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Ids = Sequence[int]
# A shorter shared prefix is not worth a document of its own.
SHORTEST_PREFIX = 8


def micro_batches(lengths: Sequence[int], max_tokens: int, *, same_length: bool = False) -> list[list[int]]:
    """Positions of rows grouped by length so that rows x longest of a group stays within `max_tokens`.

    A row longer than that is alone. Long groups come first: the peak of memory shows at once. With `same_length` all
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


@dataclass(frozen=True)
class SharedPrefix:
    """Rows, by position, that begin with the same `length` tokens (0: nothing that is worth sharing)."""

    length: int
    rows: tuple[int, ...]


def packs(rows: Sequence[Ids], may_share: Sequence[int], max_tokens: int) -> list[list[SharedPrefix]]:
    """Micro-batches of at most `max_tokens` tokens without padding; a row longer than that is alone.

    `may_share` says how many of its first tokens each row may have in common with others. A group that does not fit into
    what is left of a micro-batch goes on in the next one, which computes the shared prefix once more.
    """
    batches: list[list[SharedPrefix]] = []
    room = 0
    for group in sorted(shared_beginnings(rows, may_share), key=lambda g: -_size(g, rows)):
        members: list[int] = []
        for i in sorted(group.rows, key=lambda i: -len(rows[i])):
            cost = len(rows[i]) - group.length
            if not batches or room < cost + (0 if members else group.length):
                _close(batches, group.length, members)
                batches.append([])
                members, room = [], max_tokens
            room -= cost + (0 if members else group.length)
            members.append(i)
        _close(batches, group.length, members)
    return batches


def _close(batches: list[list[SharedPrefix]], length: int, rows: Sequence[int]) -> None:
    if rows:
        batches[-1].append(SharedPrefix(length if len(rows) > 1 else 0, tuple(rows)))


def _size(group: SharedPrefix, rows: Sequence[Ids]) -> int:
    return group.length + sum(len(rows[i]) - group.length for i in group.rows)


def shared_beginnings(rows: Sequence[Ids], may_share: Sequence[int]) -> list[SharedPrefix]:
    """The rows in groups with shared prefixes, chosen so that the fewest tokens are computed.

    In the order of their tokens, rows with a shared prefix are adjacent; a stretch of them is one group, or is cut
    where neighbours have the least in common, whichever saves more.
    """
    order = sorted(range(len(rows)), key=lambda i: tuple(rows[i][: may_share[i]]))
    common = [common_beginning(rows[i], rows[j], min(may_share[i], may_share[j])) for i, j in pairwise(order)]
    return _grouped(order, common)[1]


def _grouped(order: Sequence[int], common: Sequence[int]) -> tuple[int, list[SharedPrefix]]:
    """Tokens saved, and the groups of a stretch; `common` are the tokens that neighbours share."""
    if len(order) == 1:
        return 0, [SharedPrefix(0, tuple(order))]
    least = min(common)
    saved_as_one = (len(order) - 1) * least if least >= SHORTEST_PREFIX else 0
    groups: list[SharedPrefix] = []
    saved = start = 0
    for end in [*(i + 1 for i, tokens in enumerate(common) if tokens == least), len(order)]:
        part_saved, part = _grouped(order[start:end], common[start : end - 1])
        saved, groups, start = saved + part_saved, groups + part, end
    if saved_as_one and saved_as_one >= saved:
        return saved_as_one, [SharedPrefix(least, tuple(order))]
    return saved, _alone_together(groups)


def _alone_together(groups: list[SharedPrefix]) -> list[SharedPrefix]:
    """Rows that share nothing as one group, for brevity."""
    alone = tuple(i for group in groups if not group.length for i in group.rows)
    return [group for group in groups if group.length] + ([SharedPrefix(0, alone)] if alone else [])


def common_beginning(first: Ids, second: Ids, most: int) -> int:
    """How many of their first `most` tokens two rows have in common before they differ."""
    most = min(most, len(first), len(second))  # a prompt may be longer than what was left of its row
    return next((i for i in range(most) if first[i] != second[i]), most)
