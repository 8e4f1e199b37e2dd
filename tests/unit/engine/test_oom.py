"""Out of memory: how it is recognized, and how an evaluation continues in smaller batches."""

import mmap
from collections.abc import Callable, Sequence

import pytest
import torch

from tunewright.engine.system.oom import BatchSizeBackoff, ran_out, reason_of
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
