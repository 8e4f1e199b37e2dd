"""The plan: every `auto` resolved, each choice with its reason, the memory it takes, the facts it rests on."""

from typing import Any, Literal

from pydantic import Field

from tunewright.config.frozen_model import FrozenModel
from tunewright.config.methods import virtual_tokens
from tunewright.config.resolved_config import ResolvedConfig
from tunewright.config.written_config import flags
from tunewright.data.summary import cut_warning
from tunewright.errors import Problem
from tunewright.i18n import _, gib
from tunewright.inspection.data_info import DataInfo
from tunewright.inspection.machine_info import MachineInfo
from tunewright.inspection.model_info import ModelInfo
from tunewright.security import html_table


class InspectedFacts(FrozenModel):
    """Everything a plan may look at."""

    machine: MachineInfo
    model: ModelInfo
    data: DataInfo

    @property
    def is_on_cpu(self) -> bool:
        """True if the run computes on the CPU."""
        return self.machine.probe is None or self.machine.probe.device == "cpu"

    @property
    def is_on_mps(self) -> bool:
        """True if the run computes on Apple's GPU, for which neither bitsandbytes nor LoftQ is tried, and which has no fp64."""
        return self.machine.probe is not None and self.machine.probe.device == "mps"

    @property
    def room_bytes(self) -> int:
        """Memory that the run may take on the device it computes on."""
        probe = self.machine.probe
        return self.machine.free_bytes if probe is None or self.is_on_cpu else probe.memory_bytes

    def room_for_each(self, processes: int) -> int:
        """Memory that each of a run's processes may take: a CPU's is shared among them, a GPU is one's own."""
        return self.room_bytes // processes if self.is_on_cpu else self.room_bytes


class PlannedChoice(FrozenModel):
    """One decision: `reason` is a sentence of the catalogue, `values` fill it."""

    path: str
    value: Any
    origin: str
    reason: str
    values: dict[str, object] = Field(default_factory=dict)

    def why(self) -> str:
        """The reason in this process's language."""
        return _(self.reason).format_map(self.values)

    def to_json(self) -> dict[str, object]:
        return {
            "path": self.path,
            "value": self.value,
            "origin": self.origin,
            "reason": self.reason.format_map(self.values),
        }


class MemoryEstimate(FrozenModel):
    """Bytes by part at the peak; an estimate by closed form.

    `phases` are the peaks of loading, training and writing answers; the largest is the peak, and `parts` are its parts.
    """

    parts: dict[str, int]
    phases: dict[str, int] = Field(default_factory=dict)

    @property
    def peak_bytes(self) -> int:
        return sum(self.parts.values())

    def to_json(self) -> dict[str, object]:
        return {"peak_bytes": self.peak_bytes, "parts": self.parts, "phases": self.phases}


class TimeEstimate(FrozenModel):
    """Seconds by part, with the range they may well lie in; `tokens` are those of all training steps, without padding."""

    parts: dict[str, float]
    low_share: float
    high_share: float
    tokens: int
    step_seconds: float

    @property
    def seconds(self) -> float:
        return sum(self.parts.values())

    def to_json(self) -> dict[str, object]:
        rounded = {name: round(seconds, 1) for name, seconds in self.parts.items()}
        low, high = self.low_share * self.seconds, self.high_share * self.seconds
        return {
            "seconds": round(self.seconds, 1),
            "low": round(low, 1),
            "high": round(high, 1),
            "parts": rounded,
            "step_seconds": round(self.step_seconds, 3),
            "tokens": self.tokens,
        }


class Alternative(FrozenModel):
    """The same run with a few values changed, and what it would take; `title` is a sentence of the catalogue."""

    title: str
    changes: dict[str, object]
    values: dict[str, object] = Field(default_factory=dict)
    peak_bytes: int
    seconds: float | None
    trainable_parameters: int
    adapter_bytes: int
    fits: bool

    def name(self) -> str:
        """The title in this process's language."""
        return _(self.title).format_map(self.values)

    def flags(self) -> str:
        """What to add to the command to have it."""
        return flags(self.changes)

    def to_json(self) -> dict[str, object]:
        return {
            **self.model_dump(mode="json", exclude={"title", "values"}),
            "title": self.title.format_map(self.values),
        }


class FullFineTuning(FrozenModel):
    """What training every weight would take."""

    memory: MemoryEstimate
    seconds: float | None

    def to_json(self) -> dict[str, object]:
        return {"memory": self.memory.to_json(), "seconds": self.seconds}


