"""The base of everything that is stored as JSON in a run's folder, and the kinds of values in it."""

import math
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def finite(value: object) -> object:
    """None for a measurement that JSON cannot hold, every other value as it is."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float, Field(ge=-1e150, le=1e150)]  # its square is finite
Measured = Annotated[Number | None, BeforeValidator(finite)]  # None where it was NaN or infinite
Count = Annotated[int, Field(ge=0, lt=2**63)]
Stamp = Annotated[float, Field(ge=0, lt=1e11)]  # seconds since 1970
Scores = dict[str, Measured]  # by the name of the metric, as metrics/metric_table.py has them


class StoredRecord(BaseModel):
    """A frozen record. Fields that it does not know are kept, so that it goes through an older version unharmed."""

    model_config = ConfigDict(
        strict=True, frozen=True, allow_inf_nan=False, extra="allow", use_attribute_docstrings=True
    )

    def to_stored(self) -> dict[str, object]:
        """The record as it is stored: without the fields that were left to their defaults."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
