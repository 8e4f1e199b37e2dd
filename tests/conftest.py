"""Every test has a home of its own, speaks English, and reaches no network but this machine's."""

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any

import pytest

import tunewright
from tunewright.planning import fast_paths

SOURCE = Path(tunewright.__file__).parent.parent
LEFT_BEHIND = (
    "TUNEWRIGHT_DEBUG",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "LC_ALL",
    "LC_MESSAGES",
    "HF_HUB_OFFLINE",
    "HF_ENDPOINT",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--plain", action="store_true", help="run with every fast path switched off")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --plain the tests of the fast paths themselves are left out."""
    if config.getoption("--plain"):
        left_out = [item for item in items if item.get_closest_marker("fast_paths")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def _plain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.config.getoption("--plain"):
        monkeypatch.setattr(fast_paths, "PATHS", {})


@pytest.fixture(scope="session")
def tried_tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is known of tokenizers that held, for all tests: to try one takes a process and a second."""
    return tmp_path_factory.mktemp("tried")


@pytest.fixture(autouse=True)
def _own_home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tried_tokenizers: Path
) -> None:
    """Caches, models and settings of the person who runs the tests are neither seen nor changed."""
    home = tmp_path_factory.mktemp("home")
    (home / "tunewright").mkdir()
    (home / "tunewright" / "tried").symlink_to(tried_tokenizers)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(home / "tunewright"))
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("TUNEWRIGHT_LANG", "en")
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))  # fresh processes find the package from any folder
    for name in LEFT_BEHIND:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave this machine in no test; names are not even looked up."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not _is_loopback(address[0]):
            raise ConnectionRefusedError(f"a test wanted to reach {address}")
        connect(self, address)

    def guarded_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        if not _is_loopback(host):
            raise socket.gaierror(f"a test wanted to look up {host}")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


def _is_loopback(host: Any) -> bool:
    text = host.decode() if isinstance(host, bytes) else host
    if text in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


@pytest.fixture
def home() -> Path:
    """TUNEWRIGHT_HOME of this test."""
    folder = Path(os.environ["TUNEWRIGHT_HOME"])
    folder.mkdir(parents=True, exist_ok=True)
    return folder
