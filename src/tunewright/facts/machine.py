"""This machine: cores, memory and its limit, disk, GPU, and the measured speed of its device."""

import hashlib
import json
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import psutil
from pydantic import Field, ValidationError

from tunewright.facts.base import Fact
from tunewright.trust import home

CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
PACKAGES = (
    "tunewright", "torch", "transformers", "peft", "accelerate", "datasets", "tokenizers",
    "safetensors", "huggingface_hub", "gguf", "numpy", "pydantic", "bitsandbytes",
)  # fmt: skip

BUSY_SHARE = 0.25
LOOK_SECONDS = 0.3


class Probe(Fact):
    """What the worker measured once on this device: floating point operations per second by precision.

    `matmul` are those of bare products on a CPU: in fp32 by library, and in 8 bits; what is not exact is left out.
    `busy_share` is how much of the processor others used just before. Of a device in the table (planning/devices.py), which is
    not here, nothing is measured. `has_flash_attention`: a GPU with the package flash_attn.
    """

    device: str
    device_name: str
    memory_bytes: int
    flops: dict[str, float]
    matmul: dict[str, float] = Field(default_factory=dict)
    busy_share: float = 0.0
    is_measured: bool = True
    has_flash_attention: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Whether others used so much of the processor meanwhile that the figures may be several times too low."""
        return self.busy_share > BUSY_SHARE


class Machine(Fact):
    """Where the run takes place."""

    num_cpus: int
    memory_bytes: int
    free_bytes: int
    disk_free_bytes: int
    system: str
    probe: Probe | None
    has_bitsandbytes: bool = False


def has_bitsandbytes() -> bool:
    """Whether bases can be stored by it in 8 or 4 bits."""
    return find_spec("bitsandbytes") is not None


def read_machine(folder: Path) -> Machine:
    """The machine as it is now; `folder` is where the run will write."""
    limit = _cgroup_limit()
    memory = psutil.virtual_memory()
    total = min(memory.total, limit) if limit else memory.total
    return Machine(
        num_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=total,
        free_bytes=min(memory.available, total - _cgroup_used() if limit else total),
        disk_free_bytes=shutil.disk_usage(_existing(folder)).free,
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        probe=read_probe(),
        has_bitsandbytes=has_bitsandbytes(),
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
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def probe_path() -> Path:
    """Where the measurement for this machine and this torch is kept."""
    cpu = Path("/proc/cpuinfo")
    model = (
        next((line for line in cpu.read_text().splitlines() if line.startswith("model name")), "")
        if cpu.is_file()
        else ""
    )
    key = f"{platform.node()} {platform.machine()} {model} {len(os.sched_getaffinity(0))} {versions().get('torch')}"
    return home() / f"probe-4-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def is_idle() -> bool:
    """Whether others leave the processor alone right now, so that a measurement would not be doubtful."""
    return psutil.cpu_percent(interval=LOOK_SECONDS) / 100 <= BUSY_SHARE


def factors_path() -> Path:
    """Where the factors are kept by which this machine is slower than the plan's formula."""
    return probe_path().with_name(probe_path().name.replace("probe", "factors"))


def read_factors() -> dict[str, float]:
    """The factors that were learned here; empty if none were, or the file is damaged."""
    path = factors_path()
    try:
        return {str(key): float(value) for key, value in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def read_factor(key: str) -> float:
    """One of them; 1.0 where nothing was learned."""
    return read_factors().get(key, 1.0)


def read_probe() -> Probe | None:
    """The cached measurement, if there is a sound one."""
    path = probe_path()
    if not path.is_file():
        return None
    try:
        return Probe.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, ValidationError):
        return None
