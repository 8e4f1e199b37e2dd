"""An engine that dies, clients that hang up, more requests than slots, a stop: nothing is lost in silence, no child is left."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import psutil
import pytest

from tests.deploy.serving import MODELS, Serving, serving
from tests.deploy.tiny_gguf import END_IDS
from tunewright.errors import ExportError
from tunewright.extras.serve.front import Front
from tunewright.extras.serve.gate import Access
from tunewright.extras.serve.llama_backend import LlamaBackend
from tunewright.extras.serve.llama_engine import LlamaEngine, LlamaModel
from tunewright.extras.serve.run_front import FrontServer, bind
from tunewright.extras.serve.session_backend import ServedSession, SessionBackend
from tunewright.extras.session_requests import ReplyResult

# Tokens: a minute of writing for the tiny model, as llama.cpp looks only once a second whether its client is still there.
LONG = 60_000
CHAT = "/v1/chat/completions"
SHORT: Any = {"model": "first", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
ENDLESS: Any = {**SHORT, "max_tokens": LONG - 100, "logit_bias": {str(number): -100.0 for number in END_IDS}}


def until(holds: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Serving]:
    """A server whose answers take as long as is asked for."""
    with serving(tmp_path, context=LONG) as served:
        yield served


def busy_seconds(pid: int | None) -> float:
    """The CPU time that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def cancelled(served: Serving) -> int:
    """How many generations the engine has ended before their time."""
    return served.engine.log.read_text().count("cancel task")


def test_a_client_that_hangs_up_ends_its_generation(slow: Serving) -> None:
    with slow.client() as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.post(CHAT, json=ENDLESS, timeout=1.2)  # shortly after such a look: it goes on until the next one
        until(lambda: cancelled(slow) == 1 and slow.front._admitted == 0)
        with client.stream("POST", CHAT, json={**ENDLESS, "stream": True}) as response:
            next(response.iter_lines())
        until(lambda: cancelled(slow) == 2 and slow.front._admitted == 0)
        assert client.post(CHAT, json=SHORT).status_code == 200


def test_a_client_that_hangs_up_within_its_body_is_no_fault(slow: Serving, caplog: pytest.LogCaptureFixture) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {slow.front.access.key}\r\n"
    for body in (b"", b'{"model": '):
        with socket.create_connection(slow.server.listener.getsockname()) as connection:
            connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n".encode() + body)
            time.sleep(0.2)  # so that the server waits for the rest
    with slow.client() as client:
        assert client.post(CHAT, json=SHORT).status_code == 200
    until(lambda: slow.front._admitted == 0)
    assert "Traceback" not in caplog.text


def test_a_client_that_hangs_up_while_it_waits_takes_no_slot(slow: Serving) -> None:
    stop = threading.Event()

    def occupy() -> None:
        with slow.client() as client, client.stream("POST", CHAT, json={**ENDLESS, "stream": True}):
            stop.wait(30)

    occupants = [threading.Thread(target=occupy) for _ in range(2)]
    for thread in occupants:
        thread.start()
    until(lambda: slow.front._slots.locked())
    with slow.client() as client, pytest.raises(httpx2.ReadTimeout):
        client.post(CHAT, json=SHORT, timeout=0.5)
    until(lambda: slow.front._admitted == 2)
    stop.set()
    for thread in occupants:
        thread.join()
    until(lambda: slow.front._admitted == 0)
    with slow.client() as client:
        assert client.post(CHAT, json=SHORT).status_code == 200


def test_more_requests_than_may_wait_are_told_to_come_back(slow: Serving) -> None:
    async def all_at_once(count: int) -> list[httpx2.Response]:
        key = {"Authorization": f"Bearer {slow.front.access.key}"}
        limits = httpx2.Limits(max_connections=count)
        async with httpx2.AsyncClient(base_url=slow.url, headers=key, timeout=60, limits=limits) as client:
            return await asyncio.gather(*(client.post(CHAT, json={**SHORT, "max_tokens": 200}) for _ in range(count)))

    answers = asyncio.run(all_at_once(40))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and all(answer.headers["retry-after"] for answer in refused)
    assert all(answer.status_code == 200 for answer in answers if answer not in refused)
    assert len(answers) - len(refused) >= 18  # two slots and eight that wait for each


def test_a_request_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with serving(tmp_path, context=LONG, request_seconds=0.5) as served, served.client() as client:
        whole = client.post(CHAT, json=ENDLESS)
        assert whole.status_code == 504 and whole.json()["error"]["code"] == "timeout"
        streamed = client.post(CHAT, json={**ENDLESS, "stream": True}).text
        assert '"timeout"' in streamed and "[DONE]" not in streamed
        assert served.engine.restarts == 0


