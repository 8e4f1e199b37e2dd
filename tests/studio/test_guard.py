"""Who may ask: each threat of docs/security.md against every route that there is."""

import os
import stat
import time
from pathlib import Path

import pytest
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from tests.studio.conftest import ORIGIN, PORT
from tunewright.rundir.run_dir import RunDir
from tunewright.studio import app, guard
from tunewright.studio.guard import Keys
from tunewright.studio.secret import secret

ROUTES = [route for route in app.build(Keys(b"k" * 32, PORT)).routes if isinstance(route, Route)]
ADDRESSES = [
    (method, route.path.replace("{name}", "2026-11-23-mita").replace("{id}", "0123456789abcdef").replace("{word}", "r"))
    for route in ROUTES
    for method in sorted((route.methods or set()) - {"HEAD"})
]


def test_every_route_is_in_the_matrix() -> None:
    mounts = [route for route in app.build(Keys(b"k" * 32, PORT)).routes if not isinstance(route, Route)]
    assert all(isinstance(mount, Mount) and mount.path.startswith("/static") for mount in mounts)
    assert len(ADDRESSES) > 15


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_without_the_cookie_nothing_is_shown_or_done(
    method: str, address: str, browser: TestClient, finished: RunDir
) -> None:
    browser.cookies.clear()
    answer = browser.request(method, address, follow_redirects=False)
    assert answer.status_code == 403
    assert "mita" not in answer.text


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1:1", "127.0.0.1", "192.168.1.7:8686"]
)
def test_under_another_name_nothing_is_served(method: str, address: str, host: str, browser: TestClient) -> None:
    assert browser.request(method, address, headers={"host": host}, follow_redirects=False).status_code == 421


@pytest.mark.parametrize("address", [address for method, address in ADDRESSES if method == "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:1"},
        {"origin": f"https://127.0.0.1:{PORT}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_others_change_nothing(address: str, headers: dict[str, str], browser: TestClient) -> None:
    assert browser.post(address, headers=headers, follow_redirects=False).status_code == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_not_there(method: str, browser: TestClient) -> None:
    answer = browser.request(method, "/")
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


PAGES = [address for method, address in ADDRESSES if method == "GET" and not address.endswith("stream")]


@pytest.mark.parametrize("address", [*PAGES, "/nowhere", "/static/nowhere.js"])
def test_every_page_is_held_in(address: str, browser: TestClient) -> None:
    headers = browser.get(address, follow_redirects=False).headers
    assert headers["content-security-policy"] == guard.POLICY
    assert "unsafe" not in guard.POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control")]


def test_a_code_is_good_once_and_is_exchanged_for_the_cookie(keys: Keys, browser: TestClient) -> None:
    browser.cookies.clear()
    code = keys.new_code()
    answer = browser.get(f"/?code={code}&q=mita", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?q=mita")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and f"tunewright_{PORT}=" in cookie
    assert browser.get("/").status_code == 200
    browser.cookies.clear()
    assert browser.get(f"/?code={code}", follow_redirects=False).status_code == 403


def test_codes_of_others_old_ones_and_those_of_before_the_start_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(b"k" * 32, PORT)
    assert not keys.takes(Keys(b"o" * 32, PORT).new_code())
    assert not keys.takes(Keys(b"k" * 32, PORT + 1).new_code())
    for text in ("", "x", "..", "1.2.3", "nan.x." + "0" * 64):
        assert not keys.takes(text)
    old = keys.new_code()
    assert not Keys(b"k" * 32, PORT, begun=time.time() + 60).takes(old)
    now = time.time()
    monkeypatch.setattr(guard.time, "time", lambda: now + guard.CODE_SECONDS + 1)
    assert not keys.takes(old)


def test_a_code_leads_to_no_other_host(keys: Keys, browser: TestClient) -> None:
    browser.cookies.clear()
    answer = browser.get(f"//evil.example/?code={keys.new_code()}", follow_redirects=False)
    assert answer.headers.get("location", "/").startswith("/") and not answer.headers.get("location", "/").startswith(
        "//"
    )


def test_the_secret_is_this_users_alone_and_stays() -> None:
    first = secret()
    path = Path(os.environ["TUNEWRIGHT_HOME"]) / "studio" / "secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret() == first and len(first) == 32
    path.write_bytes(b"cut")
    assert len(secret()) == 32


def test_large_bodies_are_refused_before_they_are_read(browser: TestClient) -> None:
    assert browser.post("/language", content=b"x" * (guard.MAX_BODY + 1)).status_code == 413
    parts = (b"language=" + b"x" * 2**16 for _ in range(40))
    answer = browser.post("/language", content=parts, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "back", ["//evil.example", "/\\evil.example", "http://evil.example", "javascript:alert(1)", ""]
)
def test_the_language_leads_back_to_our_pages_alone(back: str, browser: TestClient) -> None:
    answer = browser.post("/language", data={"language": "zh", "back": back}, follow_redirects=False)
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("name", ["../..", "%2e%2e", "last", "2026", "/etc", "2026-11-23-mit", "\x00"])
def test_a_name_of_a_page_is_never_a_path(name: str, browser: TestClient, finished: RunDir) -> None:
    from urllib.parse import quote

    assert browser.get(f"/runs/{quote(name, safe='')}").status_code == 404
    assert browser.get("/static/../app.py").status_code == 404
    assert browser.get("/static/%2e%2e/app.py").status_code == 404


def test_the_origin_is_ours(browser: TestClient) -> None:
    """The matrix above refuses what differs from this, which is let through."""
    answer = browser.post(
        "/language", data={"language": "zh", "back": "/"}, headers={"origin": ORIGIN}, follow_redirects=False
    )
    assert answer.status_code == 303
