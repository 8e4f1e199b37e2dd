"""Asking a server that speaks OpenAI's API, and what llama.cpp and vLLM tell beside it.

Replies are those of a stranger: they are read up to a size, and by models that hold what is needed of them.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, Field, ValidationError

from tunewright.errors import TunewrightError, error
from tunewright.extras.proof.endpoint import Endpoint, Flavour
from tunewright.extras.proof.reference import ReferencePrompt
from tunewright.i18n import N_
from tunewright.security import printable

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 600.0
MAX_REPLY_BYTES = 32 * 2**20
TOP = 5  # tokens beside the chosen one; OpenAI and vLLM allow 20
SHOWN = 200  # characters of a refusal
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class LikelyToken(BaseModel):
    """A token with its log-probability; llama.cpp also gives its id."""

    id: int | None = None
    token: str
    logprob: float


class NextToken(LikelyToken):
    """A token that was written, and the likeliest in its place."""

    top_logprobs: list[LikelyToken] = Field(default_factory=list)

    def of(self, token_id: int, text: str) -> float | None:
        """The log-probability of a token in this place; None if it is not among the likeliest."""
        tokens = [self, *self.top_logprobs]
        return next((token.logprob for token in tokens if _is(token, token_id, text)), None)

    def is_token(self, token_id: int, text: str) -> bool:
        """Whether this token was written."""
        return _is(self, token_id, text)

    @property
    def least(self) -> float:
        """The smallest log-probability that is known in this place."""
        return min(token.logprob for token in (self, *self.top_logprobs))


def _is(token: LikelyToken, token_id: int, text: str) -> bool:
    return token.token == text if token.id is None else token.id == token_id


class _Logprobs(BaseModel):
    content: list[NextToken] | None = None


class _Message(BaseModel):
    content: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None


class _ChatChoice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _ChatReply(BaseModel):
    choices: list[_ChatChoice] = Field(min_length=1)
    usage: _Usage = _Usage()


class _TextChoice(BaseModel):
    text: str
    finish_reason: str | None = None


class _TextReply(BaseModel):
    choices: list[_TextChoice] = Field(min_length=1)
    usage: _Usage = _Usage()


class _Completion(BaseModel):
    """llama.cpp's own reply."""

    content: str
    stop_type: str
    tokens_evaluated: int | None = None
    completion_probabilities: list[NextToken] | None = None


class _Props(BaseModel):
    """What llama.cpp tells of its model."""

    chat_template: str
    eos_token: str = ""
    model_ftype: str = ""
    build_info: str = ""


class _Version(BaseModel):
    version: str


class _ModelName(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_ModelName] = Field(min_length=1)


class _Rendered(BaseModel):
    prompt: str


class _Tokens(BaseModel):
    tokens: list[int]


Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class Answer:
    """A greedy answer; `is_ended` unless it was cut. `tokens` are None where log-probabilities are not given."""

    text: str
    is_ended: bool
    prompt_tokens: int | None
    tokens: tuple[NextToken, ...] | None = None


