"""What a server says is read by its shape, and what it does not say is not made up."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.extras.fake_endpoint import Reply, answering
from tunewright.errors import ExportError
from tunewright.extras.proof import endpoint_client
from tunewright.extras.proof.endpoint import Endpoint
from tunewright.extras.proof.endpoint_client import EndpointClient
from tunewright.extras.proof.reference import ReferencePrompt

MODELS = (200, {"data": [{"id": "first"}, {"id": "second"}]})
ASKED = ReferencePrompt(turns=[{"role": "user", "content": "Hi"}], text="<user>Hi", ids=[5, 6, 7])
CALL = {"type": "function", "function": {"name": "look", "arguments": {"at": 1}}}


def chat(content: str = "Hello", finish: str = "stop", **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"choices": [{"message": message, "finish_reason": finish, **choice}], "usage": {"prompt_tokens": 3}}


def logprobs(*tokens: str) -> dict[str, Any]:
    return {"content": [{"token": token, "logprob": -0.1, "bytes": None, "top_logprobs": []} for token in tokens]}


def recognised(replies: Mapping[str, Reply], **endpoint: Any) -> EndpointClient:
    with answering({"/v1/models": MODELS, **replies}) as fake, EndpointClient(Endpoint(fake.url, **endpoint)) as client:
        client.recognise()
        return client


def refused(replies: Mapping[str, Reply], **endpoint: Any) -> dict[str, Any]:
    """The values of the error for a question to such a server."""
    with answering({"/v1/models": MODELS, **replies}) as fake, EndpointClient(Endpoint(fake.url, **endpoint)) as client:
        with pytest.raises(ExportError) as fault:
            client.recognise()
            client.answer(ASKED, None, 8)
        (problem,) = fault.value.problems
        return {"code": problem.code, "fixes": problem.fixes(), "message": problem.message(), **problem.values}


def test_a_plain_server_is_asked_by_the_first_name_that_it_lists() -> None:
    client = recognised({})
    assert (client.flavour, client.model) == ("openai", "first")
    assert recognised({}, model="second").model == "second"


@pytest.mark.parametrize("host", ["a" * 300, "a..b", "\u202e", "[", "x:port"])
def test_a_name_that_no_host_has_is_told_as_such(host: str) -> None:
    with pytest.raises(ExportError, match="E660"), EndpointClient(Endpoint(f"http://{host}")) as client:
        client.recognise()


def test_a_reply_that_comes_byte_by_byte_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that the client gives each part is not what ends it here."""
    with answering({"/v1/models": MODELS}) as fake, EndpointClient(Endpoint(fake.url)) as client:
        monkeypatch.setattr(endpoint_client, "ANSWER_SECONDS", 0.0)
        with pytest.raises(ExportError, match="E661"):
            client.recognise()


def test_llama_cpp_and_vllm_are_known_by_what_only_they_have() -> None:
    props = {"chat_template": "{{ x }}", "eos_token": "<e>", "model_ftype": "Q8_0", "build_info": "b1"}
    client = recognised({"/props": (200, props)})
    assert (client.flavour, client.engine, client.precision, client.end_token) == (
        "llama.cpp",
        "llama.cpp b1",
        "q8_0",
        "<e>",
    )
    vllm = recognised({"/version": (200, {"version": "0.33"}), "/tokenize": (200, {"tokens": [1, 2], "count": 2})})
    assert (vllm.flavour, vllm.engine) == ("vllm", "vLLM 0.33")
    assert recognised({"/version": (200, {"version": "1"})}).flavour == "openai"


def test_vllm_tells_the_tokens_of_a_conversation() -> None:
    replies = {"/version": (200, {"version": "0.33"}), "/tokenize": (200, {"tokens": [5, 6, 7]}), "/v1/models": MODELS}
    with answering(replies) as fake, EndpointClient(Endpoint(fake.url)) as client:
        client.recognise()
        assert client.rendered(ASKED) is None and client.token_ids(ASKED, None) == [5, 6, 7]
        assert fake.requests[-1][1]["messages"] == [{"role": "user", "content": "Hi"}]


