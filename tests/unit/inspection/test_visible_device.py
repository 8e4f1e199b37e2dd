"""A process sees one accelerator: the one that is asked for, counted among those that are visible already."""

import pytest

from tunewright.inspection.visible_device import visible_device

VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_the_first_unless_asked() -> None:
    assert visible_device() == {"CUDA_VISIBLE_DEVICES": "0", "ZE_AFFINITY_MASK": "0"}
    assert visible_device(2) == {"CUDA_VISIBLE_DEVICES": "2", "ZE_AFFINITY_MASK": "2"}


@pytest.mark.parametrize(
    ("visible", "index", "chosen"),
    [("3,5", 0, "3"), ("3, 5", 1, "5"), ("GPU-a,GPU-b", 1, "GPU-b"), ("3,5", 2, "-1"), ("", 0, ""), ("", 1, "-1")],
)
def test_counted_among_those_visible(monkeypatch: pytest.MonkeyPatch, visible: str, index: int, chosen: str) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, visible)
        assert visible_device(index)[name] == chosen


def test_what_a_parent_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in visible_device(3).items():
        monkeypatch.setenv(name, value)
    assert visible_device()["CUDA_VISIBLE_DEVICES"] == "3"
