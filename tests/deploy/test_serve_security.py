"""What serving must hold off: the list of docs/deploy.md, each point as somebody would try it."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.deploy.serving import KEY, Serving, serving
from tunewright.errors import ExportError
from tunewright.extras.serve.api_key import key_of_server, read_key
from tunewright.extras.serve.gate import Access
from tunewright.extras.serve.llama_engine import LlamaModel, start_engine
from tunewright.extras.serve.run_front import bind
from tunewright.extras.serve.serve_options import ServeOptions

SECRET = "the-prompt-of-somebody"
CHAT = "/v1/chat/completions"
ASKED: Any = {"model": "first", "messages": [{"role": "user", "content": SECRET}], "max_tokens": 4}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("serving")) as served:
        yield served


def listening(*pids: int | None) -> set[tuple[str, int]]:
    """Where these processes listen, as `ss -ltn` shows it."""
    found = [c for pid in pids if pid for c in psutil.Process(pid).net_connections("inet")]
    return {tuple(c.laddr) for c in found if c.status == psutil.CONN_LISTEN}


def test_nothing_but_loopback_listens(tiny: Serving) -> None:
    places = listening(os.getpid(), tiny.engine.pid)
    assert len(places) >= 2
    assert {host for host, _port in places} == {"127.0.0.1"}


def test_a_key_is_asked_for(tiny: Serving) -> None:
    for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": KEY}, {"Authorization": ""}):
        with tiny.client(**headers) as client:
            for response in (client.post(CHAT, json=ASKED), client.get("/v1/models")):
                assert response.status_code == 401, headers
                assert response.json()["error"]["code"] == "invalid_api_key"
            assert client.get("/health").status_code == 200


def test_the_engine_asks_for_its_own_key(tiny: Serving) -> None:
    for key in ("wrong", KEY):
        with tiny.client(Authorization=f"Bearer {key}") as client:
            assert client.post(tiny.engine.url + CHAT, json=ASKED).status_code == 401
    assert len(tiny.engine.key) >= 32


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1", "localhost.x"]
)
def test_a_host_name_of_others_is_refused(tiny: Serving, host: str) -> None:
    with tiny.client(Host=host) as client:
        assert client.get("/health").status_code == 403
        assert client.post(CHAT, json=ASKED).json()["error"]["code"] == "host_not_allowed"


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "127.0.0.1:1", "[::1]:8000"])
def test_this_machines_own_names_are_served(tiny: Serving, host: str) -> None:
    with tiny.client(Host=host) as client:
        assert client.get("/v1/models").status_code == 200


def test_scripts_of_pages_may_not_ask(tiny: Serving) -> None:
    with tiny.client(Origin="https://evil.example") as client:
        answers = [client.post(CHAT, json=ASKED), client.get("/v1/models"), client.options(CHAT), client.get("/health")]
    assert {answer.status_code for answer in answers} == {403}
    assert not any("access-control" in name for answer in answers for name in answer.headers)


def test_a_form_of_a_page_may_not_ask(tiny: Serving) -> None:
    with tiny.client(**{"Content-Type": "text/plain"}) as client:
        assert client.post(CHAT, content=b'{"model": "first"}').status_code == 415


def test_pages_that_were_named_may_ask(tmp_path: Path) -> None:
    origin = "https://app.example"
    with serving(tmp_path, access=Access(KEY, origins=(origin,))) as served:
        preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        with served.client(Origin=origin) as client:
            assert client.options(CHAT, headers=preflight).headers["access-control-allow-origin"] == origin
            assert client.post(CHAT, json=ASKED).headers["access-control-allow-origin"] == origin
        with served.client(Origin="https://evil.example") as client:
            assert client.options(CHAT, headers=preflight).status_code == 400
            assert client.post(CHAT, json=ASKED).status_code == 403


@pytest.mark.parametrize(
    "path", ["/", "/props", "/slots", "/lora-adapters", "/completion", "/tokenize", "/apply-template", "/metrics",
             "/v1/../props", "//props", "/v1/models/../../props", "/v1/embeddings", "/docs", "/openapi.json"],
)  # fmt: skip
def test_nothing_of_the_engine_is_reachable_beside_the_api(tiny: Serving, path: str) -> None:
    with tiny.client() as client:
        got, posted = client.get(path), client.post(path, json={})
    assert {got.status_code, posted.status_code} <= {404, 405}
    assert got.json()["error"]["code"] in ("not_found", "model_not_found")


def test_a_body_without_a_length_is_cut_off(tiny: Serving) -> None:
    pieces = (b" " * 65536 for _ in range(40))
    with tiny.client(**{"Content-Type": "application/json"}) as client:
        response = client.post(CHAT, content=pieces)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


def test_prompts_and_keys_are_in_no_log_and_no_argv(tiny: Serving) -> None:
    with tiny.client() as client:
        assert client.post(CHAT, json=ASKED).status_code == 200
        assert client.post(CHAT, json={**ASKED, "stream": True}).status_code == 200
    assert tiny.engine.pid
    child = psutil.Process(tiny.engine.pid)
    places = [tiny.engine.log.read_text(), " ".join(child.cmdline()), " ".join(child.environ().values()), repr(tiny)]
    for secret in (SECRET, KEY, tiny.engine.key):
        assert not any(secret in place for place in places)


def test_no_path_of_this_machine_is_in_an_answer(tiny: Serving) -> None:
    with tiny.client() as client:
        bodies = [ASKED, {**ASKED, "stream": True}, {**ASKED, "max_tokens": 9999}, {**ASKED, "model": "x"}]
        answers = [client.post(CHAT, json=body).text for body in bodies] + [client.get("/v1/models").text]
    assert not any(str(tiny.engine.model.path.parent) in answer or ".gguf" in answer for answer in answers)


def test_a_file_that_is_no_gguf_never_reaches_the_engine(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + b"\xff" * 64)
    with (
        pytest.raises(Exception, match="E308"),
        start_engine(LlamaModel(tmp_path / "model.gguf"), log=tmp_path / "log"),
    ):
        pass
    assert not (tmp_path / "log").exists()


def test_a_file_that_the_engine_cannot_read_is_told_in_its_words(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    model = LlamaModel(tmp_path / "first.gguf")  # sound, and no model
    with pytest.raises(ExportError) as refusal, start_engine(model, log=tmp_path / "log"):
        pass
    assert refusal.value.problems[0].code == "E640"
    assert "model" in str(refusal.value.problems[0].values["reason"])


def test_a_key_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = read_key(path)
    assert len(key) >= 32 and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path) == key


@pytest.mark.parametrize(
    ("mode", "text"),
    [(0o644, "k" * 40), (0o620, "k" * 40), (0o600, ""), (0o600, "short"), (0o600, "two words of a key")],
)
def test_a_key_that_is_not_safe_is_not_used(tmp_path: Path, mode: int, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ExportError, match="E644") as refusal:
        read_key(path)
    assert text not in str(refusal.value) or not text
    is_open, fixes = bool(mode & 0o077), refusal.value.problems[0].fixes()
    assert any("chmod" in fix for fix in fixes) is is_open, "rights do not mend a word that is too short"


@pytest.mark.parametrize(
    "content", [b"\xb7\x00" * 20, b"k" * 5000, "schlüssel".encode() * 4, b"a key\r\nX-Other: 1" * 2]
)
def test_a_key_that_no_header_can_carry_is_refused_and_not_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    for reader in (read_key, key_of_server):
        with pytest.raises(ExportError, match="E644"):
            reader(path)


def test_no_pipe_is_waited_for_in_the_place_of_a_key(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    for path in (tmp_path / "key", Path("/dev/zero")):
        for reader in (read_key, key_of_server):
            with pytest.raises(ExportError, match="E644"):
                reader(path)


@pytest.mark.parametrize(
    "origin", ["*", "null", "app.example", "https://app.example/", "https://a\r\nX: y", "file://x", "http://h:port", ""]
)
def test_what_no_browser_sends_as_origin_is_refused(origin: str) -> None:
    with pytest.raises(ExportError, match="E650"):
        ServeOptions(cors=("https://app.example", origin)).refuse_unsafe()
    ServeOptions(cors=("https://app.example", "http://localhost:3000", "http://[::1]:80")).refuse_unsafe()


def test_a_port_that_is_taken_names_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ExportError, match="E642") as refusal:
            bind("127.0.0.1", port)
    assert refusal.value.problems[0].values["pid"] == os.getpid()
    assert refusal.value.exit_code == 2


def test_answers_leave_at_once() -> None:
    """asyncio turns Nagle's waiting off where a socket names TCP; otherwise each answer on a kept connection takes 40 ms more."""
    with bind("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_an_address_of_others_cannot_be_served() -> None:
    with pytest.raises(ExportError, match="E642"):
        bind("192.0.2.1", 0)
