"""This machine: cores, memory and its limit, disk, GPU, and the measured speed of its device."""

import hashlib
import os
import platform
import shutil
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from tunewright.config.frozen_model import FrozenModel
from tunewright.inspection.visible_device import num_visible, visible_device
from tunewright.security import home, unseal_object

CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
PACKAGES = (
    "tunewright", "torch", "transformers", "peft", "accelerate", "datasets", "tokenizers",
    "safetensors", "huggingface_hub", "gguf", "numpy", "pydantic", "bitsandbytes",
)  # fmt: skip

# Of no device that there is, nor ever was slower or faster by a million.
Rate = Annotated[float, Field(gt=1e3, lt=1e21)]
_RATES = TypeAdapter(dict[str, Rate])
_FACTORS = TypeAdapter(dict[str, Annotated[float, Field(gt=1e-3, lt=1e3)]])
BUSY_SHARE = 0.25
# Without matrix units bf16 is half as fast as fp32, with them twice to six times as fast.
BF16_PRODUCT_GAIN = 1.3
LOOK_SECONDS = 0.3


class BlockShape(FrozenModel):
    """Sizes of the blocks of a decoder and of its output layer, by upstream's names."""

    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int


class SpeedProbe(FrozenModel):
    """What the worker measured once on this device: floating point operations per second by precision.

    `flops` are those of steps of a block, `forward` those of passes forward alone, as in tests.
    `matmul` are those of bare products on a CPU: in fp32 by library, in bf16 and in 8 bits; what is not exact is left out.
    `training` are those of a step of LoRA through blocks and output layer of one model, measured where a run may compute otherwise
    than in fp32.
    `busy_share` is how much of the processor others used just before. Of a device in the table (planning/device_table.py), which is
    not here, nothing is measured. `has_varlen_attention`: a GPU that torch's kernel for packed rows is for.
    """

    model_config = ConfigDict(extra="ignore")  # plans of earlier versions hold what is no longer asked for

    device: str
    device_name: str
    memory_bytes: int = Field(ge=0, lt=2**60)
    flops: dict[str, Rate]
    forward: dict[str, Rate] = Field(default_factory=dict)
    matmul: dict[str, Rate] = Field(default_factory=dict)
    training: dict[str, Rate] = Field(default_factory=dict)
    busy_share: float = Field(default=0.0, ge=0.0, le=1.0)
    is_measured: bool = True
    has_varlen_attention: bool = False

    @property
    def may_gain_by_mixed(self) -> bool:
        """Whether this is a CPU whose bf16 products, rounding included, are so much faster that training may be."""
        fp32 = max(self.matmul.get("mkl", 0.0), self.matmul.get("onednn", 0.0))
        return self.device == "cpu" and 0 < BF16_PRODUCT_GAIN * fp32 < self.matmul.get("bf16", 0.0)

    def rate(self, precision: str) -> float | None:
        """Operations per second in a precision; None if nothing is known of it. Unmeasured, mixed is as fast as bf16."""
        if precision == "mixed" and "mixed" in self.training:
            return self.flops["fp32"] * self.training["mixed"] / self.training["fp32"]
        return self.flops.get("bf16" if precision == "mixed" else precision)

    def forward_gain(self, precision: str) -> float:
        """How many times as fast products are computed in a pass forward alone as in a step; 1 where it was not measured."""
        name = "fp32" if precision == "mixed" else precision
        return self.forward[name] / self.flops[name] if name in self.forward else 1.0

    @property
    def is_doubtful(self) -> bool:
        """Whether other programs used so much of the processor that the figures may be several times too low."""
        return self.busy_share > BUSY_SHARE


class LinkSpeed(FrozenModel):
    """What `tunewright doctor --link` measured between two processes on devices of this name, or between machines: what each
    moves a second while all sum, and the seconds of a message."""

    is_between_machines: bool
    backend: str
    device_name: str
    bytes_per_second: float = Field(gt=0, lt=1e15)
    latency_seconds: float = Field(gt=0, lt=1e4)


class MachineInfo(FrozenModel):
    """Where the run takes place."""

    num_cpus: int
    memory_bytes: int
    free_bytes: int
    disk_free_bytes: int
    system: str
    probe: SpeedProbe | None
    has_bitsandbytes: bool = False
    num_devices: int = 1
    links: tuple[LinkSpeed, ...] = ()


def has_bitsandbytes() -> bool:
    """Whether bases can be stored by it in 8 or 4 bits."""
    return find_spec("bitsandbytes") is not None


