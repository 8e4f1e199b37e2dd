"""Runs on a disk that is really full (inside_small_disk.py)."""

from tests.small_disk import run_inside


def test_runs_on_a_small_disk() -> None:
    run_inside("tests/faults/inside_small_disk.py")
