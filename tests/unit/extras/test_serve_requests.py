"""What a server answers to a request that it cannot fulfil: 400 for the request's own faults alone."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tunewright.errors import TunewrightError, error
from tunewright.extras.serve.api_error import ApiError
from tunewright.extras.serve.api_request import ChatRequest, ClassifyRequest, ModelRequest, read_request
from tunewright.extras.serve.backend import ServedModel
from tunewright.extras.serve.session_backend import ServedSession, SessionBackend
from tunewright.launch.session_client import SessionClient
from tunewright.rundir.run_dir import RunDir

CHAT = b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'
CLASSIFY = b'{"model": "m", "input": "Hi"}'
MODEL = ServedModel("m")


class Failing(SessionClient):
    """A session all of whose requests end with one error."""

    fault: TunewrightError

    def request(self, *_: Any, **__: Any) -> Any:
        raise self.fault


def refused(code: str, body: bytes, **values: object) -> ApiError:
    """What a request is answered whose session ends with this error."""
    client = Failing(RunDir(Path("m")))
    client.fault = error(code, **values)

    async def ask() -> None:
        session = ServedSession(client, "seq_cls" if body == CLASSIFY else "causal_lm")
        backend = SessionBackend({"m": session}, 512, lambda _fault: None)
        if body == CLASSIFY:
            await backend.classify(MODEL, read_request(ClassifyRequest, body))
        else:
            await backend.chat(MODEL, read_request(ChatRequest, body))

    with pytest.raises(ApiError) as caught:
        asyncio.run(ask())
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        CHAT.replace(b"Hi", rb"\ud83d"),
        CHAT.replace(b"Hi", b"\xed\xa0\xbd"),
        CHAT.replace(b"{", b'{"logit_bias": {"5": NaN}, ', 1),
        CHAT.replace(b"{", b'{"logit_bias": {"5": 1e999}, ', 1),
        CHAT.replace(b"{", b'{"tools": [{"type": "function", "function": {"name": "f", "parameters": {"x": NaN}}}], ', 1),
        CHAT.replace(b"{", rb'{"tools": [{"type": "function", "function": {"name": "f", "parameters": {"\udc00": 1}}}], ', 1),
    ],
    ids=["half an emoji", "half in bytes", "NaN", "too large", "NaN in a schema", "half in a name"],
)  # fmt: skip
def test_what_json_cannot_carry_on_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        read_request(ChatRequest, body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


def test_a_whole_emoji_is_read() -> None:
    assert read_request(ModelRequest, rb'{"model": "\ud83d\ude00"}').model == "\N{GRINNING FACE}"


@pytest.mark.parametrize(("body", "param"), [(CHAT, "messages"), (CLASSIFY, "input")])
def test_what_the_request_did_wrong_names_its_field(body: bytes, param: str) -> None:
    too_long = refused("E647", body, tokens=900, context=512)
    assert (too_long.status, too_long.code, too_long.param) == (400, "context_length_exceeded", param)
    unreadable = refused("E219", body, reason="no")
    assert (unreadable.status, unreadable.code, unreadable.param) == (400, "invalid_value", param)


def test_a_session_that_answers_somebody_else_is_asked_again() -> None:
    busy = refused("E541", CHAT, name="m")
    assert busy.status == 503 and "Retry-After" in busy.headers


def test_a_fault_of_the_server_is_told_to_its_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    fault = refused("E802", CHAT, reason="KeyError: '/home/me'")
    assert (fault.status, fault.param, fault.kind) == (500, None, "server_error")
    assert "/home/me" not in fault.message and "/home/me" in caplog.text
