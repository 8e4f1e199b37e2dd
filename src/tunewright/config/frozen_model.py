"""The base of all facts: frozen values that go into plan.json and come back from it."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A frozen record. Its numbers are finite: JSON has no others, but 1e999 is read as one."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)
