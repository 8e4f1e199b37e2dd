"""What a session cannot answer, in the terms of OpenAI's API: whose fault it was decides whether a client asks again."""

import pytest

from tunewright.errors import TunewrightError, error
from tunewright.extras.serve.api_error import ApiError
from tunewright.extras.serve.api_request import ChatRequest, read_request
from tunewright.extras.serve.session_backend import SessionBackend


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (error("E647", tokens=9000, context=2048), 400, "context_length_exceeded"),
        (error("E205", column=3, reason="bad"), 400, "invalid_value"),
        (error("E541", name="mita"), 503, "engine_unavailable"),
        (error("E802", reason="KeyError"), 500, "engine_failed"),
    ],
)
def test_a_fault_has_the_status_of_whose_it_is(fault: TunewrightError, status: int, code: str) -> None:
    refused = SessionBackend({}, 512, lambda fault: None)._refused(fault)
    assert (refused.status, refused.code) == (status, code)


@pytest.mark.parametrize("text", [r'"\ud83d"', "NaN", "-Infinity", '["a", "b\\udc00"]'])
def test_a_body_with_what_is_no_json_is_refused(text: str) -> None:
    body = f'{{"model": "m", "messages": [{{"role": "user", "content": {text}}}]}}'
    with pytest.raises(ApiError, match="valid JSON") as refused:
        read_request(ChatRequest, body.encode())
    assert refused.value.status == 400
