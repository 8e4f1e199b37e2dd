"""Out of memory where a process can still report it: how that is recognized, and evaluation that continues in smaller batches."""

import errno
import gc
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import torch
from accelerate.utils.memory import should_reduce_batch_size

from tunewright.engine.system import device
from tunewright.engine.system.ranks import ALONE, Ranks
from tunewright.errors import Problem

logger = logging.getLogger(__name__)

RowGroup = Sequence[int]


def ran_out(fault: BaseException) -> bool:
    """True for the exceptions that mean that memory was refused: Python's, torch's on any device, the system's."""
    if isinstance(fault, OSError):
        return fault.errno == errno.ENOMEM
    is_plain = isinstance(fault, MemoryError | torch.OutOfMemoryError)
    return is_plain or (isinstance(fault, Exception) and should_reduce_batch_size(fault))


def reason_of(fault: BaseException) -> str:
    """An exception's first line, or its name where it has none."""
    return str(fault).splitlines()[0] if str(fault) else type(fault).__name__


def _to_log(problem: Problem) -> None:
    logger.warning("%s %s", problem.code, problem.message())


@dataclass
class BatchSizeBackoff:
    """How small the batches of an evaluation are, and whose. Each time memory runs out they are halved, for later evaluations
    too. Of the groups that `ranks` deals to this process.
    """

    report: Callable[[Problem], None] = _to_log
    halvings: int = 0
    ranks: Ranks = ALONE

    def beat(self) -> None:
        """Say that this process goes on evaluating, for others that wait for it."""
        self.ranks.beat("evaluate")

    def for_each(
        self, groups: Sequence[RowGroup], work: Callable[[RowGroup], None], *, is_one_pass: bool = True
    ) -> None:
        """Do `work` for all rows of the groups, in parts where memory does not suffice for a whole group.

        `work` counts a group when it is done with it, as it may be called again for its parts. Where processes share the base,
        all do all groups unless the work on each `is_one_pass` through the model.
        Raises: what `work` raises; of out-of-memory errors only that of a single row, or any where processes share the base, as
        the others would not make the passes of its parts.
        """
        parts = [part for group in groups for part in _parts(group, self.halvings)]
        is_dealt = is_one_pass or not self.ranks.share_base
        queue = deque(self.ranks.mine(parts, [float(len(part)) for part in parts]) if is_dealt else parts)
        while queue:
            self.beat()
            reason = _run_group(work, queue[0], may_be_parted=not self.ranks.share_base)
            if reason is None:
                queue.popleft()
                continue
            self.halvings += 1
            logger.info("out of memory with %d rows at once; the batches of evaluations are halved", len(queue[0]))
            queue = deque(part for group in queue for part in _parts(group, 1))
            self.report(Problem("D102", values={"reason": reason, "rows": len(queue[0])}))


def _run_group(work: Callable[[RowGroup], None], group: RowGroup, *, may_be_parted: bool) -> str | None:
    """None if the work was done; if memory ran out in it, the reason, after all that it held was freed."""
    try:
        work(group)
        return None
    except Exception as fault:
        if len(group) == 1 or not may_be_parted or not ran_out(fault):
            raise
        reason = reason_of(fault)
    gc.collect()  # the frames that the exception kept alive
    device.release_memory()
    return reason


def _parts(group: RowGroup, halvings: int) -> list[RowGroup]:
    """A group in parts of about the same size, halved this many times; parts of one row stay."""
    size = ceil(len(group) / 2**halvings)
    return [group[i : i + size] for i in range(0, len(group), size)]
