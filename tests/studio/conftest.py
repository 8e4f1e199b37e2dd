"""The studio without a server: its application, asked as a browser asks, in a folder of its own with runs made of files."""

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.shop import held as held
from tests.shop import run as run
from tests.unit.planning.conftest import facts as facts
from tests.unit.report.conftest import classified as classified
from tests.unit.report.conftest import estimated as estimated
from tests.unit.report.conftest import finished as finished
from tests.unit.report.conftest import start as start
from tests.unit.report.conftest import tagged as tagged
from tests.unit.report.conftest import translated as translated
from tunewright.studio import app
from tunewright.studio.guard import Keys

PORT = 8686
ORIGIN = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `runs` of the folder that the studio is started in: where the fixtures of the report put their runs."""
    runs = tmp_path / "runs"
    runs.mkdir()
    monkeypatch.chdir(tmp_path)
    return runs


@pytest.fixture
def keys() -> Keys:
    return Keys(b"k" * 32, PORT)


@pytest.fixture
def browsing(tmp_path: Path, keys: Keys) -> Callable[..., TestClient]:
    """Makes browsers of one server, which have its cookie: `browsing("zh")`."""
    application = app.build(keys)

    def browser(language: str = "en") -> TestClient:
        client = TestClient(application, base_url=ORIGIN, headers={"origin": ORIGIN, "accept-language": language})
        client.cookies.set(keys.cookie_name, keys.cookie, domain="127.0.0.1")
        return client

    return browser


@pytest.fixture
def browser(browsing: Callable[..., TestClient]) -> TestClient:
    """A browser that reads English."""
    return browsing()