def test_an_answer_is_greedy_and_comes_with_its_tokens() -> None:
    reply = (200, chat(logprobs=logprobs("Hel", "lo")))
    with answering({"/v1/models": MODELS, "/v1/chat/completions": reply}) as fake:
        endpoint = Endpoint(fake.url, key="secret", fields={"lora": []})
        with EndpointClient(endpoint) as client:
            client.recognise()
            answer = client.answer(ASKED, None, 8)
        path, body, authorization = fake.requests[-1]
    assert answer is not None and (answer.text, answer.is_ended, answer.prompt_tokens) == ("Hello", True, 3)
    assert [token.token for token in answer.tokens or ()] == ["Hel", "lo"]
    assert (body["temperature"], body["max_tokens"], body["logprobs"], body["lora"]) == (0, 8, True, [])
    assert (path, authorization) == ("/v1/chat/completions", "Bearer secret")
    assert "secret" not in repr(endpoint)


def test_a_server_that_refuses_logprobs_is_asked_without_them() -> None:
    def reply(body: Mapping[str, Any]) -> tuple[int, Any]:
        return (400, {"error": {"message": "logprobs: not here"}}) if "logprobs" in body else (200, chat())

    with answering({"/v1/models": MODELS, "/v1/chat/completions": reply}) as fake:
        with EndpointClient(Endpoint(fake.url)) as client:
            client.recognise()
            for _again in range(2):
                answer = client.answer(ASKED, None, 8)
                assert answer is not None and answer.tokens is None
        assert len([1 for path, _body, _key in fake.requests if path.endswith("completions")]) == 3


def test_a_cut_answer_is_not_one_that_ended() -> None:
    replies = {"/v1/models": MODELS, "/v1/chat/completions": (200, chat(finish="length"))}
    with answering(replies) as fake, EndpointClient(Endpoint(fake.url)) as client:
        answer = client.answer(ASKED, None, 8)
    assert answer is not None and not answer.is_ended


def test_calls_of_earlier_turns_are_sent_with_their_arguments_as_text() -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "user", "content": "?"},
    ]
    with answering({"/v1/models": MODELS, "/v1/chat/completions": (200, chat())}) as fake:
        with EndpointClient(Endpoint(fake.url)) as client:
            client.answer(ReferencePrompt(turns=turns, text="", ids=[]), None, 8)
        sent = fake.requests[-1][1]["messages"][1]
    assert sent["tool_calls"][0]["function"]["arguments"] == '{"at": 1}' and sent["content"] == ""


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_says_how_to_give_one(status: int) -> None:
    values = refused({"/v1/models": (status, {"error": "Invalid API Key"})}, key="wrong")
    assert values["code"] == "E661" and values["status"] == status
    assert any("--api-key-file" in fix for fix in values["fixes"])
    assert "wrong" not in values["message"]


def test_an_unknown_name_says_how_to_give_another() -> None:
    values = refused({"/v1/chat/completions": (404, {"error": "model_not_found"})}, model="nosuch")
    assert values["status"] == 404 and any("--model" in fix for fix in values["fixes"])


@pytest.mark.parametrize(
    "content",
    [b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"text": "x"}]}', b"\xff\xfe", b""],
    ids=["a page", "a list", "no choices", "another form", "no text", "nothing"],
)
def test_a_reply_of_another_shape_is_an_error_with_its_place(content: bytes) -> None:
    values = refused({"/v1/chat/completions": (200, content)})
    assert (values["code"], values["path"]) == ("E661", "/v1/chat/completions")


def test_a_refusal_is_shown_short_and_without_control_characters() -> None:
    values = refused({"/v1/chat/completions": (500, b"\x1b[31m" + b"x" * 10_000)})
    assert len(values["message"]) < 400 and "\x1b" not in values["message"]


def test_a_reply_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunewright.extras.proof.endpoint_client.MAX_REPLY_BYTES", 1000)
    values = refused({"/v1/chat/completions": (200, b"x" * 5000)})
    assert values["code"] == "E661" and "end" in values["message"]


def test_a_reply_that_is_not_compressed_as_announced_is_refused() -> None:
    with (
        answering({"/v1/models": MODELS}, {"Content-Encoding": "gzip"}) as fake,
        EndpointClient(Endpoint(fake.url)) as client,
        pytest.raises(ExportError, match=r"E661.*/v1/models answered 200"),
    ):
        client.recognise()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[bad", "http://127.0.0.1:99999"])
def test_an_address_where_nothing_answers_is_an_error(url: str) -> None:
    with pytest.raises(ExportError) as fault, EndpointClient(Endpoint(url)) as client:
        client.recognise()
    assert fault.value.problems[0].code == "E660"