def test_an_engine_that_dies_is_started_again_once(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as ended, serving(tmp_path) as served:
        before = served.openai().chat.completions.create(**SHORT).choices[0].message.content
        for expected in (1, 1):
            assert served.engine.pid
            os.kill(served.engine.pid, signal.SIGKILL)
            until(lambda: not served.engine.is_running())
            if served.engine.restarts == expected:
                break
            assert served.openai().chat.completions.create(**SHORT).choices[0].message.content == before
            assert served.engine.restarts == expected
        with pytest.raises(openai.APIStatusError) as lost:
            served.openai().chat.completions.create(**SHORT)
        assert lost.value.status_code == 503
    assert ended.value.problems[0].code == "E641" and ended.value.exit_code == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_whose_engine_dies_is_told_so(slow: Serving, stream: bool) -> None:
    at_rest = busy_seconds(slow.engine.pid)

    def kill() -> None:
        until(lambda: busy_seconds(slow.engine.pid) > at_rest + 0.3)
        assert slow.engine.pid
        os.kill(slow.engine.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with slow.client() as client:
        answer = client.post(CHAT, json={**ENDLESS, "stream": stream})
        killer.join()
        assert answer.status_code == (200 if stream else 503)
        assert '"engine_unavailable"' in answer.text and "[DONE]" not in answer.text
        assert client.post(CHAT, json=SHORT).status_code == 200


def test_requests_that_lose_their_engine_together_start_it_again_once(slow: Serving) -> None:
    answers: list[int] = []

    def ask() -> None:
        with slow.client() as client:
            answers.append(client.post(CHAT, json=ENDLESS).status_code)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: slow.front._slots.locked())
    time.sleep(0.3)  # both have reached the engine
    assert slow.engine.pid
    os.kill(slow.engine.pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert answers == [503, 503] and slow.engine.restarts == 1
    with slow.client() as client:
        assert client.post(CHAT, json=SHORT).status_code == 200


def test_an_engine_that_hangs_is_ended_and_started_again(tmp_path: Path) -> None:
    with serving(tmp_path, request_seconds=1) as served, served.client() as client:
        pid = served.engine.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        assert client.post(CHAT, json=SHORT).status_code == 503
        assert client.post(CHAT, json=SHORT).status_code == 200
        assert served.engine.pid != pid and not psutil.pid_exists(pid)


class Talking:
    """In the place of a session: its answer has no end until somebody ends it."""

    def __init__(self) -> None:
        self.interrupted = threading.Event()
        self.num_answers = 0

    def request(self, _request: object, _result: object, *, on_text: Callable[[str], None]) -> ReplyResult:
        self.interrupted.clear()
        self.num_answers += 1
        on_text("")
        while not self.interrupted.wait(0.01):
            on_text("a")
        return ReplyResult("a", 1, 1, is_cut=False)

    def interrupt(self) -> None:
        self.interrupted.set()

    close = interrupt


@pytest.mark.parametrize("stream", [False, True])
def test_a_session_stops_when_its_client_hangs_up(stream: bool) -> None:
    session: Any = Talking()
    server = FrontServer(bind("127.0.0.1", 0))
    backend = SessionBackend({"first": ServedSession(session, "causal_lm")}, 512, server.end_with)
    front = Front(backend, MODELS, Access(None))
    with server.listener, server.in_background(front), httpx2.Client(base_url=server.url) as client:
        for number in (1, 2):
            if stream:
                with client.stream("POST", CHAT, json={**SHORT, "stream": True}) as response:
                    assert any('"content": "a"' in line for line in response.iter_lines())
            else:
                with pytest.raises(httpx2.ReadTimeout):
                    client.post(CHAT, json=SHORT, timeout=0.5)
            until(lambda: session.interrupted.is_set() and front._admitted == 0)
            assert session.num_answers == number


class Broken(LlamaBackend):
    """A backend that does not come up."""

    async def start(self) -> None:
        raise httpx2.ConnectError("refused")


@pytest.mark.parametrize("in_background", [False, True])
def test_a_front_that_does_not_start_says_why(tmp_path: Path, in_background: bool) -> None:
    server = FrontServer(bind("127.0.0.1", 0))
    broken = Broken(LlamaEngine(LlamaModel(tmp_path), tmp_path / "log"), server.end_with, 1)
    front = Front(broken, MODELS, Access(None))
    with server.listener, pytest.raises(ExportError, match=r"E649.*refused") as failed:
        if in_background:
            with server.in_background(front):
                pytest.fail("it is not served")
        server.run(front)
    assert failed.value.exit_code == 1


SERVER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.deploy.serving import serving
with serving(Path(sys.argv[2])) as served:
    print(served.engine.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_child_is_left_behind_however_its_parent_ends(tmp_path: Path, number: signal.Signals) -> None:
    root = Path(__file__).parent.parent.parent
    argv = [sys.executable, "-c", SERVER, str(root), str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.send_signal(number)
        parent.wait(20)
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 10)
