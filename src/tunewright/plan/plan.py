"""The plan: every `auto` resolved, each choice with its reason, the memory it takes, the facts it rests on."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from tunewright.facts.base import Fact
from tunewright.facts.data import Data
from tunewright.facts.machine import Machine
from tunewright.facts.model import Model
from tunewright.i18n import _
from tunewright.spec.run import Run


class Facts(Fact):
    """Everything a plan may look at."""

    machine: Machine
    model: Model
    data: Data


class Choice(Fact):
    """One decision: `reason` is a sentence of the catalogue, `values` fill it."""

    path: str
    value: Any
    origin: str
    reason: str
    values: dict[str, Any] = Field(default_factory=dict)

    def why(self) -> str:
        """The reason in this process's language."""
        return _(self.reason).format_map(self.values)

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "value": self.value,
            "origin": self.origin,
            "reason": self.reason.format_map(self.values),
        }


class Memory(Fact):
    """Bytes by part at the peak of training; an estimate by closed form."""

    parts: dict[str, int]

    @property
    def peak_bytes(self) -> int:
        return sum(self.parts.values())


class Plan(Fact):
    """What will be done. Data only; `flow` and `engine` act on it."""

    run: Run
    choices: tuple[Choice, ...]
    memory: Memory
    fits: bool
    num_steps: int
    effective_batch: int
    trainable_parameters: int
    adapter_bytes: int
    disk_bytes: int
    fast_paths: tuple[str, ...]
    facts: Facts

    def to_json(self) -> dict[str, Any]:
        """For `plan --json`: stable names, English."""
        return {
            "schema": 1,
            "fits": self.fits,
            "memory": {"peak_bytes": self.memory.peak_bytes, "parts": self.memory.parts},
            "free_bytes": self.facts.machine.free_bytes,
            "num_steps": self.num_steps,
            "effective_batch": self.effective_batch,
            "trainable_parameters": self.trainable_parameters,
            "adapter_bytes": self.adapter_bytes,
            "disk_bytes": self.disk_bytes,
            "fast_paths": list(self.fast_paths),
            "choices": [choice.to_json() for choice in self.choices],
            "run": self.run.model_dump(mode="json"),
        }


def from_json(stored: Mapping[str, Any]) -> Plan:
    """A plan read back from plan.json."""
    return Plan.model_validate(stored)
