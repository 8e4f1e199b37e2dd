"""The front answers as OpenAI's API does, to OpenAI's own client, and refuses what would be ignored."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.deploy.serving import MODELS, Serving, serving
from tests.deploy.tiny_gguf import WITH_TOOLS, token_ids
from tunewright.extras.serve.backend import ServedModel

HELLO: Any = [{"role": "user", "content": "Hello"}]
NOTHING: Any = {"type": "object", "properties": {}, "additionalProperties": False}
TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": NOTHING}}
SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "x",
        "schema": {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
    },
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("serving")) as served:
        yield served


def chat(tiny: Serving, model: str = "first", **fields: Any) -> Any:
    return tiny.openai().chat.completions.create(**{"model": model, "messages": HELLO, "max_tokens": 12, **fields})


def refusal(tiny: Serving, path: str = "/v1/chat/completions", **fields: Any) -> tuple[int, dict[str, Any]]:
    """Status and error object for a body with these fields; None takes a field away."""
    body = {"model": "first", "messages": HELLO, "max_tokens": 4, **fields}
    with tiny.client() as client:
        response = client.post(path, json={name: value for name, value in body.items() if value != "absent"})
    assert response.status_code != 200, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status_code, error


def test_the_models_are_listed_by_their_names(tiny: Serving) -> None:
    client = tiny.openai()
    assert [model.id for model in client.models.list()] == [model.name for model in MODELS]
    assert client.models.retrieve("second").id == "second"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("third")


def test_an_answer_is_whole_and_names_its_model(tiny: Serving) -> None:
    answer = chat(tiny, max_tokens=5)
    assert answer.model == "first" and answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant" and answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5


def test_the_same_answer_comes_streamed(tiny: Serving) -> None:
    whole = chat(tiny).choices[0].message.content
    chunks = list(chat(tiny, stream=True, stream_options={"include_usage": True}))
    parts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(parts) == whole
    assert {chunk.model for chunk in chunks} == {"first"}
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 12
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_stream_without_usage_holds_none_and_ends_as_it_should(tiny: Serving) -> None:
    body = {"model": "base", "messages": HELLO, "max_tokens": 3, "stream": True}
    with tiny.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert all("usage" not in event and "timings" not in event and event["choices"] for event in events)


def test_each_name_gets_its_own_adapter_whoever_asked_before(tiny: Serving) -> None:
    names = ["base", "first", "second"]
    alone = {name: chat(tiny, name).choices[0].message.content for name in names}
    assert len(set(alone.values())) == 3
    for name in [*reversed(names), "first", "base", "second", "first"]:
        assert chat(tiny, name).choices[0].message.content == alone[name], name


def test_temperature_is_zero_unless_asked(tiny: Serving) -> None:
    assert len({chat(tiny).choices[0].message.content for _ in range(3)}) == 1
    drawn = {chat(tiny, temperature=1.5, seed=seed).choices[0].message.content for seed in range(4)}
    assert len(drawn) > 1
    assert chat(tiny, temperature=1.5, seed=1).choices[0].message.content in drawn


def test_several_answers_are_counted_together(tiny: Serving) -> None:
    answer = chat(tiny, n=3, temperature=1.5, seed=7, max_tokens=4)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1
    assert answer.usage.completion_tokens == 12


def test_log_probabilities_come_with_their_tokens(tiny: Serving) -> None:
    content = chat(tiny, logprobs=True, top_logprobs=3, max_tokens=2).choices[0].logprobs.content
    assert len(content) == 2 and all(len(token.top_logprobs) == 3 for token in content)
    assert all(token.logprob <= 0 for token in content)


def test_a_schema_is_obeyed(tiny: Serving) -> None:
    answer = chat(tiny, response_format=SCHEMA, max_tokens=60).choices[0].message.content
    assert isinstance(json.loads(answer)["a"], bool)


def test_an_answer_stops_where_it_is_told(tiny: Serving) -> None:
    content = chat(tiny).choices[0].message.content
    stop = next(char for char in content[1:] if char.isascii() and char.isprintable())
    answer = chat(tiny, stop=stop).choices[0]
    assert answer.finish_reason == "stop" and answer.message.content == content[: content.index(stop)]


def test_a_text_is_continued_without_a_template(tiny: Serving) -> None:
    client = tiny.openai()
    one = client.completions.create(model="second", prompt="Once", max_tokens=6, logprobs=2)
    assert one.object == "text_completion" and one.usage and one.usage.prompt_tokens == 4
    logprobs = one.choices[0].logprobs
    assert logprobs and logprobs.tokens and logprobs.top_logprobs and len(logprobs.tokens) == 6
    assert len(logprobs.top_logprobs[0]) == 2
    two = client.completions.create(model="second", prompt=["Once", "Twice"], max_tokens=6)
    assert [choice.index for choice in two.choices] == [0, 1] and two.choices[0].text == one.choices[0].text
    ids = client.completions.create(model="second", prompt=token_ids("Once"), max_tokens=6)
    assert ids.usage and ids.usage.prompt_tokens == 4
    chunks = list(client.completions.create(model="second", prompt="Once", max_tokens=6, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == one.choices[0].text
    assert all(chunk.usage is None for chunk in chunks)


def test_parts_of_text_and_a_developers_turn_are_read(tiny: Serving) -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    written = chat(tiny, messages=[{"role": "system", "content": "Be."}, {"role": "user", "content": "Hel\nlo"}])
    in_parts = chat(tiny, messages=[{"role": "developer", "content": "Be."}, {"role": "user", "content": parts}])
    assert in_parts.choices[0].message.content == written.choices[0].message.content
    assert in_parts.usage.prompt_tokens == written.usage.prompt_tokens


def test_what_an_answer_held_can_be_sent_back(tiny: Serving) -> None:
    message = chat(tiny).choices[0].message.model_dump()
    assert chat(tiny, messages=[*HELLO, message, *HELLO]).choices[0].message.content


def test_a_conversation_that_ends_with_an_answer_is_not_continued(tiny: Serving) -> None:
    counts = [chat(tiny, messages=[*HELLO, {"role": "assistant", "content": "Hi"}]).usage.prompt_tokens]
    counts.append(chat(tiny, messages=HELLO).usage.prompt_tokens)
    assert counts[0] == counts[1] + len("<|im_start|>assistant\nHi<|im_end|>\n") - len("<|im_start|><|im_end|>") + 2


UNKNOWN = [
    ({"model": "third"}, 404, "model_not_found", "model"),
    ({"model": "absent"}, 400, "missing_required_parameter", "model"),
    ({"messages": []}, 400, "invalid_value", "messages"),
    ({"messages": "absent"}, 400, "missing_required_parameter", "messages"),
    ({"messages": "Hello"}, 400, "invalid_value", "messages"),
    ({"messages": [{"role": "nobody", "content": "x"}]}, 400, "invalid_value", "messages"),
    ({"messages": [{"role": "user"}]}, 400, "invalid_value", "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "invalid_value", "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, 400, "invalid_value", "messages"),
    ({"max_tokens": 0}, 400, "invalid_value", "max_tokens"),
    ({"max_tokens": "many"}, 400, "invalid_value", "max_tokens"),
    ({"max_tokens": 4096}, 400, "context_length_exceeded", "max_tokens"),
    ({"temperature": "hot"}, 400, "invalid_value", "temperature"),
    ({"temperature": 3}, 400, "invalid_value", "temperature"),
    ({"seed": -1}, 400, "invalid_value", "seed"),
    ({"top_logprobs": 2}, 400, "invalid_value", None),
    ({"n": 2, "stream": True}, 400, "unsupported_parameter", "n"),
    ({"tools": [TOOL]}, 400, "unsupported_parameter", "tools"),
    ({"lora": [{"id": 0, "scale": 0}]}, 400, "unknown_parameter", "lora"),
    ({"cache_prompt": False}, 400, "unknown_parameter", "cache_prompt"),
    ({"response_format": {"type": "json_schema"}}, 400, "invalid_value", None),
    ({"response_format": {"type": "xml"}}, 400, "invalid_value", "response_format"),
    ({"messages": [{"role": "user", "content": "x" * 600}]}, 400, "context_length_exceeded", "messages"),
    ({"messages": [{"role": "user", "content": "x" * 600}], "stream": True}, 400, "context_length_exceeded", "messages"),
    ({"messages": [{"role": "user", "content": "x" * 2**20}]}, 413, "request_too_large", None),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "status", "code", "param"), UNKNOWN, ids=lambda value: str(value)[:40])
def test_a_bad_request_says_which_field(
    tiny: Serving, fields: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    answered, error = refusal(tiny, **fields)
    assert (answered, error["code"], error["param"]) == (status, code, param), error
    assert error["type"] == "invalid_request_error" and error["message"]


def test_a_body_that_is_no_json_is_refused(tiny: Serving) -> None:
    with tiny.client(**{"Content-Type": "application/json"}) as client:
        for body in (b"{", b"[1]", b"\xff\xfe", b"[" * 100_000):
            response = client.post("/v1/chat/completions", content=body)
            assert response.status_code == 400, body[:9]
            assert response.json()["error"]["code"] in ("invalid_json", "invalid_type")


def test_a_model_that_writes_has_no_labels(tiny: Serving) -> None:
    status, error = refusal(tiny, "/v1/classify", input="x", messages="absent", max_tokens="absent")
    assert (status, error["code"]) == (400, "unsupported_parameter")


def test_the_runs_system_turn_stands_before_a_conversation_without_one(tmp_path: Path) -> None:
    opening: Any = ({"role": "system", "content": "Be short."},)
    with serving(tmp_path, models=[ServedModel("plain"), ServedModel("opened", opening=opening)]) as served:
        given = chat(served, "plain", messages=[*opening, *HELLO])
        added, own = chat(served, "opened"), chat(served, "opened", messages=[*opening, *HELLO])
    assert added.usage.prompt_tokens == own.usage.prompt_tokens == given.usage.prompt_tokens
    assert added.choices[0].message.content == given.choices[0].message.content


def test_tools_are_taken_where_the_template_shows_them(tmp_path: Path) -> None:
    with serving(tmp_path, template=WITH_TOOLS) as served:
        bare = chat(served).usage.prompt_tokens
        assert chat(served, tools=[TOOL]).usage.prompt_tokens > bare
        assert chat(served, tools=[TOOL], tool_choice="none").usage.prompt_tokens == bare
        named = {"type": "function", "function": {"name": "look"}}
        drawn = {"tools": [TOOL], "temperature": 1, "seed": 1, "max_tokens": 200}
        ends = [
            chat(served, **drawn, tool_choice=choice).choices[0].finish_reason for choice in ("auto", "required", named)
        ]
        assert refusal(served, tools=[TOOL], tool_choice={**named, "function": {"name": "listen"}})[0] == 400
    assert ends == ["stop", "length", "length"]  # who must call may not end before; this model never gets it right


def test_the_engine_gives_its_memory_back_when_idle_and_comes_back(tmp_path: Path) -> None:
    with serving(tmp_path, idle_seconds=0.2) as served:
        before = chat(served).choices[0].message.content
        until(lambda: not served.engine.is_running())
        assert chat(served).choices[0].message.content == before
        assert served.engine.restarts == 0


def until(holds: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)
