"""What a disk that is really full, or really only read, does to each verb and to the parent of a run (inside_small_disk.py)."""

import pytest

from tests.small_disk import run_inside

pytestmark = pytest.mark.processes


def test_on_a_small_disk() -> None:
    run_inside("tests/unit/cli/inside_small_disk.py")