RowOrder = Literal["randperm", "keyed"]
KEYED_FROM_ROWS = 1_000_000  # a list of fewer is no burden, and their order stays what it was


class ScaleRow(FrozenModel):
    """One strategy: bytes that a device holds, bytes that it moves a step, seconds of a step, how many times as fast as one
    device, and whether a device holds it."""

    strategy: str
    quantization: str
    device_bytes: int
    moved_bytes: int
    step_seconds: float
    times: float
    fits: bool


class ScalePlan(FrozenModel):
    """Strategies on several devices; `chosen` is one of `rows`, or None if nothing fits. `useful` devices are filled by a step of
    `tokens` tokens. What moves a second `inside` a machine and `between` them, in bytes: `measured` names those that were."""

    devices: str
    count: int
    rows: tuple[ScaleRow, ...]
    chosen: str | None
    useful: int
    tokens: int
    verdict: str
    inside: float
    between: float | None
    measured: tuple[str, ...]

    def says(self) -> str:
        """The verdict in this process's language."""
        return _(self.verdict).format(useful=self.useful, count=self.count)


class Plan(FrozenModel):
    """What will be done. Data only; `flow` and `engine` act on it.

    `row_order` says how the order of the training rows is drawn: as a list of all of them, or place by place.
    """

    run: ResolvedConfig
    choices: tuple[PlannedChoice, ...]
    memory: MemoryEstimate
    fits: bool
    num_steps: int
    effective_batch: int
    trainable_parameters: int
    adapter_bytes: int
    disk_bytes: int
    fast_paths: tuple[str, ...]
    facts: InspectedFacts
    time: TimeEstimate | None = None
    alternatives: tuple[Alternative, ...] = ()
    full_fine_tuning: FullFineTuning | None = None
    scale: ScalePlan | None = None
    row_order: RowOrder = "randperm"

    @property
    def room_bytes(self) -> int:
        """Memory that each of its processes may take."""
        return self.facts.room_for_each(self.run.launch.processes)

    def __repr__(self) -> str:
        fits = "fits" if self.fits else "does not fit"
        steps = f"{self.num_steps} steps of {self.effective_batch} rows"
        return f"Plan({self.run.model.name!r}, {self.run.data.name!r}: {steps}, peak {gib(self.memory.peak_bytes)}, {fits})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """The plan for a notebook: what it takes, and every decision with its reason."""
        took = [
            (_("Peak memory"), gib(self.memory.peak_bytes)),
            (_("Time"), f"{self.time.seconds:,.0f} s" if self.time else _("not known: this device was not measured")),
            (_("Trained"), f"{self.trainable_parameters:,}"),
        ]
        return html_table(repr(self), [*took, *((c.path, str(c.value), c.why()) for c in self.choices)])

    def warnings(self) -> list[Problem]:
        """The warnings about the rows, and W201 where some will be cut."""
        of_rows = [Problem.from_record(record) for record in self.facts.data.warnings]
        cut, length = self.facts.data.num_truncated, self.run.data.max_length
        room = self.facts.model.max_position_embeddings - virtual_tokens(self.run.peft)
        return [*of_rows, *([cut_warning(cut, length, self.facts.data.lengths["longest"], room)] if cut else [])]

    def to_json(self) -> dict[str, object]:
        """For `plan --json`: stable names, English."""
        return {
            "schema": 1,
            "fits": self.fits,
            "memory": self.memory.to_json(),
            "time": self.time.to_json() if self.time else None,
            "free_bytes": self.room_bytes,
            "num_steps": self.num_steps,
            "effective_batch": self.effective_batch,
            "trainable_parameters": self.trainable_parameters,
            "adapter_bytes": self.adapter_bytes,
            "disk_bytes": self.disk_bytes,
            "alternatives": [alternative.to_json() for alternative in self.alternatives],
            "full_fine_tuning": self.full_fine_tuning.to_json() if self.full_fine_tuning else None,
            "scale": self.scale.model_dump(mode="json") if self.scale else None,
            "fast_paths": list(self.fast_paths),
            "sources": [source.model_dump(mode="json") for source in self.facts.data.sources],
            "choices": [choice.to_json() for choice in self.choices],
            "warnings": [problem.to_json() for problem in self.warnings()],
            "run": self.run.model_dump(mode="json"),
        }
