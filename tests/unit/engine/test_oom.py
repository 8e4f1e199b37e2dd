"""Out of memory: how it is recognized, and how an evaluation continues in smaller batches."""

import mmap
from collections.abc import Callable, Sequence

import pytest
import torch

from tunewright.engine.system.oom import BatchSizeBackoff, ran_out, reason_of
from tunewright.engine.system.ranks import Ranks
from tunewright.errors import Problem

REFUSED = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8"
)


@pytest.mark.parametrize(
    "allocate",
    [lambda: torch.empty(2**55), lambda: bytearray(2**60), lambda: mmap.mmap(-1, 2**60)],
    ids=["torch", "python", "system"],
)
def test_memory_that_is_refused_is_recognized(allocate: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError, OSError)) as caught:
        allocate()
    assert ran_out(caught.value)


def test_memory_of_a_gpu_is_recognized_and_other_faults_are_not() -> None:
    assert ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert not any(map(ran_out, (RuntimeError("shapes differ"), FileNotFoundError(2, "x"), ValueError(REFUSED))))


def test_a_reason_is_the_first_line_or_the_name() -> None:
    assert reason_of(RuntimeError("first\nsecond")) == "first"
    assert reason_of(MemoryError()) == "MemoryError"


def test_groups_that_do_not_fit_are_halved_and_every_row_is_done_once() -> None:
    done: list[int] = []
    problems: list[Problem] = []

    def work(group: Sequence[int]) -> None:
        if len(group) > 2:
            raise RuntimeError(REFUSED)
        done.extend(group)

    backoff = BatchSizeBackoff(problems.append)
    backoff.for_each([range(7), range(7, 10)], work)
    assert done == list(range(10))
    assert [(problem.code, problem.values["rows"]) for problem in problems] == [("D102", 4), ("D102", 2)]
    backoff.for_each([range(8)], work)
    assert done[10:] == list(range(8))
    assert len(problems) == 2, "later evaluations begin with the smaller batches"


def test_a_backoff_begins_with_the_halvings_of_earlier_tries() -> None:
    groups: list[list[int]] = []
    BatchSizeBackoff(halvings=2).for_each([range(6)], lambda group: groups.append(list(group)))
    assert groups == [[0, 1], [2, 3], [4, 5]]


def test_a_row_that_does_not_fit_alone_is_raised_and_other_faults_pass() -> None:
    def refuse(group: Sequence[int]) -> None:
        raise MemoryError

    def fail(group: Sequence[int]) -> None:
        raise ValueError("no")

    with pytest.raises(MemoryError):
        BatchSizeBackoff(lambda problem: None).for_each([range(4)], refuse)
    with pytest.raises(ValueError, match="no"):
        BatchSizeBackoff(lambda problem: pytest.fail("halved")).for_each([range(4)], fail)


@pytest.mark.parametrize("num_groups", [1, 3, 4])
def test_processes_that_share_the_base_do_as_many_groups(num_groups: int) -> None:
    """Each group is done by somebody, and by nobody but the first more often than the dealing says."""
    groups = [range(i, i + 1) for i in range(num_groups)]
    done: list[list[int]] = []
    for rank in range(3):
        own: list[int] = []
        BatchSizeBackoff(ranks=Ranks(rank, 3, share_base=True)).for_each(groups, own.extend)
        done.append(own)
    assert len({len(own) for own in done}) == 1
    assert {i for own in done for i in own} == set(range(num_groups))
    together: list[int] = []
    backoff = BatchSizeBackoff(ranks=Ranks(1, 3, share_base=True))
    backoff.for_each(groups, together.extend, is_one_pass=False)
    assert together == list(range(num_groups))


def test_processes_that_share_the_base_do_not_part_a_group_alone() -> None:
    def refuse(group: Sequence[int]) -> None:
        raise MemoryError

    backoff = BatchSizeBackoff(lambda problem: pytest.fail("halved"), ranks=Ranks(0, 2, share_base=True))
    with pytest.raises(MemoryError):
        backoff.for_each([range(4)], refuse)
