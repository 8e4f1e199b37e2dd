"""What this machine means for a training: one sentence for each thing that `doctor` looks at."""

import locale
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tunewright.i18n import N_, _
from tunewright.inspection.machine_info import MachineInfo

GIB = 2**30
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
# What a run takes beside the weights of a model that fills the memory; a share is left to others.
BESIDE_WEIGHTS_BYTES, SHARE_OF_FREE = 2.5 * GIB, 0.9
LITTLE_DISK_BYTES = 5 * GIB
SMALL_MODEL = 135e6
WORTH_IT = 1.2  # products are most of a step, not all of it


@dataclass(frozen=True)
class SystemFinding:
    """A topic, and a sentence of the catalogue with the values that fill it; warnings cost speed or stop a run."""

    topic: str
    sentence: str
    values: Mapping[str, object] = field(default_factory=dict)
    is_warning: bool = False

    def text(self) -> str:
        """The sentence in this process's language."""
        return _(self.sentence).format_map(self.values)

    def to_json(self) -> dict[str, object]:
        text = self.sentence.format_map(self.values)
        return {"topic": self.topic, "text": text, "warning": self.is_warning}


def meanings(machine: MachineInfo, versions: Mapping[str, str], hub: bool | None = None) -> list[SystemFinding]:
    """All of them, in the order of reading. `hub` says whether the Hub answered; None if it was not asked."""
    return [*_speed(machine), *_memory(machine), *_disk(machine), *_builds(versions), *_hub(hub), *_language()]


def _speed(machine: MachineInfo) -> Iterator[SystemFinding]:
    probe = machine.probe
    if probe is None:
        yield SystemFinding("speed", N_("not measured yet; the first plan measures it"))
        return
    rate = max(probe.flops.get("fp32", 0.0), probe.flops.get("bf16", 0.0) if probe.device != "cpu" else 0.0)
    tokens = round(rate / (4 * SMALL_MODEL))
    sentence = N_(
        "about {tokens} tokens a second for LoRA on 135 million parameters; ten times the model, a tenth of them"
    )
    yield SystemFinding("speed", sentence, {"tokens": f"{tokens:,}"})
    if probe.is_doubtful:
        sentence = N_(
            "others used {share} % of the processor when it was measured, so it may be higher; measured again when idle"
        )
        yield SystemFinding("speed", sentence, {"share": round(100 * probe.busy_share)}, is_warning=True)
    if "onednn" in probe.matmul and "mkl" in probe.matmul:
        mkl, onednn = probe.matmul["mkl"] / 1e9, probe.matmul["onednn"] / 1e9
        sentence = N_("fp32 products: {mkl} GFLOP/s by MKL, {onednn} by oneDNN; a plan takes the faster")
        yield SystemFinding("libraries", sentence, {"mkl": f"{mkl:,.0f}", "onednn": f"{onednn:,.0f}"})
    if "int8" in probe.matmul:
        faster = probe.matmul["int8"] / max(probe.matmul.get("onednn", 0), probe.matmul.get("mkl", 0), 1)
        sentence = N_("products in 8 bits are {faster} times as fast: --set model.quantization=8bit may pay")
        if faster < WORTH_IT:
            sentence = N_("products in 8 bits are {faster} times as fast as fp32: 8 bits save memory here, and no time")
        yield SystemFinding("libraries", sentence, {"faster": f"{faster:.1f}"})


def _memory(machine: MachineInfo) -> Iterator[SystemFinding]:
    whole = psutil.virtual_memory().total
    if machine.memory_bytes < whole:
        values = {"limit": f"{machine.memory_bytes / GIB:.1f}", "whole": f"{whole / GIB:.1f}"}
        yield SystemFinding("memory", N_("this container may take {limit} GiB of the machine's {whole}"), values)
    room = max(0.0, SHARE_OF_FREE * machine.free_bytes - BESIDE_WEIGHTS_BYTES)
    values = {name: f"{room / size / 1e9:.1f}" for name, size in (("fp32", 4.0), ("bf16", 2.0), ("small", 0.65))}
    sentence = N_("room for LoRA on up to {fp32} billion parameters in fp32, {bf16} in bf16, {small} in 4 bits")
    yield SystemFinding("memory", sentence, values, is_warning=room <= 0)


def _disk(machine: MachineInfo) -> Iterator[SystemFinding]:
    if machine.disk_free_bytes < LITTLE_DISK_BYTES:
        free = f"{machine.disk_free_bytes / GIB:.1f}"
        yield SystemFinding(
            "disk", N_("only {free} GiB free: merged models and checkpoints may not fit"), {"free": free}, True
        )


def _builds(versions: Mapping[str, str]) -> Iterator[SystemFinding]:
    torch = versions.get("torch", "")
    if NVIDIA_DRIVER.exists() and "+cpu" in torch:
        sentence = N_("an NVIDIA driver is here, but torch {torch} is a build without GPUs: install torch with CUDA")
        yield SystemFinding("torch", sentence, {"torch": torch}, is_warning=True)
    elif "+cpu" in torch:
        yield SystemFinding("torch", N_("torch {torch} is a build for CPUs"), {"torch": torch})
    if "bitsandbytes" in versions:
        yield SystemFinding("quantization", N_("bitsandbytes is here: 8bit and 4bit bases can be trained"))
    else:
        yield SystemFinding(
            "quantization", N_('4bit bases need bitsandbytes; in the clone of Tunewright:  pip install -e ".[quant]"')
        )


def _hub(hub: bool | None) -> Iterator[SystemFinding]:
    if os.environ.get("HF_HUB_OFFLINE", "") in ("1", "ON", "YES", "TRUE"):
        yield SystemFinding("hub", N_("HF_HUB_OFFLINE is set: only models that are here"))
    elif hub is None:
        yield SystemFinding("hub", N_("not checked; --online checks whether the Hub answers"))
    elif hub:
        yield SystemFinding("hub", N_("the Hub answers: any model and data set of it can be named"))
    else:
        yield SystemFinding(
            "hub", N_("the Hub does not answer: built-in models, folders and GGUF files work"), is_warning=True
        )


def _language() -> Iterator[SystemFinding]:
    encoding = (sys.stdout.encoding or locale.getpreferredencoding(False)).lower()
    if "utf" not in encoding:
        sentence = N_(
            "this terminal writes {encoding}: what it cannot write is shown in ASCII; PYTHONUTF8=1 changes it"
        )
        yield SystemFinding("language", sentence, {"encoding": encoding})
    yield SystemFinding("language", N_("messages are in English; TUNEWRIGHT_LANG=zh gives Chinese ones"))