@dataclass
class EndpointClient:
    """One server. Every method raises ExportError E660 where it does not answer, and E661 where it refuses."""

    endpoint: Endpoint
    flavour: Flavour = field(default="openai", init=False)
    engine: str = field(default="", init=False)
    """What answers, as far as it says."""
    precision: str = field(default="", init=False)
    """Of the weights, as far as it says: f16, q8_0, ..."""
    end_token: str = field(default="", init=False)
    """The end token of the file, as far as it says."""
    model: str = field(default="", init=False)
    gives_logprobs: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        url = self.endpoint.url
        try:
            host = urlsplit(url).hostname or ""
            self._client = httpx2.Client(
                base_url=url.rstrip("/").removesuffix("/v1"),
                headers={"Authorization": f"Bearer {self.endpoint.key}"} if self.endpoint.key else {},
                timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
                trust_env=host not in LOOPBACK,  # a proxy is for what is elsewhere
            )
        except (httpx2.InvalidURL, UnicodeError, ValueError) as fault:
            raise error("E660", url=url, reason=str(fault)) from fault

    def __enter__(self) -> "EndpointClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def recognise(self) -> None:
        """Find out what answers there, and under which name."""
        listed = self._get("/v1/models", _Models)
        self.model = self.endpoint.model or listed.data[0].id
        props = self._get_if_there("/props", _Props) if self.endpoint.flavour in (None, "llama.cpp") else None
        if props:
            self.flavour, self.engine = "llama.cpp", f"llama.cpp {props.build_info}".strip()
            self.precision, self.end_token = props.model_ftype.lower(), props.eos_token
            return
        version = self._get_if_there("/version", _Version) if self.endpoint.flavour in (None, "vllm") else None
        if version and self._get_if_there(
            "/tokenize", _Tokens, self._chat_ids_body([{"role": "user", "content": "?"}])
        ):
            self.flavour, self.engine = "vllm", f"vLLM {version.version}"

    def rendered(self, prompt: ReferencePrompt) -> str | None:
        """The prompt as the server writes it; None where it does not tell."""
        if self.flavour != "llama.cpp":
            return None
        if not prompt.turns:
            return prompt.text
        body = {"messages": _messages(prompt), **({"tools": prompt.tools} if prompt.tools else {})}
        return self._post("/apply-template", body, _Rendered).prompt

    def token_ids(self, prompt: ReferencePrompt, rendered: str | None) -> list[int] | None:
        """The tokens that the server reads for a prompt; None where it does not tell."""
        if self.flavour == "llama.cpp" and rendered is not None:
            body = {"content": rendered, "add_special": True, "parse_special": True}
            return self._post("/tokenize", body, _Tokens).tokens
        if self.flavour == "vllm":
            body = (
                self._chat_ids_body(_messages(prompt)) if prompt.turns else {"model": self.model, "prompt": prompt.text}
            )
            return self._post("/tokenize", body, _Tokens).tokens
        return None

    def _chat_ids_body(self, messages: Sequence[Mapping[str, object]]) -> dict[str, object]:
        return {"model": self.model, "messages": list(messages), "add_generation_prompt": True}

    def prompt_tokens(self, prompt: ReferencePrompt) -> int | None:
        """How many tokens a request with this prompt had; None where the server does not count."""
        return self._chat(prompt, 1).prompt_tokens

    def answer(self, prompt: ReferencePrompt, rendered: str | None, max_tokens: int) -> Answer | None:
        """The greedy answer; None for a prompt with tools where calls come back as objects only, and not as text."""
        if prompt.turns and not prompt.tools:
            return self._chat(prompt, max_tokens)
        if self.flavour == "llama.cpp":
            return self._completion(rendered or prompt.text, max_tokens)
        return None if prompt.tools else self._text(prompt.text, max_tokens)

    def _chat(self, prompt: ReferencePrompt, max_tokens: int) -> Answer:
        body: dict[str, object] = {
            "model": self.model,
            "messages": _messages(prompt),
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        if self.flavour == "llama.cpp":
            body["reasoning_format"] = "none"  # thinking stays in the text
        if self.gives_logprobs:
            try:
                reply = self._post("/v1/chat/completions", {**body, "logprobs": True, "top_logprobs": TOP}, _ChatReply)
            except TunewrightError as refusal:
                if not _is_refusal_of(refusal, "logprobs"):
                    raise
                self.gives_logprobs = False
        if not self.gives_logprobs:
            reply = self._post("/v1/chat/completions", body, _ChatReply)
        choice = reply.choices[0]
        tokens = choice.logprobs.content if choice.logprobs else None
        return Answer(
            choice.message.content or "", choice.finish_reason != "length", reply.usage.prompt_tokens,
            tuple(tokens) if tokens else None,
        )  # fmt: skip

    def _completion(self, text: str, max_tokens: int) -> Answer:
        body = {"prompt": text, "n_predict": max_tokens, "temperature": 0, "n_probs": TOP}
        reply = self._post("/completion", body, _Completion)
        tokens = reply.completion_probabilities
        return Answer(
            reply.content, reply.stop_type != "limit", reply.tokens_evaluated, tuple(tokens) if tokens else None
        )

    def _text(self, text: str, max_tokens: int) -> Answer:
        body = {"model": self.model, "prompt": text, "max_tokens": max_tokens, "temperature": 0}
        reply = self._post("/v1/completions", body, _TextReply)
        choice = reply.choices[0]
        return Answer(choice.text, choice.finish_reason != "length", reply.usage.prompt_tokens)

    def _get(self, path: str, model: type[Reply]) -> Reply:
        return self._parsed(path, self._request("GET", path), model)

    def _get_if_there(self, path: str, model: type[Reply], body: Mapping[str, object] | None = None) -> Reply | None:
        """The reply; None from a server that has no such path, or gives something else there."""
        try:
            return self._get(path, model) if body is None else self._post(path, body, model)
        except TunewrightError as fault:
            if fault.problems[0].code != "E661":
                raise
            return None

    def _post(self, path: str, body: Mapping[str, object], model: type[Reply]) -> Reply:
        return self._parsed(path, self._request("POST", path, {**body, **self.endpoint.fields}), model)

    def _request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> bytes:
        url = self.endpoint.url
        try:
            with self._client.stream(method, path, json=body) as response:
                content = b""
                begun = time.monotonic()
                for part in response.iter_bytes():
                    content += part
                    # The client's own limit is for each part, and a part may be one byte.
                    if len(content) > MAX_REPLY_BYTES or time.monotonic() - begun > ANSWER_SECONDS:
                        raise error(
                            "E661", url=url, path=path, status=response.status_code, reason=N_("the reply has no end")
                        )
                if response.status_code != 200:
                    raise _refusal(url, path, response.status_code, content)
                return content
        except httpx2.DecodingError as fault:  # announced as gzip, and something else
            raise error("E661", url=url, path=path, status=response.status_code, reason=str(fault)) from fault
        except (httpx2.TransportError, OverflowError, UnicodeError) as fault:  # UnicodeError: a name that no host has
            raise error("E660", url=url, reason=str(fault) or type(fault).__name__) from fault

    def _parsed(self, path: str, content: bytes, model: type[Reply]) -> Reply:
        try:
            return model.model_validate_json(content)
        except ValidationError as fault:
            first = fault.errors(include_input=False, include_url=False)[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise error("E661", url=self.endpoint.url, path=path, status=200, reason=reason) from fault


def _refusal(url: str, path: str, status: int, content: bytes) -> TunewrightError:
    reason = printable(" ".join(content[:SHOWN].decode("utf-8", "replace").split()))
    helps = {"key": "--api-key-file FILE"} if status in (401, 403) else {}
    if status == 404 and path == "/v1/chat/completions":
        helps = {"model": "--model NAME"}
    return error("E661", url=url, path=path, status=status, reason=reason or "-", **helps)


def _is_refusal_of(refusal: TunewrightError, field_name: str) -> bool:
    values = refusal.problems[0].values
    return values.get("status") in (400, 422) and field_name in str(values["reason"])


def _messages(prompt: ReferencePrompt) -> list[dict[str, Any]]:
    """The turns in OpenAI's form, where the arguments of calls are JSON texts."""
    return [_openai_turn(turn) for turn in prompt.turns]


def _openai_turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    calls = [
        {**call, "function": {**call["function"], "arguments": _as_text(call["function"].get("arguments"))}}
        for call in turn.get("tool_calls", ())
    ]
    plain_fields = {name: value for name, value in turn.items() if name not in ("tool_calls", "thinking")}
    return {**plain_fields, "content": turn.get("content", ""), **({"tool_calls": calls} if calls else {})}


def _as_text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
