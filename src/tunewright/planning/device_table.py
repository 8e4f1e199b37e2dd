"""Devices that are not here: `plan --device a100-80`, `plan --device "24GB GPU"`.

Peaks are dense, by the makers' sheets: NVIDIA's data sheets of T4, V100, A10, A100, L4, L40S and H100, the white papers of
the Ampere GA102 and Ada cards (appendices: "peak FP16/BF16 tensor TFLOPS with FP32 accumulate"). What a training reaches of
them is `OF_PEAK`, a usual share that was not measured here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tunewright.errors import error
from tunewright.inspection.machine_info import MachineInfo, SpeedProbe
from tunewright.planning.run_plan import InspectedFacts

GIB = 2**30
# As fine-tuning with short rows usually reaches.
OF_PEAK = 0.35
SIZE = re.compile(r"(\d{1,6})\s*(?:gb|gib|g)\b(?:\s*gpu)?", re.IGNORECASE)
SYSTEM_BYTES_BESIDE = 64 * GIB  # of such a machine the main memory is not what limits


@dataclass(frozen=True)
class DeviceRow:
    """A card: its memory in GiB, and its peaks in teraflops (no bf16: 0)."""

    title: str
    gib: int
    fp32: float
    bf16: float
    fp16: float


DEVICES: Mapping[str, DeviceRow] = {
    "rtx3060": DeviceRow("NVIDIA GeForce RTX 3060", 12, 12.7, 25.5, 25.5),
    "rtx3070": DeviceRow("NVIDIA GeForce RTX 3070", 8, 20.3, 40.6, 40.6),
    "rtx3090": DeviceRow("NVIDIA GeForce RTX 3090", 24, 35.6, 71.0, 71.0),
    "rtx4080": DeviceRow("NVIDIA GeForce RTX 4080", 16, 48.7, 97.5, 97.5),
    "rtx4090": DeviceRow("NVIDIA GeForce RTX 4090", 24, 82.6, 165.2, 165.2),
    "t4": DeviceRow("NVIDIA T4", 16, 8.1, 0.0, 65.0),
    "v100": DeviceRow("NVIDIA V100", 32, 15.7, 0.0, 125.0),
    "a10": DeviceRow("NVIDIA A10", 24, 31.2, 125.0, 125.0),
    "l4": DeviceRow("NVIDIA L4", 24, 30.3, 121.0, 121.0),
    "l40s": DeviceRow("NVIDIA L40S", 48, 91.6, 362.0, 362.0),
    "a100-40": DeviceRow("NVIDIA A100 40GB", 40, 19.5, 312.0, 312.0),
    "a100-80": DeviceRow("NVIDIA A100 80GB", 80, 19.5, 312.0, 312.0),
    "h100-80": DeviceRow("NVIDIA H100 80GB", 80, 67.0, 989.0, 989.0),
}


def device_of(device_name: str) -> DeviceRow:
    """The card that is meant; of a mere size, one that is as fast as the slowest of that size. Raises: ConfigError E124."""
    name = device_name.strip().lower().replace(" ", "-")
    if name in DEVICES:
        return DEVICES[name]
    size = SIZE.fullmatch(device_name.strip())
    if size is None or not int(size[1]):
        raise error("E124", device=device_name, known=", ".join(DEVICES))
    gib = int(size[1])
    as_large = [device for device in DEVICES.values() if device.gib >= gib and device.bf16] or list(DEVICES.values())
    like = min(as_large, key=lambda device: (device.gib, device.bf16))
    return DeviceRow(f"GPU {gib} GB", gib, like.fp32, like.bf16, like.fp16)


def facts_on(facts: InspectedFacts, device_name: str) -> InspectedFacts:
    """The same model and data on another device. Raises: ConfigError E124."""
    device = device_of(device_name)
    peaks = {"fp32": device.fp32, "bf16": device.bf16, "fp16": device.fp16}
    memory = device.gib * GIB
    probe = SpeedProbe(
        device="cuda",
        device_name=device.title,
        memory_bytes=memory,
        is_measured=False,
        has_varlen_attention=bool(device.bf16),  # both begin with Ampere
        flops={name: peak * 1e12 * OF_PEAK for name, peak in peaks.items() if peak},
    )
    machine = MachineInfo(
        num_cpus=facts.machine.num_cpus,
        memory_bytes=SYSTEM_BYTES_BESIDE,
        free_bytes=SYSTEM_BYTES_BESIDE,
        disk_free_bytes=facts.machine.disk_free_bytes,
        system=device.title,
        probe=probe,
        has_bitsandbytes=True,
    )
    return facts.model_copy(update={"machine": machine})
