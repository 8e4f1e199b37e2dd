"""The base of all facts: frozen values that go into plan.json and come back from it."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A frozen record."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