def read_machine(folder: Path, device_index: int = 0, block: BlockShape | None = None) -> MachineInfo:
    """The machine as it is now; `folder` is where the run will write, `device_index` the accelerator that computes, `block`
    that of the model."""
    limit = _cgroup_limit()
    memory = psutil.virtual_memory()
    total = min(memory.total, limit) if limit else memory.total
    probe = read_probe(device_index)
    if probe and block:
        probe = probe.model_copy(update={"training": read_training_rates(block)})
    return MachineInfo(
        num_cpus=num_cpus(),
        memory_bytes=total,
        free_bytes=min(memory.available, total - _cgroup_used() if limit else total),
        disk_free_bytes=shutil.disk_usage(_existing(folder)).free,
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        probe=probe,
        has_bitsandbytes=has_bitsandbytes(),
        num_devices=num_visible(),
        links=read_links(),
    )


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)


def _cgroup_limit() -> int:
    """Memory limit of the container in bytes; 0 if there is none."""
    for name in CGROUP_LIMITS:
        path = Path(name)
        if path.is_file():
            text = path.read_text().strip()
            if text.isdigit() and int(text) < 2**60:
                return int(text)
    return 0


def _cgroup_used() -> int:
    """Bytes that the container holds already."""
    path = Path("/sys/fs/cgroup/memory.current")
    return int(path.read_text()) if path.is_file() else 0


def versions() -> dict[str, str]:
    """Installed versions of what a run depends on."""
    installed = {package: _installed_version(package) for package in PACKAGES}
    return {package: number for package, number in installed.items() if number}


@cache
def _installed_version(package: str) -> str | None:
    """Kept: to look a version up reads the package's metadata, and a process goes on with what it has imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The machine's architecture and the name of its processor, where the system tells it."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.is_file() else []
    return f"{platform.machine()} {next((line for line in lines if line.startswith('model name')), '')}"


def probe_path(device_index: int = 0) -> Path:
    """Where the measurement for this machine, this torch and this accelerator is kept."""
    key = f"{platform.node()} {processor()} {len(os.sched_getaffinity(0))} {versions().get('torch')}"
    key += "".join(f" {name}={value}" for name, value in visible_device(device_index).items() if value != "0")
    return home() / f"probe-6-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def num_cpus() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_share() -> float:
    """How much of the processor is used right now, by others: this process waits meanwhile."""
    return psutil.cpu_percent(interval=LOOK_SECONDS) / 100


def is_idle() -> bool:
    """Whether others leave the processor alone right now, so that a measurement would not be doubtful."""
    return busy_share() <= BUSY_SHARE


def factors_path() -> Path:
    """Where the factors are kept by which this machine is slower than the plan's formula."""
    return probe_path().with_name(probe_path().name.replace("probe", "factors"))


def read_factors() -> dict[str, float]:
    """The factors that were measured here; empty if none were, or the file has changed."""
    stored = unseal_object(factors_path(), by_hand=True)
    try:
        return _FACTORS.validate_python(stored or {})
    except ValidationError:
        return {}


def read_factor(key: str) -> float:
    """One of them; 1.0 where nothing was measured."""
    return read_factors().get(key, 1.0)


def read_probe(device_index: int = 0) -> SpeedProbe | None:
    """The cached measurement, if there is an intact one; one without a digest was written by hand."""
    stored = unseal_object(probe_path(device_index), by_hand=True)
    try:
        return SpeedProbe.model_validate(stored) if stored else None
    except ValidationError:
        return None


def link_path(*, is_between_machines: bool) -> Path:
    """Where the measured speed of this machine's link is kept, inside it or to others."""
    kind = "between" if is_between_machines else "inside"
    return probe_path().with_name(probe_path().name.replace("probe", f"link-{kind}"))


def read_links() -> tuple[LinkSpeed, ...]:
    """The links that were measured here; of a file that has changed none."""
    stored = (unseal_object(link_path(is_between_machines=is_between)) for is_between in (False, True))
    try:
        return tuple(LinkSpeed.model_validate(link) for link in stored if link)
    except ValidationError:
        return ()


def training_path(block: BlockShape) -> Path:
    """Where the measured speeds of training with blocks of this shape are kept."""
    shape = hashlib.sha256(block.model_dump_json().encode()).hexdigest()[:8]
    return probe_path().with_name(f"{probe_path().stem.replace('probe', 'training')}-{shape}.json")


def read_training_rates(block: BlockShape) -> dict[str, float]:
    """Operations per second of training by way; empty if they were not measured, or the file has changed."""
    try:
        return _RATES.validate_python(unseal_object(training_path(block), by_hand=True) or {})
    except ValidationError:
        return {}
