"""Reporters: parts of a work add up, and a worker's reports are events."""

import pytest

from tests.collecting_reporter import CollectingReporter
from tunewright.reporting import PartReporter


def test_parts_count_in_the_units_of_the_whole() -> None:
    whole = CollectingReporter()
    read = PartReporter(whole, start=0, size=10, total=40)
    answer = PartReporter(whole, start=10, size=30, total=40)
    read.progress(5, 10)
    answer.progress(1, 10)
    answer.progress(10, 10)
    answer.note("slow")
    assert whole.steps == [(5, 40), (13, 40), (40, 40)]
    assert whole.notes == ["slow"]


@pytest.mark.parametrize(("size", "expected"), [(8, (4, 20)), (0, (0, 20))])
def test_a_part_scales_what_it_is_told(size: int, expected: tuple[int, int]) -> None:
    whole = CollectingReporter()
    PartReporter(whole, start=0, size=size, total=20).progress(1, 2)
    assert whole.steps == [expected]


def test_a_part_without_units_stays_at_its_start() -> None:
    whole = CollectingReporter()
    PartReporter(whole, start=3, size=0, total=20).progress(0, 0)
    assert whole.steps == [(3, 20)]
