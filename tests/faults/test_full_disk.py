"""Runs on a disk that is really full (inside_small_disk.py)."""

import pytest

from tests.small_disk import run_inside

FILE = "tests/faults/inside_small_disk.py"


def test_runs_on_a_small_disk() -> None:
    run_inside(FILE)


@pytest.mark.slow
def test_runs_on_a_disk_that_is_filled_at_other_moments() -> None:
    run_inside(FILE, "-m", "slow")
