"""The base of every section of a config, and the types its fields share."""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    create_model,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

AUTO: Literal["auto"] = "auto"
Auto = Literal["auto"]


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number_not_bool", "must be a number")
    return value


def _writable(value: str) -> str:
    """A text that a file, and the name of one, can hold."""
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise PydanticCustomError("not_writable", "must be text without NUL and without halves of characters")
    return value


def _fits_fp32(value: float) -> float:
    """A number that a parameter can be filled with."""
    if abs(value) > MOST_FP32:
        raise PydanticCustomError("beyond_fp32", "must be a number of at most 3.4e38, as 32 bits hold")
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


MOST_FP32 = 3.4e38
MOST = 2**31 - 1  # of what is counted: more than any run has of anything, and what upstream's counters hold
Int = Annotated[int, Field(strict=True)]
Whole = Annotated[Int, Field(ge=-MOST, le=MOST)]
Count = Annotated[Int, Field(ge=0, le=MOST)]
Positive = Annotated[Int, Field(ge=1, le=MOST)]
Seed = Annotated[Int, Field(ge=0, lt=2**32)]  # numpy takes no larger one
# Lax: PyYAML reads 2e-4 as a string.
Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_no_bool)]
Fp32 = Annotated[Number, AfterValidator(_fits_fp32)]
Loose = Annotated[Any, BeforeValidator(number_if_written)]  # a value inside a mapping whose keys nobody names
NotNegative = Annotated[Number, Field(ge=0, le=1e6)]
Scale = Annotated[Number, Field(gt=0, le=1e6)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Text = Annotated[str, Field(max_length=4096), AfterValidator(_writable)]  # what becomes part of a path or of a row


class Section(BaseModel):
    """A frozen part of a config that refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UpstreamSection(Section):
    """A section that also takes every field of one upstream class under upstream's own name.

    Fields that Tunewright does not choose are checked against upstream's types, kept in `extra` and passed on; a subclass names
    them with their types in `upstream_fields`. `extra` itself cannot be written.
    """

    _extra: dict[str, object] = PrivateAttr(default_factory=dict)

    @property
    def extra(self) -> dict[str, Any]:
        """The upstream fields that were asked for beyond the declared ones."""
        return self._extra

    @classmethod
    def upstream_fields(cls) -> Mapping[str, object]:
        """Names and types that upstream's class has, beyond the fields declared here."""
        return {}

    @model_validator(mode="wrap")
    @classmethod
    def _keep_upstream_fields(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        names = cls.upstream_fields().keys() - cls.model_fields.keys()
        passed_on = {name: value for name, value in data.items() if name in names}
        faults: list[InitErrorDetails] = []
        extra = _of_upstream(cls, passed_on, faults) if passed_on else {}
        try:
            section = handler({name: value for name, value in data.items() if name not in passed_on})
        except ValidationError as fault:
            faults += _details(fault)
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        section._extra = extra
        return section

    @model_serializer(mode="wrap")
    def _flatten(self, handler: Any) -> dict[str, object]:
        return {**handler(self), **self._extra}


def _of_upstream(
    section: type[UpstreamSection], values: Mapping[str, object], faults: list[InitErrorDetails]
) -> dict[str, object]:
    """The values in upstream's types; what is wrong with them is added to `faults`."""
    try:
        return _upstream_model(section).model_validate(values).model_dump(exclude_unset=True)
    except ValidationError as fault:
        faults += _details(fault)
        return {}


@cache
def _upstream_model(section: type[UpstreamSection]) -> type[BaseModel]:
    fields: dict[str, Any] = {name: (kind, None) for name, kind in section.upstream_fields().items()}
    return create_model(section.__name__, **fields)


def _details(fault: ValidationError) -> Iterator[InitErrorDetails]:
    """The errors of one validation, to be raised with those of another."""
    for detail in fault.errors(include_url=False):
        kind = PydanticCustomError(detail["type"], "{why}", {**detail.get("ctx", {}), "why": detail["msg"]})
        yield InitErrorDetails(type=kind, loc=detail["loc"], input=detail["input"])
