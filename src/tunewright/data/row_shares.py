"""How often each row of a source is trained on. The one rule of mixing:

- `rows: N` takes N of the source's sound rows, all of them if it has no more.
- `weight: W` makes each row count W times: whole times for every row, and once more for a share of them that is the rest of
  W. So 0.3 takes three rows of ten, 2 takes each twice, 2.5 each twice and half of them a third time. A file's part in the
  training is its number of rows times its weight.

Which rows are drawn depends on the seed and on the places of the rows alone: an edited row changes no other, and rows that
are appended move few.
"""

import random
from dataclasses import dataclass, field

from tunewright.data.train_eval_split import RowSource


@dataclass(frozen=True)
class RowShare:
    """Of a source: how often each row is trained on, and the places (from 0) of those that are once more."""

    each: int = 1
    once_more: frozenset[int] = field(default_factory=frozenset)

    def times(self, place: int) -> int:
        """How often the row at this place among the sound ones is trained on; 0 if it is left out."""
        return self.each + (place in self.once_more)


ALL = RowShare()


def is_whole(source: RowSource) -> bool:
    """Whether every row of a source is trained on once."""
    return source.rows is None and source.weight == 1


def share_of(source: RowSource, num_rows: int, seed: int) -> RowShare:
    """The share of a source with so many sound rows."""
    if source.rows is not None:
        each, count = 0, min(source.rows, num_rows)
    else:
        each = int(source.weight)
        count = round((source.weight - each) * num_rows)
    # Python keeps what `random` draws from a seed the same over its versions; of `sample` it does not say so.
    draw = random.Random(seed).random
    draws = [draw() for _ in range(num_rows)] if count else []
    return RowShare(each, frozenset(sorted(range(len(draws)), key=draws.__getitem__)[:count]))
