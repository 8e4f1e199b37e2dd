"""The server as a process: bound to this machine alone, one for a folder, ended without a trace."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.processes
STARTED = re.compile(r"http://127\.0\.0\.1:(\d+)/\?code=\S+")
END_SECONDS = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path.parent


@pytest.fixture
def server(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = begin(folder)
    yield process
    process.kill()
    process.wait()


def begin(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tunewright", "studio", "--no-open", *(words or ("--port", "0"))]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def address_of(process: subprocess.Popen[str]) -> re.Match[str]:
    """The printed address."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := STARTED.search(line):
            return found
    assert process.stderr is not None
    raise AssertionError(process.stderr.read())


def visit(address: str, cookies: CookieJar | None = None) -> tuple[int, str]:
    """What a browser gets there that had no cookie before, redirections followed."""
    browser = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(CookieJar() if cookies is None else cookies)
    )
    for _try in range(100):
        try:
            with browser.open(address, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except (ConnectionError, urllib.error.URLError):
            time.sleep(0.05)
    raise AssertionError("nobody answers")


def test_the_address_opens_the_page_once(server: subprocess.Popen[str]) -> None:
    address = address_of(server)[0]
    assert visit(address)[0] == 200
    status, text = visit(address)
    assert status == 403 and "tunewright studio" in text


def test_it_listens_to_this_machine_alone(server: subprocess.Popen[str]) -> None:
    visit(address_of(server)[0])
    listening = [
        c.laddr.ip for c in psutil.Process(server.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


def test_a_second_one_in_the_folder_leads_to_the_first(server: subprocess.Popen[str], folder: Path) -> None:
    first = address_of(server)
    again = subprocess.run(
        [sys.executable, "-m", "tunewright", "studio", "--no-open"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert again.returncode == 0, again.stderr
    second = STARTED.search(again.stdout)
    assert second is not None and second[1] == first[1] and second[0] != first[0]
    assert visit(second[0])[0] == 200


def test_beside_a_damaged_record_a_second_one_serves_as_well(server: subprocess.Popen[str], folder: Path) -> None:
    address_of(server)
    (record,) = (Path(os.environ["TUNEWRIGHT_HOME"]) / "studio").glob("*.json")
    record.write_text("{")
    second = begin(folder)
    try:
        assert visit(address_of(second)[0])[0] == 200
    finally:
        second.kill()
        second.wait()


def test_a_killed_one_is_followed_by_another(server: subprocess.Popen[str], folder: Path) -> None:
    first = address_of(server)
    server.kill()
    server.wait()
    second = begin(folder, "--port", first[1])
    try:
        assert address_of(second)[1] == first[1]
    finally:
        second.kill()
        second.wait()


def test_a_port_that_is_taken_is_said(server: subprocess.Popen[str], folder: Path) -> None:
    port = address_of(server)[1]
    (folder / "elsewhere").mkdir()
    refused = begin(folder / "elsewhere", "--port", port)
    _out, told = refused.communicate(timeout=60)
    assert refused.returncode == 2 and "E642" in told and port in told


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_open_streams_at_once_and_without_a_traceback(server: subprocess.Popen[str], end: int) -> None:
    address = address_of(server)[0]
    cookies = CookieJar()
    visit(address, cookies)
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    stream = browser.open(urllib.parse.urljoin(address, "/stream"), timeout=30)
    assert any(line.startswith(b"data:") for line in iter(stream.readline, b""))
    begun = time.monotonic()
    server.send_signal(end)
    _out, told = server.communicate(timeout=END_SECONDS + 10)
    assert time.monotonic() - begun < END_SECONDS
    assert "Traceback" not in told
