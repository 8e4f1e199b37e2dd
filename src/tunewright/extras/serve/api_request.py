"""Requests of OpenAI's API as they are accepted: every field is known, checked and heeded, or the request is refused."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tunewright.extras.serve.api_error import ApiError

MAX_CHOICES = 8
MAX_INPUTS = 64

JsonObject = Mapping[str, Any]  # a schema or arguments of a tool, handed on as it came


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


def _joined(content: object) -> object:
    """Parts of text as one text, as llama.cpp joins them; anything but parts is left to the check."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
    if len(texts) < len(content) or not all(isinstance(text, str) for text in texts):
        raise ValueError("only parts of the type 'text' are read here")
    return "\n".join(map(str, texts))


Text = Annotated[str, BeforeValidator(_joined)]


class FunctionCall(_Strict):
    name: str
    arguments: str


class ToolCall(_Strict):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(_Strict):
    """A turn. `refusal`, `annotations`, `audio` and `function_call` are what clients echo, and must be empty."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | None = None
    name: str | None = None
    tool_calls: Sequence[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("a message needs content")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a tool's message needs tool_call_id")
        return self

    def as_turn(self) -> dict[str, object]:
        """The turn as templates and sessions read it; OpenAI's `developer` is the system turn of other models."""
        turn = self.model_dump(mode="json", exclude_none=True, exclude={"annotations"})
        return {**turn, "role": "system" if self.role == "developer" else self.role, "content": self.content or ""}


class Function(_Strict):
    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class Tool(_Strict):
    type: Literal["function"]
    function: Function


class FunctionName(_Strict):
    name: str


class NamedTool(_Strict):
    """The one tool that must be called."""

    type: Literal["function"]
    function: FunctionName


class JsonSchema(_Strict):
    name: str
    description: str | None = None
    schema_: JsonObject = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(_Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: Literal[False] = False


Unit = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Tokens = Annotated[int, Field(ge=1)]
Stop = Annotated[str, Field(min_length=1)]


class ModelRequest(_Strict):
    """A request to a model by its name."""

    model: str


class SamplingRequest(ModelRequest):
    """What chat and completions have in common. `user` names who asks and changes nothing, as with OpenAI."""

    max_tokens: Tokens | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**32 - 8)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 1
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: Mapping[str, float] | None = None
    user: str | None = None

    def answer_tokens(self) -> int | None:
        """The most tokens of the answer."""
        return self.max_tokens

    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())


class ChatRequest(SamplingRequest):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Tokens | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Sequence[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None

    def answer_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs")
        if self.response_format and (self.response_format.type == "json_schema") != bool(
            self.response_format.json_schema
        ):
            raise ValueError("response_format of the type json_schema, and no other, has json_schema")
        if isinstance(self.tool_choice, NamedTool) and not self.offered_tools():
            raise ValueError("tool_choice names a function that is not among tools")
        return self

    def offered_tools(self) -> list[dict[str, object]]:
        """The tools as templates read them: only the named one, where one is named; none for the choice `none`."""
        if self.tool_choice == "none":
            return []
        named = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else None
        tools = [tool for tool in self.tools or () if named in (None, tool.function.name)]
        return [tool.model_dump(mode="json", exclude_none=True) for tool in tools]

    def must_call(self) -> bool:
        """Whether the answer must be a tool's call."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, NamedTool)


class CompletionRequest(SamplingRequest):
    """`POST /v1/completions`: texts or token ids that are continued as they are, without a template."""

    prompt: str | list[str] | list[int]
    max_tokens: Tokens | None = 16
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: Literal[False] = False
    best_of: Literal[1] = 1

    def prompts(self) -> list[str | list[int]]:
        """Each text, or the ids of the only one."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        texts = [text for text in self.prompt if isinstance(text, str)]
        return [*texts] if texts else [[token for token in self.prompt if isinstance(token, int)]]


class ClassifyRequest(ModelRequest):
    """`POST /v1/classify`, as vLLM has it: texts, pairs of texts for a task on pairs, or lists of words for a tagger."""

    input: str | Annotated[list[str | list[str]], Field(min_length=1, max_length=MAX_INPUTS)]
    user: str | None = None

    def inputs(self) -> list[str | list[str]]:
        return [self.input] if isinstance(self.input, str) else self.input


RequestT = TypeVar("RequestT", bound=ModelRequest)


def read_request(kind: type[RequestT], body: bytes) -> RequestT:
    """The request of a body. Raises: ApiError 400, naming the first field that is wrong."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "The body is not valid JSON", "invalid_json") from None
    try:  # Python reads more than JSON has, and no engine can be sent it
        json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ApiError(
            400, "The body holds half of a surrogate pair, or a number that is not finite", "invalid_json"
        ) from None
    if not isinstance(values, dict):
        raise ApiError(400, "The body must be a JSON object", "invalid_type")
    try:
        return kind.model_validate({key: value for key, value in values.items() if value is not None})
    except ValidationError as refusal:
        first = refusal.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        code = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}.get(first["type"])
        top = str(first["loc"][0]) if first["loc"] else None
        raise ApiError(
            400, f"{place or 'The body'}: {first['msg'].removeprefix('Value error, ')}", code or "invalid_value", top
        ) from None
