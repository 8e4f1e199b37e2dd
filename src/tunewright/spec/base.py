"""The base of every section of a config, and the types its fields share."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

AUTO: Literal["auto"] = "auto"
Auto = Literal["auto"]


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number_not_bool", "must be a number")
    return value


def number_if_written(value: object) -> object:
    """The number a text such as "1e-1" writes, for fields that take a number or a text; else the value itself."""
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value


Int = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_no_bool)]  # lax: PyYAML reads 2e-4 as a string


class Section(BaseModel):
    """A frozen part of a config that refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UpstreamSection(Section):
    """A section that also takes every field of one upstream class under upstream's own name.

    Fields that Tunewright neither chooses nor checks are kept in `extra` and handed on as they are;
    a subclass names those that upstream has in `upstream_fields`. `extra` itself cannot be written.
    """

    _extra: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def extra(self) -> dict[str, Any]:
        """The upstream fields that were asked for beyond the declared ones."""
        return self._extra

    @classmethod
    def upstream_fields(cls) -> frozenset[str]:
        """Names that upstream's class has, beyond the fields declared here."""
        return frozenset()

    @model_validator(mode="wrap")
    @classmethod
    def _keep_upstream_fields(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        passed_on = {k: v for k, v in data.items() if k in cls.upstream_fields() and k not in cls.model_fields}
        section = handler({k: v for k, v in data.items() if k not in passed_on})
        section._extra = passed_on
        return section

    @model_serializer(mode="wrap")
    def _flatten(self, handler: Any) -> dict[str, Any]:
        return {**handler(self), **self._extra}
