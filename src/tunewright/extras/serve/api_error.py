"""What a request that fails is answered: OpenAI's error object, always in English, as programs read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.responses import JSONResponse

RETRY_SECONDS = "1"


@dataclass
class ApiError(Exception):
    """A request that is refused or failed, in the terms of OpenAI's API."""

    status: int
    message: str
    code: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """OpenAI's `type` of this status."""
        if self.status in (401, 403):
            return "authentication_error"
        if self.status == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"

    def to_json(self) -> dict[str, object]:
        detail = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": detail}

    def response(self) -> JSONResponse:
        return JSONResponse(self.to_json(), status_code=self.status, headers=dict(self.headers))


def not_found(model: str, names: list[str]) -> ApiError:
    """404 for a model that is not served."""
    return ApiError(
        404, f"The model {model!r} is not served here; served: {', '.join(names)}", "model_not_found", "model"
    )


def unsupported(param: str, reason: str) -> ApiError:
    """400 for a field that the engine behind would ignore."""
    return ApiError(400, f"{param!r} is not supported here: {reason}", "unsupported_parameter", param)


def unavailable(reason: str) -> ApiError:
    """503 for a request that the engine lost; the same request may be sent again."""
    return ApiError(503, reason, "engine_unavailable", headers={"Retry-After": RETRY_SECONDS})
